"""MLflow's store of runs, models and traces."""

import os

import mlflow
from mlflow.exceptions import MlflowException

from .log_filters import hide_noise
from .project import PROJECT_NAME, ROOT, ProjectError

STORE = ROOT / "mlflow.db"
ARTIFACTS = ROOT / "mlartifacts"


def connect_store() -> str:
    """Select MLflow's store and the experiment of the project, and return the store's URI.

    Respects MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID. The default store
    is an SQLite file in the repository, which git ignores. Call this before importing the agent:
    MLflow traces into the experiment that is selected at that time.

    Raises:
        ProjectError: The store is unreachable or rejects the experiment.
    """
    hide_noise()
    # Fail within seconds, not minutes, when the tracking server is down.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    is_local = "MLFLOW_TRACKING_URI" not in os.environ
    if is_local:
        mlflow.set_tracking_uri(f"sqlite:///{STORE}")
    uri = mlflow.get_tracking_uri()
    try:
        _select_experiment(is_local)
    except MlflowException as error:
        raise ProjectError(
            f"MLflow's store {uri} is not usable: {error}. Check MLFLOW_TRACKING_URI."
        ) from error
    return uri


def _select_experiment(is_local: bool) -> None:
    if "MLFLOW_EXPERIMENT_ID" in os.environ:
        mlflow.set_experiment(experiment_id=os.environ["MLFLOW_EXPERIMENT_ID"])
        return
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _default_experiment()
    if is_local and mlflow.get_experiment_by_name(name) is None:
        # MLflow's default is a folder relative to the current directory.
        mlflow.create_experiment(name, artifact_location=ARTIFACTS.as_uri())
    mlflow.set_experiment(name)


def _default_experiment() -> str:
    """Return the project's name, on Databricks with the workspace folder in front."""
    on_databricks = mlflow.get_tracking_uri().startswith("databricks")
    return f"/Shared/{PROJECT_NAME}" if on_databricks else PROJECT_NAME
