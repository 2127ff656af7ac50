"""Request headers that the agent reads, and the traces of responses."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow.entities import LiveSpan, SpanType
from mlflow.genai.agent_server import get_request_headers
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package
from tests.server.conftest import RunApp
from tests.server.scripted import RETURN_TRACE, STREAM, Events, answer_with, message
from tests.server.serving import HELLO, output_text, root_of


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
    text = app.post(STREAM, headers=RETURN_TRACE).text
    *events, trace, done = re.findall(r"^data: (.*)", text, re.MULTILINE)
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
