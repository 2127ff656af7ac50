"""`serve` when what is around it fails: processes that are killed, and callers who leave."""

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

from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, text
from tests.helpers.template import ROOT
from tests.server.serving import (
    HELLO,
    Serve,
    Served,
    free_port,
    mlflow_server,
    port_of,
    runs,
    spoken,
    status,
    store_in,
    stored_traces,
    tells_nothing,
    wait_until,
    wait_until_healthy,
)

STREAM = HELLO | {"stream": True}


def connections(port: int) -> Counter[int | None]:
    """The processes that are connected to a port, and how often each is."""
    return Counter(
        one.pid
        for one in psutil.net_connections("tcp4")
        if one.raddr and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED
    )


# Several processes


@dataclass
class UnderWay:
    """Requests that wait for the model, and which process waits with how many."""

    asked: list[Future[int | None]]
    at: Counter[int | None]
    model: threading.Event

    def finish(self) -> list[int | None]:
        """Let the model speak; the statuses of all answers."""
        self.model.set()
        return [one.result() for one in self.asked]


def ask_both_processes(served: Served, server: ChatServer, pool: ThreadPoolExecutor) -> UnderWay:
    """Ask until each of two processes has a request under way."""
    for _ in range(600):
        server.bodies.clear()
        server.say(Turn(text("Good day"), held=(model := threading.Event())))
        asked = [pool.submit(status, served) for _ in range(8)]
        wait_until(lambda: len(server.bodies) == 8)
        wait_until(lambda: connections(port_of(server.url)).total() == 8)
        under_way = UnderWay(asked, connections(port_of(server.url)), model)
        if len(under_way.at) == 2:
            return under_way
        under_way.finish()
    raise AssertionError("One process answers everything.")


def test_a_killed_process_is_replaced_and_none_outlives_their_supervisor(
    server: ChatServer, serve: Serve
) -> None:
    served = serve("--workers=2")
    with ThreadPoolExecutor(8) as pool:
        under_way = ask_both_processes(served, server, pool)
        killed, survivor = under_way.at
        assert killed
        os.kill(killed, signal.SIGKILL)
        server.say(text("Good day"))
        assert [status(served) for _ in range(5)] == [200] * 5
        statuses = under_way.finish()
        assert Counter(statuses) == {None: under_way.at[killed], 200: under_way.at[survivor]}
        again = ask_both_processes(served, server, pool)
        assert killed not in again.at
        assert survivor in again.at
        assert again.finish() == [200] * 8
    family = served.family()
    served.process.kill()
    wait_until(lambda: not any(map(runs, family)))


# The model


@contextmanager
def model_at(port: int, *, seconds_between_tokens: float) -> Generator[None]:
    """A model in a process of its own, which is killed at the end."""
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


