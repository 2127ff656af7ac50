"""Starts and stops the processes of the server."""

import gc
import logging
import multiprocessing
import os
import signal
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
from ..runtime.llm import split_uri
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


def serve(host: str, port: int, *, workers: int = 1, reload: bool = False) -> None:
    """Serve the agent until SIGTERM or Ctrl+C.

    Raises:
        ProjectError: A setting is invalid.
        LLMError: The URI of the LLM is invalid.
    """
    settings = load_settings()
    split_uri(load_config().llm_uri())
    configure_logging()
    if workers > 1:
        try_to_connect_store()  # two workers that create the same new store would break it
        load_agent()  # uvicorn restarts workers that cannot import it forever
    logger.info("Serving at http://%s:%d; press Ctrl+C to stop.", host, port)
    uvicorn.run(
        f"{__name__}:create_worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        **(RELOAD_OPTIONS if reload else {}),
        # httptools drops the body of a request that offers HTTP/2, as Java's client does, and sends
        # chunks to HTTP/1.0 clients. The limit of headers leaves room for a user's tokens.
        http="h11",
        h11_max_incomplete_event_size=65_536,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=settings.stop_seconds,
        timeout_worker_healthcheck=30,
    )


def create_worker() -> Starlette:
    """Return the application of a server process, with the agent of this repository."""
    configure_logging()
    exit_with_parent()
    is_connected = try_to_connect_store()
    agent = load_agent()
    if not is_connected:
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


def try_to_connect_store() -> bool:
    """Connect to the store of traces, and log a warning if that fails."""
    # MLflow's default would keep the server from starting for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    try:
        connect_store()
    except ProjectError as error:
        logger.warning("%s Tracing is off until the server restarts.", error)
        return False
    return True


def flush_traces() -> None:
    """Store the remaining traces, for at most ten seconds."""
    flush = Thread(target=mlflow.flush_trace_async_logging, daemon=True)
    flush.start()
    flush.join(TRACE_FLUSH_SECONDS)
    if flush.is_alive():
        logger.warning("The store did not accept the last traces in time; they are lost.")
        # Everything else has ended, and MLflow would wait for the store forever.
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
