"""Several servers behind a load balancer behave like one."""

import re
import signal
import subprocess
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, calls, chat_server, text
from tests.server.serving import (
    HELLO,
    Served,
    free_port,
    output_text,
    serving,
    status_of_request,
    wait_until,
    wait_until_healthy,
)

pytestmark = pytest.mark.proof

DATES = ({"start": "2026-01-01", "end": "2026-03-01"}, {"start": "2026-03-01", "end": "2026-03-08"})
# Without keep-alive, requests strictly alternate between the servers. Requests are not retried:
# the tools of an agent may have side effects.
CADDYFILE = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy {servers} {{
        lb_policy round_robin
        lb_try_duration 10s
        health_uri /health
        health_interval 1s
        fail_duration 5s
        transport http {{
            keepalive off
        }}
    }}
}}
"""


@dataclass
class Balanced:
    """A load balancer, the servers behind it and their LLM."""

    front: Served
    servers: list[Served]
    llm: ChatServer

    def completed(self) -> list[int]:
        """Return how many requests each server has completed."""
        logs = [server.read_log() for server in self.servers]
        return [len(re.findall(r"POST /responses 200 in", log)) for log in logs]


@contextmanager
def caddy(servers: list[Served], folder: Path) -> Generator[Served]:
    """Run Caddy in front of the servers until the block ends."""
    port, config, log = free_port(), folder / "Caddyfile", folder / "caddy.log"
    hosts = " ".join(server.url.removeprefix("http://") for server in servers)
    config.write_text(CADDYFILE.format(port=port, servers=hosts), encoding="utf-8")
    command = ["caddy", "run", "--adapter=caddyfile", f"--config={config}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    front = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_healthy(front)
        yield front
    finally:
        process.kill()
        process.wait()


@contextmanager
def balancing(agent: Agent, folder: Path) -> Generator[Balanced]:
    """Run two servers with the same LLM, each with its own store, behind a load balancer."""
    with ExitStack() as stack:
        llm = stack.enter_context(chat_server())
        variables = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{llm.url}/v1"}
        folders = [folder / "one", folder / "two"]
        for path in folders:
            path.mkdir()
        servers = [stack.enter_context(serving(agent, path, **variables)) for path in folders]
        yield Balanced(stack.enter_context(caddy(servers, folder)), servers, llm)


@pytest.fixture(scope="module")
def balanced(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    """A load balancer and two servers; tests must not stop them."""
    with balancing(agent, tmp_path_factory.mktemp("balanced")) as running:
        yield running


def conversation(served: Served, server: ChatServer) -> tuple[list[str], list[Any]]:
    """Hold a conversation of four turns; return the answers and the messages sent to the LLM."""
    server.bodies.clear()
    server.reply(
        calls(("days_between", DATES[0]), call_id="first"),
        text("59 days"),
        text("You are welcome"),
        calls(("days_between", DATES[1]), call_id="second"),
        text("7 days"),
        text("Good bye"),
    )
    turns: list[Any] = []
    answers = []
    for question in ("How many days?", "Thank you.", "And to the eighth?", "Bye."):
        turns.append({"role": "user", "content": question})
        response = served.post({"input": turns}).json()
        turns += response["output"]
        answers.append(output_text(response))
    return answers, [body["messages"] for body in server.bodies]


def test_conversation_spans_servers(balanced: Balanced) -> None:
    one, two = balanced.completed()
    through_balancer = conversation(balanced.front, balanced.llm)
    wait_until(lambda: balanced.completed() == [one + 2, two + 2])
    assert through_balancer == conversation(balanced.servers[0], balanced.llm)
    answers, messages = through_balancer
    assert answers == ["59days", "Youarewelcome", "7days", "Goodbye"]
    assert [message["role"] for message in messages[-1]].count("tool") == 2


def test_balancer_does_not_buffer_streams(balanced: Balanced) -> None:
    balanced.llm.reply(Turn(text("one two three four"), hold_last=(release := threading.Event())))
    kinds = []
    for event in balanced.front.events(HELLO):
        kinds.append(event["type"])
        if kinds.count("response.output_text.delta") == 3:
            release.set()  # only now the LLM sends the last word
    assert kinds.count("response.output_text.delta") == 4
    assert kinds[-1] == "response.completed"


# A stopping server completes its requests; one may arrive at the moment when it stops listening.
@pytest.mark.parametrize(
    ("stop", "most_lost"),
    [(signal.SIGTERM, 1), (signal.SIGKILL, 4)],
)
def test_other_server_takes_over(
    stop: signal.Signals, most_lost: int, agent: Agent, tmp_path: Path
) -> None:
    with balancing(agent, tmp_path) as balanced, ThreadPoolExecutor(4) as pool:
        balanced.llm.reply(Turn(text("Good day"), seconds_between=0.1))
        requests = [pool.submit(status_of_request, balanced.front) for _ in range(40)]
        requests[10].result()
        balanced.servers[0].process.send_signal(stop)
        statuses = [request.result() for request in requests]
        completed = statuses.count(200)
        assert completed >= len(requests) - most_lost
        assert statuses[-10:] == [200] * 10
        if stop is signal.SIGTERM:
            assert completed == len(balanced.llm.bodies)
        assert balanced.servers[0].process.wait(60) in (0, -stop)
