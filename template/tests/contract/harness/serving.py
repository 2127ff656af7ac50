"""Serves an agent with the repository's own server while tests run."""

import importlib
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

TOKEN = "token-of-the-contract"


@contextmanager
def serving(agent: Any, package: str) -> Generator[str]:
    """Serve an agent on a free local port, for requests with the token `TOKEN`.

    The server is the one in the agent's package. For a loaded model that is the copy in the model,
    so each model is tested with the server it was logged with.

    Args:
        agent: A ResponsesAgent.
        package: The name of its package, which contains the module `server`.

    Yields:
        The URL.

    Raises:
        ModuleNotFoundError: The package has no module `server`.
        RuntimeError: The server did not start.
    """
    app = _create_app(agent, importlib.import_module(f"{package}.server"))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    if not server.started:
        raise RuntimeError("The server ended during startup.")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _create_app(agent: Any, module: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        # Settings in the environment or in .env must not affect the server under test.
        for name in [name for name in os.environ if name.startswith("AGENT_")]:
            if name != "AGENT_LLM":
                patch.delenv(name)
        patch.setenv("AGENT_TOKEN", TOKEN)
        return module.create_app(agent)
