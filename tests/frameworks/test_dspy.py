"""Programs of DSPy that owners change."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.frameworks.test_frameworks import answer_of
from tests.helpers.agents import Agent, install
from tests.helpers.model_server import ChatServer, calls, text
from tests.server.serving import TOKYO

ANSWER = "    answer: str = dspy.OutputField()\n"


@pytest.fixture(scope="module")
def agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with a program of two outputs."""
    folder = tmp_path_factory.mktemp("dspy") / "weather-agent"
    shutil.copytree(render(framework="dspy"), folder)
    file = folder / "src/weather_agent/agent.py"
    code = file.read_text("utf-8")
    assert ANSWER in code
    file.write_text(
        code.replace(ANSWER, f"    is_urgent: bool = dspy.OutputField()\n{ANSWER}"), "utf-8"
    )
    return install(folder)


def test_several_outputs(agent: Agent, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = agent.run("weather-agent", "ask", TOKYO, MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stderr
    assert "current_time says: " in done.stdout
    assert "[[ ##" not in done.stdout


def test_an_answer_without_its_fields_is_an_error_of_the_llm(
    agent: Agent, server: ChatServer
) -> None:
    server.reply(text("It is nine."))
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{server.url}/v1"}
    done = agent.run("weather-agent", "ask", "Hello", **llm)
    assert done.returncode == 1
    assert "openai:/m did not return the outputs of the program." in done.stderr


def test_a_conversation_has_its_fields(agent: Agent, server: ChatServer) -> None:
    written = "[[ ## is_urgent ## ]]\nFalse\n\n[[ ## answer ## ]]\nNine.\n\n[[ ## completed ## ]]"
    server.reply(calls(("current_time", {"place": "Tokyo"})), [{"content": written}])
    output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"] == "Nine."
    first, second = (body["messages"] for body in server.bodies[-2:])
    assert first[-1]["content"].startswith("[[ ## question ## ]]\nHello")
    assert [message["role"] for message in second[len(first) :]] == ["assistant", "tool"]
