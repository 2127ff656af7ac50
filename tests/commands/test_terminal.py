"""Questions and conversations in the terminal: `ask` and `chat`."""

import json
import shlex
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pexpect
import pytest
from mlflow.types.responses import ResponsesAgentStreamEvent

from tests.conftest import Package
from tests.helpers.agents import Agent, clean_environment
from tests.helpers.model_server import ChatServer, Turn, calls, text
from tests.server.scripted import delta, message
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


@pytest.mark.parametrize("part", [{"text": "Hi"}, {"refusal": "Hi"}])
def test_a_message_without_deltas_is_printed(
    part: dict[str, str],
    package: Package,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = [{"type": "refusal" if "refusal" in part else "output_text", **part}]
    item = {"type": "message", "id": "msg_2", "role": "assistant", "content": content}
    done = ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
    streamed = [delta("Well"), message("Well"), done]
    agent = SimpleNamespace(predict_stream=lambda _request: (event for event in streamed))
    monkeypatch.setattr(package("agent"), "AGENT", agent)
    items: list[dict[str, Any]] = []
    package("commands.ask").print_answer(None, items)
    assert capsys.readouterr().out == "Well\nHi\n"
    assert items[1] == item


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
    [("", "The question is empty. Pass one"), ("\\351", "The question is not UTF-8 text.")],
)
def test_question_is_checked_before_mlflow_is_imported(
    agent: Agent, stdin: str, words: str
) -> None:
    command = f"printf '{stdin}' | python -c {shlex.quote(RUN_ASK)}"
    done = agent.run("sh", "-c", command)
    assert done.stdout == "False\n"
    assert words in done.stderr


def test_chat_in_a_pipe_answers_each_line(
    agent: Agent, server: ChatServer, variables: dict[str, str]
) -> None:
    server.reply(
        Turn(calls(("current_time", {"place": "Tokyo"})), finish_reason="tool_calls"),
        text("Late."),
        Turn(status=400, error="Too long"),
        text("Bye."),
    )
    done = pipe(agent, b"\xef\xbb\xbfTime?\n\nFail\nGood bye\nexit\nMore\n", "chat", **variables)
    assert done.returncode == 1  # because a turn failed
    assert server.bodies[0]["messages"][-1]["content"] == "Time?"
    call, output, *answers = done.stdout.decode().splitlines()
    assert call == '→ current_time({"place": "Tokyo"})'
    assert output.startswith("← ")
    assert answers == ["Late.", "", "Bye."]
    (error,) = done.stderr.decode().splitlines()
    assert error.startswith("error: openai:/m returned status 400: Too long.")
    messages = server.bodies[-1]["messages"][1:]
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[-1]["content"] == "Good bye"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("printf '\\351' | $0 chat", "error: Standard input is not UTF-8 text."),
        ("$0 ask $(printf '\\351')", "The question is not UTF-8 text."),
        ("$0 ask <&-", "The question is empty."),
        ("$0 chat <&-", ""),
        ("cd $(mktemp -d); rmdir $PWD; $0 ask Hi", "The current folder no longer exists."),
        # `yes` ends with the first question; `chat` must end with it.
        ("yes | $0 chat | head -c 1 > /dev/null", ""),
    ],
)
def test_unusual_input_and_output(
    agent: Agent, variables: dict[str, str], command: str, words: str
) -> None:
    program = str(agent.folder / ".venv/bin/weather-agent")
    environment = clean_environment() | variables | {"AGENT_LLM": "offline:/demo"}
    done = subprocess.run(
        ["sh", "-c", command, program], env=environment, stdout=-1, stderr=-1, timeout=300
    )
    errors = [line for line in done.stderr.decode().splitlines() if "rror: " in line]
    assert len(errors) == (1 if words else 0), errors
    assert words in "".join(errors)


def test_chat_in_a_terminal_is_one_session(
    agent: Agent, server: ChatServer, variables: dict[str, str]
) -> None:
    stopped = threading.Event()
    server.reply(text("First."), Turn(text("Half lost"), hold_last=stopped), text("Third."))
    chat = pexpect.spawn(
        str(agent.folder / ".venv/bin/weather-agent"),
        ["chat"],
        env=clean_environment() | variables | {"NO_COLOR": "1", "TERM": "dumb"},
        encoding="utf-8",
        timeout=120,
    )
    chat.expect("Ctrl\\+C stops an answer.*> ")
    chat.sendline("one")
    chat.expect("First\\.\r\n.*> ")
    chat.sendline("two")
    chat.expect("Half")
    chat.sendintr()
    chat.expect("> ")
    stopped.set()
    chat.sendintr()
    chat.expect("> ")
    chat.sendline("three")
    chat.expect("Third\\.\r\n.*> ")
    chat.sendeof()
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
    contents = [message["content"] for message in server.bodies[-1]["messages"][1:]]
    assert contents == ["one", "First.", "two", "Half", "three"]
    mlflow.set_tracking_uri(variables["MLFLOW_TRACKING_URI"])
    experiment = mlflow.get_experiment_by_name("weather-agent")
    assert experiment is not None
    traces = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
    assert [trace.info.state.value for trace in traces] == ["OK"] * 3
    sessions = {trace.info.trace_metadata["mlflow.trace.session"] for trace in traces}
    assert len(sessions) == 1
