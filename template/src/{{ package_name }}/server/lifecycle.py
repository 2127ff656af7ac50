"""Starts and stops the processes of the server."""

import gc
import logging
import multiprocessing
import os
import signal
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPConnection
from socket import socket
from threading import Thread
from typing import Any

import mlflow
import uvicorn
from mlflow.pyfunc import ResponsesAgent
from starlette.applications import Starlette

from ..ops.log_filters import throttle_store_warnings
from ..ops.project import PACKAGE, ProjectError
from ..ops.store import connect_store
from ..runtime.config import load_config
from ..runtime.llm import connect
from .app import create_app
from .settings import load_settings

logger = logging.getLogger(__name__)

TRACE_FLUSH_SECONDS = 10
# Reload on changes to the instructions and the configuration, too.
RELOAD_OPTIONS: dict[str, Any] = {
    "reload": True,
    "reload_dirs": str(PACKAGE),
    "reload_includes": ["*.py", "*.md", "*.yml"],
}


def serve(listener: socket, *, workers: int = 1, reload: bool = False) -> None:
    """Serve the agent until SIGTERM or Ctrl+C.

    Args:
        listener: The socket to serve at. It listens already, so requests wait for the first worker.
        workers: The number of processes.
        reload: Whether to restart when the code changes.

    Raises:
        ProjectError: A setting is invalid.
        ConfigError: `config.yml` is invalid.
        LLMError: The URI of the LLM is invalid, or its credentials are missing.
    """
    settings = load_settings()
    llm = load_config().llm_uri()
    connect(llm, timeout=1, max_retries=0)  # sends no request
    configure_logging()
    store = try_to_connect_store()
    if not reload:
        # uvicorn restarts workers that fail without end.
        load_agent()
    Thread(target=report_start, args=(listener.getsockname(), llm, store), daemon=True).start()
    options: dict[str, Any] = {
        "app": f"{__name__}:create_worker",
        "factory": True,
        # httptools drops the body of a request that offers HTTP/2, as Java's client does, and sends
        # chunks to HTTP/1.0 clients. The limit of headers leaves room for a user's tokens.
        "http": "h11",
        "h11_max_incomplete_event_size": 65_536,
        # Load balancers reuse idle connections for a minute. One that the server closes at the same
        # moment becomes an error, such as status 502.
        "timeout_keep_alive": 75,
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": settings.stop_seconds,
        "timeout_worker_healthcheck": 30,
    }
    if workers > 1 or reload:
        options |= {"fd": listener.fileno(), "workers": workers}
        uvicorn.run(**options, **(RELOAD_OPTIONS if reload else {}))
    else:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(**options)).run(sockets=[listener])


def report_start(address: tuple[Any, ...], llm: str, store: str | None) -> None:
    """Log where and with what the agent is served, when a process responds to a request."""
    host, port = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    with suppress(OSError), closing(HTTPConnection(host, port)) as health:  # it may fail to start
        health.request("GET", "/health", headers={"Connection": "close"})
        health.getresponse()
        logger.info("Serving at %s (chat page) and %s/responses (API).", url, url)
        logger.info("LLM: %s. Traces: %s. Press Ctrl+C to stop.", llm, store or "off")


def create_worker() -> Starlette:
    """Return the application of a server process, with the agent of this repository."""
    configure_logging()
    exit_with_parent()
    store = try_to_connect_store()
    try:
        agent = load_agent()
    except TypeError as error:  # uvicorn would hide the traceback
        raise ImportError("The agent cannot be imported.") from error
    if store is None:
        mlflow.tracing.disable()
    app = create_app(agent, on_shutdown=flush_traces)
    freeze_garbage_collector()
    return app


def load_agent() -> ResponsesAgent:
    """Import the agent. Select the store first, because the import turns on tracing."""
    from ..agent import AGENT

    return AGENT


def configure_logging() -> None:
    """Log every request of this server, and only warnings from libraries."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger(__package__).setLevel(logging.INFO)
    throttle_store_warnings()


@cache
def try_to_connect_store() -> str | None:
    """Connect to the store of traces and return its URI; if that fails, log a warning."""
    # MLflow's default would keep the server from starting for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        return connect_store()
    except ProjectError as error:
        logger.warning("%s Tracing is off until the server restarts.", error)
        return None


def flush_traces() -> None:
    """Store the remaining traces, for at most ten seconds."""
    flush = Thread(target=mlflow.flush_trace_async_logging, daemon=True)
    flush.start()
    flush.join(TRACE_FLUSH_SECONDS)
    if flush.is_alive():
        logger.warning("The store did not accept the last traces in time; they are lost.")
        # At exit, MLflow would wait for the store without end.
        os._exit(0)  # ast-grep-ignore: exit-call


def exit_with_parent() -> None:
    """Exit when the supervisor process dies, so that no worker is orphaned."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_and_exit() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # ast-grep-ignore: exit-call

    Thread(target=wait_and_exit, daemon=True).start()


def freeze_garbage_collector() -> None:
    """Exclude imported objects from garbage collection.

    Full collections paused all requests and made the slowest 5 % about 50 % slower.
    """
    gc.collect()
    gc.freeze()
