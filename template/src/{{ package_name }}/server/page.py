"""The chat page at `/`: a few static files, and the settings that they ask for.

The files hold no secret, so whoever can reach the server may load them. The settings are an
answer like any other and stand behind the server's token.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .log_model import input_example
from .project import PACKAGE
from .tracking import STORE

SETTINGS = "/chat_page/settings.json"
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# What an LLM writes may neither run nor load anything, even if the page had a mistake.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def page_files() -> dict[str, Path]:
    """Each path of the page, and the file that answers there."""
    folder = PACKAGE / "chat_page"
    files = {f"/chat_page/{file.name}": file for file in folder.iterdir()}
    return {"/": files.pop("/chat_page/index.html"), **files}


@dataclass
class ChatPage:
    """An ASGI application that gives the page to everybody, and leaves the rest to another one."""

    app: ASGIApp
    files: dict[str, Path] = field(default_factory=page_files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self.files.get(scope["path"]) if scope["type"] == "http" else None
        if file and scope["method"] in ("GET", "HEAD"):
            answer = FileResponse(file, headers=HEADERS, media_type=MEDIA_TYPES[file.suffix])
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def page_settings() -> dict[str, Any]:
    """What the page must know: a request to begin with, and where traces are to be seen."""
    return {"example": input_example()} | where_traces_are()


def where_traces_are() -> dict[str, str]:
    """The address of a trace, with {trace_id} in it, or the command that shows traces, if any."""
    uri = mlflow.get_tracking_uri()
    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")  # which `set_experiment` sets
    if experiment and (site := _site_of(uri)):
        return {"trace_url": f"{site}/{experiment}/traces?selectedEvaluationId={{trace_id}}"}
    if uri == f"sqlite:///{STORE}":
        return {"trace_command": "uv run mlflow ui"}
    if uri.startswith(("http", "databricks")):
        return {}
    return {"trace_command": 'uv run mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'}


def _site_of(uri: str) -> str | None:
    """The page of all experiments, if a website shows this store; its URI may hold a password."""
    parts = urlsplit(uri.rstrip("/"))
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}/#/experiments"
    host = os.environ.get("DATABRICKS_HOST", "").removeprefix("https://").rstrip("/")
    if uri.startswith("databricks") and host:
        return f"https://{host}/ml/experiments"
    return None
