"""The repository's own server around an agent, for as long as the tests run."""

import importlib
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

TOKEN = "token-of-the-contract"
# What may be set, in .env or elsewhere, for another server than this one.
LIMITS = ("AGENT_MAX_REQUESTS", "AGENT_TRACES_PER_SECOND", "AGENT_STOP_SECONDS")


@contextmanager
def serving(instance: Any, package: str) -> Generator[str]:
    """Serve an agent on a free port of this machine, to those who bring `TOKEN`.

    The server is the one of the agent's own package, with which it shares code. The package of a
    loaded model is the model's copy: the repository as it was when the model was logged, so that
    each model is tried with the server that `serve` had then. The traces go to the store of the
    tests. MLflow allows one such server a process.

    Args:
        instance: A ResponsesAgent.
        package: The name of its package, which holds the module `server`.

    Yields:
        The address.

    Raises:
        ModuleNotFoundError: the package has no such module.
        RuntimeError: the server ended before it could be asked.
    """
    app = app_around(instance, importlib.import_module(f"{package}.server"))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    if not server.started:
        raise RuntimeError("It ended while it was started.")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def app_around(instance: Any, own_server: Any) -> Any:
    """The application, made as where nothing is set but a token."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.delenv(name, raising=False)
        patch.setenv("AGENT_TOKEN", TOKEN)
        return own_server.create_app(instance)
