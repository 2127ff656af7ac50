"""Questions and conversations in the terminal: `ask` and `chat`."""

import json
import shlex
import subprocess
import threading
from pathlib import Path

import mlflow
import pexpect
import pytest

from tests.helpers.agents import Agent, clean_environment
from tests.helpers.model_server import ChatServer, Turn, calls, text
from tests.server.serving import empty_store, store_in


@pytest.fixture
def variables(agent: Agent, server: ChatServer, tmp_path: Path) -> dict[str, str]:
    """The variables that select the fake LLM and a store of the test."""
    (tmp_path / "mlflow.db").write_bytes(empty_store(agent).read_bytes())
    return {
        "AGENT_LLM": "openai:/m",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "MLFLOW_TRACKING_URI": store_in(tmp_path),
    }


def pipe(
    agent: Agent, stdin: bytes, *command: str, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the agent with this standard input; it may fail."""
    return subprocess.run(
        [agent.folder / ".venv/bin/weather-agent", *command],
        env=clean_environment() | variables,
        input=stdin,
        capture_output=True,
        timeout=300,
    )


def test_ask_reads_a_pipe_and_prints_json(
    agent: Agent, server: ChatServer, variables: dict[str, str]
) -> None:
    server.reply(Turn(text("Half an"), finish_reason="length"))
    done = pipe(agent, "What is “half”?\n".encode(), "ask", "--json", **variables)
    response = json.loads(done.stdout)
    assert server.bodies[0]["messages"][-1]["content"] == "What is “half”?\n"
    assert response["output"][0]["content"][0]["text"] == "Halfan"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert done.stderr.decode() == "warning: The answer is incomplete: max_output_tokens.\n"
    assert done.returncode == 0


def test_ask_reads_a_dash_and_reports_an_incomplete_answer(
    agent: Agent, server: ChatServer, variables: dict[str, str]
) -> None:
    server.reply(Turn(text("Half"), finish_reason="content_filter"))
    done = pipe(agent, b"Hello", "ask", "-", **variables)
    assert server.bodies[0]["messages"][-1]["content"] == "Hello"
    assert done.stdout == b"Half\n"
    assert done.stderr == b"warning: The answer is incomplete: content_filter.\n"


RUN_ASK = """
import sys
from weather_agent.commands.cli import main
try:
    main(["ask", *sys.argv[1:]])
finally:
    print("mlflow" in sys.modules)
"""


@pytest.mark.parametrize(
    ("stdin", "words"),
    [("", "The value is empty."), ("\\351", "Standard input is not UTF-8 text.")],
)
def test_question_is_checked_before_mlflow_is_imported(
    agent: Agent, stdin: str, words: str
) -> None:
    command = f"printf '{stdin}' | python -c {shlex.quote(RUN_ASK)}"
    done = agent.run("sh", "-c", command)
    assert done.stdout == "False\n"
    assert words in done.stderr
