"""Log messages of MLflow that say nothing to act on, kept off the terminal.

Only the messages named here are dropped; everything else MLflow says is shown.
"""

import logging

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
