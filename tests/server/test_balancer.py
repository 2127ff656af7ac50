"""Several servers behind a balancer: callers cannot tell them from one."""

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
from tests.helpers.model_server import ChatServer, Turn, calls, text
from tests.server.serving import (
    HELLO,
    Served,
    free_port,
    serving,
    spoken,
    status,
    wait_until,
    wait_until_healthy,
)

DATES = ({"start": "2026-01-01", "end": "2026-03-01"}, {"start": "2026-03-01", "end": "2026-03-08"})
# A connection of its own for each request, so that their turns are strictly taken; none is sent
# twice, as an agent's tools may have done something already.
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
    """A balancer, and the servers behind it."""

    front: Served
    servers: list[Served]

    def answered(self) -> list[int]:
        """How many requests each server has answered."""
        logs = [server.log.read_text(encoding="utf-8") for server in self.servers]
        return [len(re.findall(r"POST /responses 200", log)) for log in logs]


@contextmanager
def balancing(servers: list[Served], folder: Path) -> Generator[Balanced]:
    """Run Caddy in front of servers until the block ends."""
    port, config, log = free_port(), folder / "Caddyfile", folder / "caddy.log"
    hosts = " ".join(server.url.removeprefix("http://") for server in servers)
    config.write_text(CADDYFILE.format(port=port, servers=hosts), encoding="utf-8")
    command = ["caddy", "run", "--adapter=caddyfile", f"--config={config}"]
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=folder, stdout=written, stderr=written)
    front = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_healthy(front)
        yield Balanced(front, servers)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def balanced(agent: Agent, tmp_path: Path, server: ChatServer) -> Iterator[Balanced]:
    """Two servers, each with a store of its own, that ask one LLM."""
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{server.url}/v1"}
    with ExitStack() as stack:
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        servers = [stack.enter_context(serving(agent, folder, **llm)) for folder in folders]
        yield stack.enter_context(balancing(servers, tmp_path))


def conversation(served: Served, server: ChatServer) -> tuple[list[str], list[Any]]:
    """Ask four times, each time with all that was said; what is answered, and what the LLM saw."""
    server.bodies.clear()
    server.say(
        calls(("days_between", DATES[0]), call_id="first"),
        text("59 days"),
        text("You are welcome"),
        calls(("days_between", DATES[1]), call_id="second"),
        text("7 days"),
        text("Good bye"),
    )
    turns: list[Any] = []
    said = []
    for asked in ("How many days?", "Thank you.", "And to the eighth?", "Bye."):
        turns.append({"role": "user", "content": asked})
        answer = served.post({"input": turns}).json()
        turns += answer["output"]
        said.append(spoken(answer))
    return said, [body["messages"] for body in server.bodies]


def test_a_conversation_goes_from_server_to_server_as_if_they_were_one(
    balanced: Balanced, server: ChatServer
) -> None:
    together = conversation(balanced.front, server)
    wait_until(lambda: balanced.answered() == [2, 2])
    assert together == conversation(balanced.servers[0], server)
    said, seen = together
    assert said == ["59days", "Youarewelcome", "7days", "Goodbye"]
    assert [message["role"] for message in seen[-1]].count("tool") == 2


def test_a_stream_comes_through_as_it_is_said(balanced: Balanced, server: ChatServer) -> None:
    server.say(Turn(text("one two three four"), held=(heard := threading.Event())))
    kinds = []
    for event in balanced.front.events(HELLO):
        kinds.append(event["type"])
        if kinds.count("response.output_text.delta") == 3:
            heard.set()  # only now the model says the last word
    assert kinds.count("response.output_text.delta") == 4
    assert kinds[-1] == "response.completed"


# One that stops answers what it has begun; a request may arrive in the very moment.
@pytest.mark.parametrize(("stop", "most_lost"), [(signal.SIGTERM, 1), (signal.SIGKILL, 4)])
def test_when_one_server_ends_the_others_serve_on(
    stop: signal.Signals, most_lost: int, balanced: Balanced, server: ChatServer
) -> None:
    server.say(Turn(text("Good day"), seconds_between=0.1))
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(status, balanced.front) for _ in range(40)]
        asked[10].result()
        balanced.servers[0].process.send_signal(stop)
        statuses = [one.result() for one in asked]
    answered = statuses.count(200)
    assert answered >= len(asked) - most_lost
    assert statuses[-10:] == [200] * 10
    if stop is signal.SIGTERM:
        assert answered == len(server.bodies)
    assert balanced.servers[0].process.wait(60) in (0, -stop)
