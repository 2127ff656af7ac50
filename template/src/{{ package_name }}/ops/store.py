"""Where runs, models and traces go: the store that is configured, or one in the project."""

import os

import mlflow
from mlflow.exceptions import MlflowException

from .logs import quieten
from .project import PROJECT_NAME, ROOT, ProjectError

STORE = ROOT / "mlflow.db"
ARTIFACTS = ROOT / "mlartifacts"


def use_store() -> str:
    """Point MLflow at its store and at the project's experiment, and return the store's URI.

    MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID are respected. Without
    the first, an SQLite file in the project serves, which git ignores. Call it before the agent
    is imported: MLflow traces into the experiment that is set by then.

    Raises:
        ProjectError: the store cannot be reached, or refuses the experiment.
    """
    quieten()
    # Whoever sits at the terminal should hear of a dead server within seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    in_project = "MLFLOW_TRACKING_URI" not in os.environ
    if in_project:
        mlflow.set_tracking_uri(f"sqlite:///{STORE}")
    uri = mlflow.get_tracking_uri()
    try:
        _set_experiment(in_project)
    except MlflowException as error:
        raise ProjectError(
            f"MLflow's store {uri} cannot be used: {error}. Check MLFLOW_TRACKING_URI."
        ) from error
    return uri


def _set_experiment(in_project: bool) -> None:
    if "MLFLOW_EXPERIMENT_ID" in os.environ:
        mlflow.set_experiment(experiment_id=os.environ["MLFLOW_EXPERIMENT_ID"])
        return
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _default_experiment()
    if in_project and mlflow.get_experiment_by_name(name) is None:
        # By default artifacts land in whatever folder the command is called from.
        mlflow.create_experiment(name, artifact_location=ARTIFACTS.as_uri())
    mlflow.set_experiment(name)


def _default_experiment() -> str:
    """The project's name; Databricks wants a folder of the workspace before it."""
    on_databricks = mlflow.get_tracking_uri().startswith("databricks")
    return f"/Shared/{PROJECT_NAME}" if on_databricks else PROJECT_NAME
