"""The default agent with the fake LLM, served for all clients, and programs that use them."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.clients.clients import DATE, NODE, Client
from tests.clients.llm import reply_to
from tests.conftest import Package
from tests.helpers.agents import clean_environment
from tests.helpers.model_server import ChatServer, Turn
from tests.server.serving import serving_app

PROGRAMS = Path(__file__).parent / "programs"

# Runs the program of a client, and returns its results by situation.
RunClient = Callable[[Client], dict[str, Any]]


@pytest.fixture
def agent_url(
    package: Package, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of the agent; its paths include those of endpoints on Databricks."""
    monkeypatch.setenv("AGENT_LLM", "openai:/m")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    agent = package("agent").AGENT
    config = agent.config.model_copy(update={"llm_max_retries": 0})
    agent = type(agent)(config, agent.instructions, agent.toolbox)
    app = package("server").create_app(agent, package("server.settings").ServerSettings())
    paths = ("/serving-endpoints/weather-agent", "/serving-endpoints", "/")
    with serving_app(Starlette(routes=[Mount(path, app) for path in paths])) as endpoint:
        yield endpoint.url


@pytest.fixture
def run_client(agent_url: str, server: ChatServer, tmp_path: Path) -> RunClient:
    """Runs the program of a client in an environment of its own.

    The result `agent_stops` is whether the agent ended its request to the LLM after the client had
    left a stream.
    """
    shutil.copytree(PROGRAMS, folder := tmp_path / "programs")
    uv = ["uv", "run", "--quiet", "--no-project", "--isolated", f"--exclude-newer={DATE}"]

    def run(*command: str) -> str:
        done = subprocess.run(
            [*uv, *command],
            cwd=folder,
            env=clean_environment() | {"NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_client(client: Client) -> dict[str, Any]:
        ended: list[bool] = []

        def choose(body: dict[str, Any]) -> Turn:
            turn = reply_to(body)
            if turn.cut:  # the last situations; the client has left a stream in the first one
                ended.append(server.disconnected.wait(10))
            return turn

        server.choose = choose
        if client.is_for_node:
            options = [f"--with={NODE}"]
            run(*options, "npm", "install", "--silent", f"--before={DATE}", *client.packages)
            command = "node"
        else:
            options = [f"--with={package}" for package in client.packages]
            command = "python"
        results = run(*options, command, client.program, agent_url, *client.arguments)
        return json.loads(results) | {"agent_stops": all(ended)}

    return run_client
