"""Log messages of MLflow that say nothing to act on, kept off the terminal.

Only the messages named here are dropped; everything else MLflow says is shown. `tell_once` is for
servers, where a store that is down would say so with every request.
"""

import logging
import time

_NOISE = {
    "mlflow.store.db.utils": ("Creating initial MLflow database", "Updating database tables"),
    "mlflow.tracking.fluent": ("Experiment with name",),
    "mlflow.pyfunc": ("Predicting on input example",),
    "mlflow.tracing.export.async_export_queue": ("Flushing the async trace logging queue",),
    # uv's environments have no pip, and the agent does not need it.
    "mlflow.utils.environment": ("Failed to resolve installed pip version",),
}


def quieten() -> None:
    """Drop the messages listed above. Calling it again changes nothing."""
    for name, beginnings in _NOISE.items():
        logger = logging.getLogger(name)
        if not any(isinstance(present, _BeginsWith) for present in logger.filters):
            logger.addFilter(_BeginsWith(beginnings))


class _BeginsWith(logging.Filter):
    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.beginnings)


# What says that a trace could not be stored, each time.
_STORE_IS_DOWN = ("mlflow.tracing.export.mlflow_v3", "mlflow.tracing.export.async_export_queue")
_SECONDS_OF_SILENCE = 600


def tell_once() -> None:
    """Say that traces cannot be stored once in ten minutes, and nothing of single attempts.

    Calling it again changes nothing.
    """
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    for name in _STORE_IS_DOWN:
        logging.getLogger(name).addFilter(_SELDOM)


class _Seldom(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        if time.monotonic() < self.silent_until:
            return False
        self.silent_until = time.monotonic() + _SECONDS_OF_SILENCE
        cause = record.getMessage()
        record.msg, record.args = "Traces are lost; requests are answered. %s", (cause,)
        return True


_SELDOM = _Seldom()