def test_a_model_that_is_killed_is_told_to_each_caller_until_it_is_back(serve: Serve) -> None:
    port = free_port()
    served = serve(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    begun = threading.Semaphore(0)

    def kinds() -> list[str]:
        events = []
        for event in served.events(HELLO):
            if event["type"] == "response.output_text.delta":
                begun.release()
            assert tells_nothing(json.dumps(event))
            events.append(event["type"])
        return events

    with ThreadPoolExecutor(16) as pool:
        with model_at(port, seconds_between_tokens=2):
            whole = [pool.submit(served.post, HELLO) for _ in range(8)]
            streamed = [pool.submit(kinds) for _ in range(8)]
            wait_until(lambda: connections(port).total() == 16)
            assert all(begun.acquire(timeout=30) for _ in range(8))
        assert httpx.get(f"{served.url}/health").status_code == httpx.codes.OK
        for answer in (one.result() for one in whole):
            assert answer.status_code == 502
            assert "The agent could not answer" in answer.text
            assert tells_nothing(answer.text)
        for events in (one.result() for one in streamed):
            assert events[-2:] == ["error", "response.failed"]
    assert served.log.read_text(encoding="utf-8").count("broke off") >= 16
    assert served.post(HELLO).status_code == 502
    assert kinds() == ["response.created", "error", "response.failed"]
    with model_at(port, seconds_between_tokens=0):
        assert "token19" in spoken(served.post(HELLO).json())
        assert kinds()[-1] == "response.completed"


# The store


def test_a_store_that_is_killed_fails_no_request_and_takes_traces_when_it_is_back(
    agent: Agent, serve: Serve, server: ChatServer, tmp_path: Path
) -> None:
    port = free_port()
    with ThreadPoolExecutor(8) as pool:
        with mlflow_server(agent, tmp_path, port) as store:
            served = serve(MLFLOW_TRACKING_URI=store.url, AGENT_TRACES_PER_SECOND="1000")
            server.say(text("Good day"))
            assert served.post(HELLO).status_code == 200
            wait_until(lambda: len(stored_traces(store.url)) == 1)
            server.say(Turn(text("Good day"), held=(model := threading.Event())))
            asked = [pool.submit(served.post, body) for body in (HELLO, STREAM) * 4]
            wait_until(lambda: len(server.bodies) == 1 + 8)
        model.set()
        for answer in (one.result() for one in asked):
            assert answer.status_code == 200
            assert "response.failed" not in answer.text
    wait_until(lambda: "Traces are lost" in served.log.read_text(encoding="utf-8"))
    with mlflow_server(agent, tmp_path, port) as store:
        trace_id = ask_for_a_trace(served)
        wait_until(lambda: trace_id in {one.info.trace_id for one in stored_traces(store.url)})
        os.killpg(store.process.pid, signal.SIGSTOP)
        ask_for_a_trace(served)
        assert served.stop(), "It waits for a store that is silent."
    log = served.log.read_text(encoding="utf-8")
    assert log.count("Traces are lost") == log.count("Failed to send trace") == 1
    assert "The store took too long with the last traces" in log
    assert "Retrying" not in log


def test_a_store_that_is_silent_at_the_start_keeps_no_request_waiting(
    serve: Serve, server: ChatServer
) -> None:
    server.say(text("Good day"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        served = serve(MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
        assert spoken(served.post(HELLO).json()) == "Goodday"
    assert served.log.read_text(encoding="utf-8").count("nothing is traced") == 1


def ask_for_a_trace(served: Served) -> str:
    """Ask once; the trace that the log names then."""
    before = len(named_traces(served))
    assert served.post(HELLO).status_code == 200
    wait_until(lambda: len(named_traces(served)) > before)
    return named_traces(served)[-1]


def named_traces(served: Served) -> list[str]:
    """The traces that the log names."""
    return re.findall(r"trace (tr-\w+)", served.log.read_text(encoding="utf-8"))


# Callers


@dataclass(frozen=True)
class Held:
    """What a server holds on to."""

    tasks: int
    descriptors: int
    threads: int


def held(served: Served) -> Held:
    """What a server that says how many tasks it has (`tests/server/counting`) holds on to now."""
    told = "asyncio tasks: "
    before = served.log.read_text(encoding="utf-8").count(told)
    served.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: served.log.read_text(encoding="utf-8").count(told) > before)
    tasks = re.findall(rf"{told}(\d+)", served.log.read_text(encoding="utf-8"))[-1]
    process = psutil.Process(served.process.pid)
    return Held(int(tasks), process.num_fds(), process.num_threads())


CALLERS = 50
# One thread stores traces, so that their number does not depend on how fast requests come.
COUNTING = {
    "PYTHONPATH": str(ROOT / "tests/server/counting"),
    "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS": "1",
    "AGENT_TRACES_PER_SECOND": "1000",
}


def leave(served: Served, server: ChatServer) -> None:
    """Begin requests, every second one a stream, and leave in the middle of the answers."""
    server.bodies.clear()
    server.left.clear()
    server.say(Turn(text("word " * 1000), seconds_between=0.05))
    bodies = [STREAM if number % 2 else HELLO for number in range(CALLERS)]
    asked = [served.begin(json.dumps(body).encode()) for body in bodies]
    wait_until(lambda: len(server.bodies) == CALLERS)
    for caller in asked[1::2]:
        assert caller.recv(1), "The stream has not begun."
    for caller in asked:
        caller.close()
    wait_until(lambda: len(server.left) == CALLERS)
    wait_until(lambda: not connections(port_of(server.url)))


def send_what_is_no_request(served: Served) -> None:
    """Be refused, or leave before the request is complete."""
    for refused in (b"[", b"[]", json.dumps({"input": 42}).encode()):
        assert served.post(refused).status_code == 400
    served.begin(json.dumps(HELLO).encode(), length=1000).close()
    served.begin(b"").close()
    with served.begin(b"\x16\x03\x01" * 100, length=3) as garbled:
        assert garbled.recv(1)


def test_callers_who_leave_or_are_refused_leave_nothing_behind(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve(**COUNTING)
    idle = held(served)

    def disturb() -> None:
        leave(served, server)
        for _ in range(10):
            send_what_is_no_request(served)

    disturb()
    wait_until(lambda: held(served).tasks == idle.tasks)
    once = held(served)
    disturb()
    wait_until(lambda: held(served).tasks == idle.tasks)
    wait_until(lambda: held(served).descriptors <= once.descriptors)
    assert held(served).threads < once.threads + CALLERS // 2, "Threads grow with the callers."
    server.say(text("Good day"))
    assert spoken(served.post(HELLO).json()) == "Goodday"
    assert len(server.bodies) == CALLERS + 1, "The model was asked what is no request."
    wait_until(lambda: len(stored_traces(store_in(tmp_path))) == 2 * CALLERS + 1)
