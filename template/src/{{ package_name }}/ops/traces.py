"""Where to see traces."""

import os
from urllib.parse import urlsplit

import mlflow

from .store import STORE

LOCAL_SITE = "http://127.0.0.1:5000"  # of `mlflow ui`


def trace_location() -> dict[str, str]:
    """Return where to see a trace.

    `trace_url` is its URL, with a placeholder {trace_id}. A database has no site: there,
    `trace_command` is the command that starts one. The page shows both, because its
    Content-Security-Policy forbids it to find out whether that site runs.
    """
    uri = mlflow.get_tracking_uri()
    is_site = uri.startswith(("http", "databricks"))
    location = {}
    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")  # `set_experiment` sets it
    if experiment and (site := _experiments_page(uri if is_site else LOCAL_SITE)):
        location["trace_url"] = f"{site}/{experiment}/traces?selectedEvaluationId={{trace_id}}"
    if not is_site:
        is_default = uri == f"sqlite:///{STORE}"
        # The page must not show a password, and a shell does not read `.env`.
        store = "" if is_default else " --backend-store-uri STORE_URI"
        location["trace_command"] = f"uv run mlflow ui{store}"
    return location


def _experiments_page(uri: str) -> str | None:
    """Return the URL of the store's list of experiments, without a password in it."""
    parts = urlsplit(uri.rstrip("/"))
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}/#/experiments"
    host = os.environ.get("DATABRICKS_HOST", "").removeprefix("https://").rstrip("/")
    if uri.startswith("databricks") and host:
        return f"https://{host}/ml/experiments"
    return None
