"""MLflow's store of runs, models and traces."""

import os
import re
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from .log_filters import hide_noise
from .project import PROJECT_NAME, ROOT, ProjectError

STORE = ROOT / "mlflow.db"
ARTIFACTS = ROOT / "mlartifacts"
LOCK_TIMEOUT = 120  # seconds; creating a store takes a few


def connect_store() -> str:
    """Select MLflow's store and the project's experiment, and return the URI without a password.

    Respects MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID. The default store
    is an SQLite file in the repository, which git ignores. Call this before importing the agent:
    MLflow traces into the experiment that is selected at that time.

    Raises:
        ProjectError: The store is unreachable, rejects the experiment, or is locked.
    """
    hide_noise()
    # Fail within seconds, not minutes, when the tracking server is down.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    is_local = not os.environ.get("MLFLOW_TRACKING_URI")
    if is_local:
        mlflow.set_tracking_uri(f"sqlite:///{STORE}")
    uri = without_password(mlflow.get_tracking_uri())
    try:
        with lock_local_store(mlflow.get_tracking_uri()):
            _select_experiment(is_local)
    except ImportError as error:
        raise ProjectError(
            f"MLflow's store {uri} needs a package: {error}. Install it with `uv add`."
        ) from error
    except Exception as error:
        if not isinstance(error, MlflowException | ValueError) and not _is_of_database(error):
            raise
        if "out-of-date database schema" in str(error):
            has_password = uri != mlflow.get_tracking_uri()
            upgrade = "STORE_URI` with the URI of the store" if has_password else f"{uri}`"
            raise ProjectError(
                f"MLflow's store {uri} was created by another version of MLflow. Back it up, and "
                f"run `uv run mlflow db upgrade {upgrade}."
            ) from error
        is_unknown = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
        variables = "MLFLOW_EXPERIMENT_ID" if is_unknown else "MLFLOW_TRACKING_URI"
        raise ProjectError(
            f"MLflow's store {uri} is not usable: {without_password(_reason(error))}. Check "
            f"{variables} and the other MLFLOW_… variables."
        ) from error
    return uri


@contextmanager
def lock_local_store(uri: str) -> Generator[None]:
    """Keep other processes from creating the same SQLite store; other stores are not locked.

    The lock file is created before the store, so a store without one was created elsewhere.

    Raises:
        ProjectError: The store cannot be locked, is in memory, or is not an SQLite file.
    """
    scheme, _, path = uri.partition("://")
    if scheme != "sqlite":
        yield
        return
    store = path.removeprefix("/").partition("?")[0]  # options follow
    if store in ("", ":memory:"):
        raise ProjectError(
            f"MLflow's store {uri} is in memory, where threads do not share it. Set "
            "MLFLOW_TRACKING_URI to a file, such as sqlite:///mlflow.db."
        )
    lock = Path(f"{store}.lock")
    needs_lock = lock.exists() or not Path(store).exists()
    with _exclusive(lock) if needs_lock else nullcontext():
        try:
            with closing(sqlite3.connect(store, LOCK_TIMEOUT)) as database:
                database.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as error:
            raise ProjectError(
                f"MLflow's store {store} is not usable: {error}. Move it away, or check "
                "MLFLOW_TRACKING_URI."
            ) from error
        yield


@contextmanager
def _exclusive(lock: Path) -> Generator[None]:
    """Hold a transaction in an empty SQLite file.

    It works on every operating system, and ends with the process.

    Raises:
        ProjectError: Another process holds it, or the file is not writable.
    """
    try:
        database = sqlite3.connect(lock, LOCK_TIMEOUT, isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        raise ProjectError(
            f"Cannot lock {lock} ({error}). Stop other commands that use this store, or check that "
            "its folder exists and is writable."
        ) from error
    with closing(database):
        yield


def _reason(error: BaseException) -> str:
    """Return the message of an error, or the cause if the store could not be reached."""
    cause = error
    while cause.__context__:
        cause = cause.__context__
    if isinstance(cause, OSError):  # the message shows objects of the HTTP client
        return f"cannot connect ({cause})"
    text = str(cause if _is_of_database(error) else error)
    return " ".join(text.split()).removesuffix(".")


def _is_of_database(error: BaseException) -> bool:
    """Return whether SQLAlchemy raised an error. Only stores in a database import it."""
    return any(one.__module__.startswith("sqlalchemy.") for one in type(error).__mro__)


def without_password(text: str) -> str:
    """Replace the passwords of all URLs in a text."""
    return re.sub(r"(://[^:@/\s]*):[^@/\s]+@", r"\1:***@", text)


def _select_experiment(is_local: bool) -> None:
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        mlflow.set_experiment(experiment_id=experiment_id)
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
