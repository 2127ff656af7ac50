"""MLflow's own server around an agent, as in MLflow's documentation, but with threads.

`mlflow_alone.py` uses it. As a program, in an agent's folder and environment, this file serves the
agent of a package until stdin is closed.
"""

import importlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from mlflow.genai.agent_server import AgentServer, invoke, stream
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool


@contextmanager
def serving(instance: Any) -> Generator[str]:
    """Serve a ResponsesAgent on a free port of this machine.

    The agent's methods run in threads, so that they do not block the event loop.

    Yields:
        The URL of the server.
    """
    register(instance)
    config = uvicorn.Config(
        AgentServer("ResponsesAgent").app, host="127.0.0.1", port=0, log_level="critical"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def register(instance: Any) -> None:
    """Register an agent's methods as the server's handlers; MLflow allows one pair per process."""

    @invoke()
    async def predict(request: Any) -> Any:
        return await run_in_threadpool(instance.predict, request)

    @stream()
    async def predict_stream(request: Any) -> AsyncIterator[Any]:
        async for event in iterate_in_threadpool(instance.predict_stream(request)):
            yield event


if __name__ == "__main__":
    with serving(importlib.import_module(f"{sys.argv[1]}.agent").AGENT) as url:
        print(url, flush=True)
        sys.stdin.read()
