"""Failures around the server: killed workers, LLMs and stores, and clients that disconnect."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, text
from tests.helpers.template import ROOT
from tests.server.scripted import STREAM
from tests.server.serving import (
    HELLO,
    Serve,
    Served,
    free_port,
    hides_internals,
    is_running,
    mlflow_server,
    output_text,
    port_of,
    status_of_request,
    store_in,
    stored_traces,
    wait_until,
    wait_until_healthy,
)


def connections(port: int) -> Counter[int | None]:
    """Count the connections to a port by process."""
    return Counter(
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.raddr
        and connection.raddr.port == port
        and connection.status == psutil.CONN_ESTABLISHED
    )


# Workers


@dataclass
class Pending:
    """Requests that wait for the LLM, and how many of them each worker handles."""

    statuses: list[Future[int | None]]
    workers: Counter[int | None]
    release: threading.Event

    def finish(self) -> list[int | None]:
        """Let the LLM answer, and return the statuses of all responses."""
        self.release.set()
        return [status.result() for status in self.statuses]


def occupy_both_workers(served: Served, server: ChatServer, pool: ThreadPoolExecutor) -> Pending:
    """Send requests until each of two workers handles at least one."""
    for _ in range(600):
        server.bodies.clear()
        server.reply(Turn(text("Good day"), hold_last=(release := threading.Event())))
        statuses = [pool.submit(status_of_request, served) for _ in range(8)]
        wait_until(lambda: len(server.bodies) == 8)
        wait_until(lambda: connections(port_of(server.url)).total() == 8)
        pending = Pending(statuses, connections(port_of(server.url)), release)
        if len(pending.workers) == 2:
            return pending
        pending.finish()
    raise AssertionError("One worker handles all requests.")


@pytest.mark.proof
def test_killed_worker_is_replaced_and_no_worker_outlives_its_supervisor(
    server: ChatServer, serve: Serve
) -> None:
    served = serve("--workers=2")
    with ThreadPoolExecutor(8) as pool:
        pending = occupy_both_workers(served, server, pool)
        killed, survivor = pending.workers
        assert killed
        os.kill(killed, signal.SIGKILL)
        server.reply(text("Good day"))
        assert [status_of_request(served) for _ in range(5)] == [200] * 5
        statuses = pending.finish()
        assert Counter(statuses) == {None: pending.workers[killed], 200: pending.workers[survivor]}
        pending = occupy_both_workers(served, server, pool)
        assert killed not in pending.workers
        assert survivor in pending.workers
        assert pending.finish() == [200] * 8
    workers = served.child_processes()
    served.process.kill()
    wait_until(lambda: not any(map(is_running, workers)))


# The LLM


@contextmanager
def fake_llm(port: int, *, seconds_between_tokens: float) -> Generator[None]:
    """Run an LLM as a process, and kill it when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serve.fake_model", str(port)],
        cwd=ROOT,
        env=os.environ | {"SECONDS_BETWEEN_TOKENS": str(seconds_between_tokens)},
    )
    try:
        wait_until_healthy(Served(f"http://127.0.0.1:{port}", process, Path(os.devnull)))
        yield
    finally:
        process.kill()
        process.wait()


