"""Filters for log messages of MLflow that need no action.

Only the messages listed here are hidden. `throttle_store_warnings` is for servers, where an
unreachable store would otherwise log a warning per request.
"""

import logging
import time

NOISE = {
    # Not every workspace has these; a host that does not respond fails at the next request.
    "databricks.sdk": ("Failed to automatically resolve config from host metadata",),
    "mlflow.store.db.utils": ("Creating initial MLflow database", "Updating database tables"),
    "mlflow.tracking.fluent": ("Experiment with name",),
    "mlflow.models.evaluation.utils.trace": ("Auto tracing is temporarily enabled",),
    "mlflow.genai.evaluation.harness": ("Some scorer invocations failed",),  # `evaluate` reports it
    "mlflow.genai.evaluation.comparison.paired_comparison": ("Scorer ",),  # few cases
    "mlflow.pyfunc": ("Predicting on input example",),
    "mlflow.tracing.export.async_export_queue": ("Flushing the async trace logging queue",),
    # uv's environments have no pip, and the agent does not need it.
    "mlflow.utils.environment": ("Failed to resolve installed pip version",),
}
STORE_LOGGERS = ("mlflow.tracing.export.mlflow_v3", "mlflow.tracing.export.async_export_queue")
WARNING_INTERVAL = 600  # seconds


def hide_noise() -> None:
    """Hide the messages in `NOISE`. A second call changes nothing."""
    for name in NOISE:
        logging.getLogger(name).addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(NOISE[record.name])


def throttle_store_warnings() -> None:
    """Log "traces cannot be stored" at most every ten minutes, and hide single retries.

    A second call changes nothing.
    """
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    for name in STORE_LOGGERS:
        logging.getLogger(name).addFilter(_throttle)


class ThrottleFilter(logging.Filter):
    """Lets one warning per interval pass, with the consequence in front of the cause."""

    def __init__(self) -> None:
        super().__init__()
        self.quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        if time.monotonic() < self.quiet_until:
            return False
        self.quiet_until = time.monotonic() + WARNING_INTERVAL
        cause = record.getMessage()
        record.msg, record.args = "Traces cannot be stored and are lost. %s", (cause,)
        return True


_throttle = ThrottleFilter()
