"""Runs the server as a process or in a thread, and sends requests to it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import mlflow
import openai
import psutil
import pytest
import uvicorn
from mlflow import MlflowClient
from mlflow.entities import Span, Trace

from tests.helpers.agents import Agent, clean_environment

TOKYO = "What time is it in Tokyo?"
HELLO: dict[str, Any] = {"input": [{"role": "user", "content": "Hello"}]}


@dataclass
class Endpoint:
    """A server at a URL, and ways to send requests to it."""

    url: str

    def post(self, body: Any, route: str = "responses", **options: Any) -> httpx.Response:
        """Send a request; bytes are sent unencoded."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(f"{self.url}/{route}", content=content, timeout=60, **options)

    def events(self, body: dict[str, Any], **headers: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a streamed response as they arrive."""
        request, url = body | {"stream": True}, f"{self.url}/responses"
        with httpx.stream("POST", url, json=request, headers=headers, timeout=60) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def open_request(self, body: bytes, *, length: int | None = None) -> socket.socket:
        """Send a request without reading the response.

        Args:
            body: The body, or the part of it that is sent.
            length: The value of Content-Length; by default, the length of the body.
        """
        connection = socket.create_connection(("127.0.0.1", port_of(self.url)), timeout=60)
        connection.sendall(http_request(body, length))
        return connection

    def client(self) -> openai.OpenAI:
        """Return an OpenAI client for this server."""
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)


@dataclass
class Served(Endpoint):
    """A running server: its URL, its process and its log file."""

    process: subprocess.Popen[bytes]
    log: Path

    def read_log(self) -> str:
        """Return everything that was logged so far."""
        return self.log.read_text(encoding="utf-8")

    def child_processes(self) -> list[psutil.Process]:
        """Return its child processes."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> bool:
        """Send SIGTERM, and return whether the server shut down in an orderly way."""
        self.process.send_signal(signal.SIGTERM)
        # After its shutdown, uvicorn raises the signal again.
        return self.process.wait(60) in (0, -signal.SIGTERM)


Serve = Callable[..., Served]


@contextmanager
def serving_app(app: Any, **options: Any) -> Generator[Endpoint]:
    """Run an ASGI application in a thread of this process until the block ends.

    Args:
        app: The application.
        options: Options of uvicorn.
    """
    options = {"log_config": None, "access_log": False} | options
    server = uvicorn.Server(uvicorn.Config(app, **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield Endpoint(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive(), "The server did not stop within 30 seconds."


def http_request(body: bytes, length: int | None = None) -> bytes:
    """Return a request to /responses as it is sent; its length is that of the body by default."""
    length = len(body) if length is None else length
    head = f"POST /responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def is_running(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return int(url.rpartition(":")[2])


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def store_in(folder: Path) -> str:
    """Return the URI of the store of a server that runs in a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


@cache
def empty_store(agent: Agent) -> Path:
    """Create a store to copy: creating one takes longer than starting the server."""
    store = agent.folder.parent / f"empty-{os.getpid()}.db"
    program = f"from {agent.package.name}.ops.store import connect_store; connect_store()"
    agent.check("python", "-c", program, MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    return store


@contextmanager
def serving(agent: Agent, folder: Path, *options: str, **variables: str) -> Generator[Served]:
    """Run `serve` on a free port until the block ends, with the offline LLM by default."""
    port, log = free_port(), folder / "serve.log"
    if "MLFLOW_TRACKING_URI" not in variables:
        shutil.copy(empty_store(agent), folder / "mlflow.db")
        variables["MLFLOW_TRACKING_URI"] = store_in(folder)
    environment = {"AGENT_LLM": "offline:/demo"} | variables
    command = [agent.folder / ".venv/bin/weather-agent", "serve", f"--port={port}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=agent.folder,
            env=clean_environment() | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    served = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_healthy(served)
        yield served
    finally:
        process.kill()
        process.wait()


def wait_until_healthy(served: Served) -> None:
    """Wait until /health responds with 200, for at most a minute."""
    for _ in range(600):
        assert served.process.poll() is None, served.read_log()
        with suppress(httpx.TransportError):
            if httpx.get(f"{served.url}/health").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError("The server does not become healthy.")


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition is true, for at most 60 seconds."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("The condition did not become true within 60 seconds.")


def status_of_request(served: Endpoint) -> int | None:
    """Send a request and return the status; None if the connection was closed."""
    with suppress(httpx.TransportError):
        return served.post(HELLO).status_code
    return None


def output_text(response: dict[str, Any]) -> str:
    """Return the text of a complete response."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def hides_internals(body: str) -> bool:
    """Return whether a response body contains no traceback, path or name of an exception."""
    return not re.search(r"Traceback|File \"|site-packages|\.py\b|Error\b", body)


def stored_traces(store: str) -> list[Trace]:
    """Return the traces of the agent in a store, without spans."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("weather-agent")
    assert experiment is not None
    return client.search_traces(
        locations=[experiment.experiment_id], max_results=500, include_spans=False
    )


@contextmanager
def mlflow_server(agent: Agent, folder: Path, port: int, *options: str) -> Generator[Served]:
    """Run MLflow's tracking server until the block ends; its database stays in the folder."""
    database = f"sqlite:///{folder / 'store.db'}"
    command = [agent.folder / ".venv/bin/mlflow", "server", f"--backend-store-uri={database}"]
    process = subprocess.Popen(
        [*command, f"--port={port}", "--workers=1", *options],
        cwd=folder,
        env=clean_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    served = Served(f"http://127.0.0.1:{port}", process, folder / "store.log")
    try:
        wait_until_healthy(served)
        yield served
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def access_log(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the access log."""
    return [record.getMessage() for record in caplog.records if record.name.endswith(".middleware")]


def stored_trace(trace_id: str) -> Any:
    """Return a trace; it is stored when its request has ended."""
    mlflow.flush_trace_async_logging()
    traces: list[Any] = []
    wait_until(lambda: traces.append(mlflow.get_trace(trace_id, silent=True)) or traces[-1])
    return traces[-1]


def root_of(trace_id: str) -> Span:
    """Return the root span of a trace."""
    return next(span for span in stored_trace(trace_id).data.spans if span.parent_id is None)