def test_killed_llm_is_an_error_until_it_is_back(serve: Serve) -> None:
    port = free_port()
    served = serve(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    deltas = threading.Semaphore(0)

    def event_types() -> list[str]:
        types = []
        for event in served.events(HELLO):
            if event["type"] == "response.output_text.delta":
                deltas.release()
            assert hides_internals(json.dumps(event))
            types.append(event["type"])
        return types

    with ThreadPoolExecutor(16) as pool:
        with fake_llm(port, seconds_between_tokens=2):
            complete = [pool.submit(served.post, HELLO) for _ in range(8)]
            streamed = [pool.submit(event_types) for _ in range(8)]
            wait_until(lambda: connections(port).total() == 16)
            assert all(deltas.acquire(timeout=30) for _ in range(8))
        assert httpx.get(f"{served.url}/health").status_code == httpx.codes.OK
        for response in (request.result() for request in complete):
            assert response.status_code == httpx.codes.BAD_GATEWAY
            assert "The agent could not answer" in response.text
            assert hides_internals(response.text)
        for types in (request.result() for request in streamed):
            assert types[-2:] == ["error", "response.failed"]
    assert served.read_log().count("is unreachable or closed the connection") >= 16
    assert served.post(HELLO).status_code == 502
    assert event_types() == ["response.created", "error", "response.failed"]
    with fake_llm(port, seconds_between_tokens=0):
        assert "token19" in output_text(served.post(HELLO).json())
        assert event_types()[-1] == "response.completed"


# The store


def test_store_outage_loses_traces_and_no_requests(
    agent: Agent, serve: Serve, server: ChatServer, tmp_path: Path
) -> None:
    port = free_port()
    with ThreadPoolExecutor(8) as pool:
        with mlflow_server(agent, tmp_path, port) as store:
            served = serve(MLFLOW_TRACKING_URI=store.url, AGENT_TRACES_PER_SECOND="1000")
            server.reply(text("Good day"))
            assert served.post(HELLO).status_code == 200
            wait_until(lambda: len(stored_traces(store.url)) == 1)
            server.reply(Turn(text("Good day"), hold_last=(release := threading.Event())))
            requests = [pool.submit(served.post, body) for body in (HELLO, STREAM) * 4]
            wait_until(lambda: len(server.bodies) == 1 + 8)
        release.set()
        for response in (request.result() for request in requests):
            assert response.status_code == httpx.codes.OK
            assert "response.failed" not in response.text
    wait_until(lambda: "Traces cannot be stored" in served.read_log())
    with mlflow_server(agent, tmp_path, port) as store:
        trace_id = traced_request(served)
        wait_until(lambda: trace_id in {trace.info.trace_id for trace in stored_traces(store.url)})
        os.killpg(store.process.pid, signal.SIGSTOP)
        traced_request(served)
        assert served.stop(), "The server waits for a store that does not respond."
    log = served.read_log()
    assert log.count("Traces cannot be stored") == log.count("Failed to send trace") == 1
    assert "The store did not accept the last traces in time" in log
    assert "Retrying" not in log


def test_server_starts_with_a_store_that_does_not_respond(serve: Serve, server: ChatServer) -> None:
    server.reply(text("Good day"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        served = serve(MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
        assert output_text(served.post(HELLO).json()) == "Goodday"
    assert served.read_log().count("Tracing is off until the server restarts") == 1


def traced_request(served: Served) -> str:
    """Send a request, and return its trace id from the access log."""
    before = len(logged_traces(served))
    assert served.post(HELLO).status_code == httpx.codes.OK
    wait_until(lambda: len(logged_traces(served)) > before)
    return logged_traces(served)[-1]


def logged_traces(served: Served) -> list[str]:
    """Return the trace ids in the access log."""
    return re.findall(r"trace (tr-\w+)", served.read_log())


# Clients


@dataclass(frozen=True)
class Usage:
    """The resources that a server uses."""

    tasks: int
    descriptors: int
    threads: int


def usage_of(served: Served) -> Usage:
    """Measure a server that prints its number of tasks (`tests/server/task_counter`)."""
    label = "asyncio tasks: "
    before = served.read_log().count(label)
    served.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: served.read_log().count(label) > before)
    tasks = re.findall(rf"{label}(\d+)", served.read_log())[-1]
    process = psutil.Process(served.process.pid)
    return Usage(int(tasks), process.num_fds(), process.num_threads())


CLIENTS = 50
# One thread stores traces, so the number of threads does not depend on the request rate.
VARIABLES = {
    "PYTHONPATH": str(ROOT / "tests/server/task_counter"),
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS": "1",
    "AGENT_TRACES_PER_SECOND": "1000",
}


def disconnect_during_responses(served: Served, server: ChatServer) -> None:
    """Send requests, every second one a stream, and disconnect during the responses."""
    server.bodies.clear()
    server.disconnects.clear()
    server.reply(Turn(text("word " * 1000), seconds_between=0.05))
    bodies = [STREAM if number % 2 else HELLO for number in range(CLIENTS)]
    clients = [served.open_request(json.dumps(body).encode()) for body in bodies]
    wait_until(lambda: len(server.bodies) == CLIENTS)
    for client in clients[1::2]:
        assert client.recv(1), "The stream has not started."
    for client in clients:
        client.close()
    wait_until(lambda: len(server.disconnects) == CLIENTS)
    wait_until(lambda: not connections(port_of(server.url)))


def send_invalid_requests(served: Served) -> None:
    """Send invalid requests, and disconnect before the end of others."""
    for body in (b"[", b"[]", json.dumps({"input": 42}).encode()):
        assert served.post(body).status_code == httpx.codes.BAD_REQUEST
    served.open_request(json.dumps(HELLO).encode(), length=1000).close()
    served.open_request(b"").close()
    with served.open_request(b"\x16\x03\x01" * 100, length=3) as client:
        assert client.recv(1)


def test_disconnects_and_invalid_requests_leak_no_resources(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve(**VARIABLES)
    idle = usage_of(served)

    def send_all() -> None:
        disconnect_during_responses(served, server)
        for _ in range(10):
            send_invalid_requests(served)

    send_all()
    wait_until(lambda: usage_of(served).tasks <= idle.tasks)
    once = usage_of(served)
    send_all()
    wait_until(lambda: usage_of(served).tasks <= idle.tasks)
    wait_until(lambda: usage_of(served).descriptors <= once.descriptors)
    assert usage_of(served).threads < once.threads + CLIENTS // 2
    server.reply(text("Good day"))
    assert output_text(served.post(HELLO).json()) == "Goodday"
    assert len(server.bodies) == CLIENTS + 1, "Invalid requests reached the LLM."
    wait_until(lambda: len(stored_traces(store_in(tmp_path))) == 2 * CLIENTS + 1)
