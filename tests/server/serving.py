"""Running `serve` of an agent, and asking it over HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
from mlflow import MlflowClient
from mlflow.entities import Trace

from tests.helpers.agents import Agent, clean_environment

TOKYO = "What time is it in Tokyo?"
HELLO: dict[str, Any] = {"input": [{"role": "user", "content": "Hello"}]}


@dataclass
class Served:
    """A running `serve`, its process and what it has logged."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, body: Any, route: str = "responses", **options: Any) -> httpx.Response:
        """Send a request; bytes are sent as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.post(f"{self.url}/{route}", content=content, timeout=60, **options)

    def events(self, body: dict[str, Any], **headers: str) -> Iterator[dict[str, Any]]:
        """The events of a streamed answer, as they come."""
        sent, url = body | {"stream": True}, f"{self.url}/responses"
        with httpx.stream("POST", url, json=sent, headers=headers, timeout=60) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def begin(self, body: bytes, *, length: int | None = None) -> socket.socket:
        """Send a request, or less than its `length`, without waiting for the answer."""
        caller = socket.create_connection(("127.0.0.1", port_of(self.url)), timeout=60)
        length = len(body) if length is None else length
        head = f"POST /responses HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n"
        caller.sendall(head.encode() + body)
        return caller

    def client(self) -> openai.OpenAI:
        """The client of the API."""
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0)

    def family(self) -> list[psutil.Process]:
        """The processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> bool:
        """Ask it to stop; whether it did so in an orderly way."""
        self.process.send_signal(signal.SIGTERM)
        # uvicorn tidies up, and then lets the signal have its way.
        return self.process.wait(60) in (0, -signal.SIGTERM)


Serve = Callable[..., Served]


def runs(process: psutil.Process) -> bool:
    """Whether a process is there, and not only its exit status."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def port_of(url: str) -> int:
    """The port that a URL names."""
    return int(url.rpartition(":")[2])


def free_port() -> int:
    """A port of the loopback that nothing listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def store_in(folder: Path) -> str:
    """Where an agent traces that is served from a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


@cache
def empty_store(agent: Agent) -> Path:
    """A store without traces, to be copied: making one takes longer than starting `serve`."""
    store = agent.folder.parent / f"empty-{os.getpid()}.db"
    connect = f"from {agent.package.name}.ops.store import connect_store; connect_store()"
    agent.check("python", "-c", connect, MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    return store


@contextmanager
def serving(agent: Agent, folder: Path, *options: str, **variables: str) -> Generator[Served]:
    """Run `serve` on a free port until the block ends."""
    port, log = free_port(), folder / "serve.log"
    if "MLFLOW_TRACKING_URI" not in variables:
        shutil.copy(empty_store(agent), folder / "mlflow.db")
        variables["MLFLOW_TRACKING_URI"] = store_in(folder)
    environment = {"AGENT_LLM": "offline:/demo"} | variables
    command = [agent.folder / ".venv/bin/weather-agent", "serve", f"--port={port}", *options]
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=agent.folder,
            env=clean_environment() | environment,
            stdout=written,
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
    """Wait for the first answer of /health."""
    for _ in range(600):
        assert served.process.poll() is None, served.log.read_text(encoding="utf-8")
        with suppress(httpx.TransportError):
            if httpx.get(f"{served.url}/health").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError("It does not get healthy.")


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for a condition, for half a minute at most."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("It does not come about.")


def status(served: Served) -> int | None:
    """Ask once; None if the connection broke."""
    with suppress(httpx.TransportError):
        return served.post(HELLO).status_code
    return None


def spoken(answer: dict[str, Any]) -> str:
    """The text of a whole answer."""
    messages = [item for item in answer["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


def tells_nothing(answer: str) -> bool:
    """Whether an error keeps to itself what is inside the server."""
    return not re.search(r"Traceback|File \"|site-packages|\.py\b|Error\b", answer)


def stored_traces(store: str) -> list[Trace]:
    """The traces of the agent that a store holds."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("weather-agent")
    assert experiment is not None
    return client.search_traces(
        locations=[experiment.experiment_id], max_results=500, include_spans=False
    )


@contextmanager
def mlflow_server(agent: Agent, folder: Path, port: int) -> Generator[Served]:
    """MLflow's own server, which is killed at the end; what it stores stays in the folder."""
    database = f"sqlite:///{folder / 'store.db'}"
    command = [agent.folder / ".venv/bin/mlflow", "server", f"--backend-store-uri={database}"]
    process = subprocess.Popen(
        [*command, f"--port={port}", "--workers=1"],
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
