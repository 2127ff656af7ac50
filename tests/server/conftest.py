"""Applications that run in a thread of the tests, with an agent and settings of the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from mlflow.pyfunc import ResponsesAgent

from tests.conftest import Package
from tests.helpers.model_server import ChatServer
from tests.server.scripted import Answer, ScriptedAgent
from tests.server.serving import Endpoint, serving_app

# Runs an application with an agent and settings, in a thread.
RunApp = Callable[..., Endpoint]


@pytest.fixture
def run_app(package: Package) -> Iterator[RunApp]:
    """A function that runs the application until the test ends.

    It takes a function that yields an agent's events, or an agent, and the settings of the server.
    """
    with ExitStack() as stack:

        def run(agent: ResponsesAgent | Answer, **settings: Any) -> Endpoint:
            if not isinstance(agent, ResponsesAgent):
                agent = ScriptedAgent(agent)
            server_settings = package("server.settings").ServerSettings(
                **{"traces_per_second": 1000} | settings
            )
            app = package("server").create_app(agent, server_settings)
            stop_seconds = server_settings.stop_seconds
            return stack.enter_context(serving_app(app, timeout_graceful_shutdown=stop_seconds))

        yield run


@pytest.fixture
def run_agent(
    package: Package, run_app: RunApp, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> RunApp:
    """A function that runs the application with the default agent and the fake LLM."""
    monkeypatch.setenv("AGENT_LLM", "openai:/m")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    agent = package("agent").AGENT
    config = agent.config.model_copy(update={"llm_max_retries": 0})
    agent = type(agent)(config, agent.instructions, agent.toolbox)
    return lambda **settings: run_app(agent, **settings)
