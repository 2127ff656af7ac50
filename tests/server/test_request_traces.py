"""Request headers that the agent reads, and the traces of responses."""

import json
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LiveSpan, SpanType, TraceState
from mlflow.genai.agent_server import get_request_headers
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package
from tests.helpers.agents import Agent, clean_environment
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.conftest import RunApp
from tests.server.scripted import RETURN_TRACE, STREAM, Events, answer_with, message
from tests.server.serving import (
    HELLO,
    Serve,
    empty_store,
    output_text,
    root_of,
    store_in,
    stored_traces,
    wait_until,
)


def test_complete_response_returns_its_trace(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    assert app.post(HELLO).json()["metadata"] == {}
    body = app.post(HELLO, headers=RETURN_TRACE).json()
    root = root_of(body["metadata"]["trace_id"])
    assert root.span_type == SpanType.AGENT
    assert root.inputs["input"][0]["content"] == "Hello"
    assert output_text(root.outputs) == "Hi"
    assert root.outputs == body


def test_stream_returns_its_trace_at_the_end(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    assert "trace_id" not in app.post(STREAM).text
    body = app.post(STREAM, headers=RETURN_TRACE).text
    *events, trace, done = re.findall(r"^data: (.*)", body, re.MULTILINE)
    assert json.loads(events[-1])["type"] == "response.completed"
    assert done == "[DONE]"
    metadata = json.loads(trace)
    assert metadata.keys() == {"trace_id"}
    for event in (events[0], events[-1]):
        assert json.loads(event)["response"]["metadata"] == metadata
    root = root_of(metadata["trace_id"])
    assert root.span_type == SpanType.AGENT
    assert root.inputs["input"][0]["content"] == "Hello"
    assert output_text(root.outputs) == "Hi"


@pytest.mark.parametrize("method", ["set_inputs", "set_outputs"])
def test_failure_of_tracing_fails_no_request(
    method: str,
    run_app: RunApp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_span: LiveSpan, _value: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(LiveSpan, method, fail)
    app = run_app(answer_with("Hi"))
    assert output_text(app.post(HELLO).json()) == "Hi"
    assert '"type":"response.completed"' in app.post(STREAM).text
    assert caplog.text.count("A trace lacks its inputs or outputs.") == 2


def test_trace_in_unity_catalog_is_recorded(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    span = Mock(trace_id="trace:/main.traces/1f")
    monkeypatch.setattr(mlflow, "start_span", lambda *_, **_options: nullcontext(span))
    request = ResponsesAgentRequest.model_validate(HELLO)
    state = package("server.state").RequestState()
    with package("server.endpoint").root_span("predict", request, state):
        assert state.trace_id == span.trace_id


def test_agent_and_tools_can_read_request_headers(package: Package, run_app: RunApp) -> None:
    def read_user() -> str:
        return get_request_headers()["x-forwarded-user"]

    toolbox = package("runtime.toolbox").Toolbox([read_user])

    async def answer(_request: ResponsesAgentRequest) -> Events:
        user = get_request_headers()["x-forwarded-user"]
        from_tool = await toolbox.run("read_user", "{}", max_length=100)
        yield message(f"{user} {from_tool}")

    app = run_app(answer)
    with ThreadPoolExecutor(4) as pool:
        users = [f"user-{number}" for number in range(8)]
        responses = pool.map(
            lambda user: app.post(HELLO, headers={"x-forwarded-user": user}), users
        )
        assert [output_text(response.json()) for response in responses] == [
            f"{user} {user}" for user in users
        ]


def test_sigterm_loses_no_trace_of_the_server(serve: Serve, server: ChatServer) -> None:
    served = serve(AGENT_TRACES_PER_SECOND="100", AGENT_STOP_SECONDS="1")
    server.reply(text("Hi"))
    for _ in range(10):
        served.post(HELLO)
    server.reply(Turn(text("one two"), hold_last=Event()))
    events = served.events(HELLO)
    next(events)
    assert served.stop()
    traces = stored_traces(store_in(served.log.parent))
    assert [trace.info.state for trace in traces] == [TraceState.ERROR] + 10 * [TraceState.OK]


def stop_during_answer(agent: Agent, llm: ChatServer, store: str, *command: str) -> None:
    """Send SIGTERM to a command of the agent that waits for the end of the LLM's answer."""
    llm.reply(Turn(text("one two"), hold_last=Event()))
    variables = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{llm.url}/v1"}
    process = subprocess.Popen(
        [agent.folder / ".venv/bin/weather-agent", *command],
        cwd=agent.folder,
        env=clean_environment() | variables | {"MLFLOW_TRACKING_URI": store},
        stdout=subprocess.PIPE,
    )
    with process:
        wait_until(lambda: llm.bodies)
        if command[0] == "ask":
            assert process.stdout
            assert process.stdout.read(3) == b"one"
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM


def test_sigterm_loses_no_trace_or_run_of_a_command(
    agent: Agent, server: ChatServer, tmp_path: Path
) -> None:
    shutil.copy(empty_store(agent), tmp_path / "mlflow.db")
    store = store_in(tmp_path)
    stop_during_answer(agent, server, store, "ask", "Hello")
    (trace,) = stored_traces(store)
    assert (trace.info.state, trace.info.response_preview) == (TraceState.OK, "one")
    server.bodies.clear()
    stop_during_answer(agent, server, store, "log")
    (run,) = MlflowClient(store).search_runs([str(trace.info.experiment_id)])
    assert run.info.status == "FAILED"
