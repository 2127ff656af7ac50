"""Errors of the LLM: clients raise an exception, and repeat only what is worth repeating."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.conftest import RunApp
from tests.server.serving import HELLO

TOO_LONG = "This model's maximum context length is 8192 tokens, but 9000 were requested."
# Failures of the LLM, and the status and code of the response.
FAILURES: dict[str, tuple[Turn, int, str]] = {
    "rate limit": (Turn(status=429, error="Slow down."), 429, "rate_limit_exceeded"),
    "wrong key": (Turn(status=401, error="Incorrect API key."), 424, "llm_refused"),
    "no permission": (Turn(status=403, error="Not allowed."), 424, "llm_refused"),
    "unknown model": (Turn(status=404, error="No such model."), 424, "llm_refused"),
    "refused request": (Turn(status=400, error="Unsupported value."), 424, "llm_refused"),
    "too long": (Turn(status=400, error=TOO_LONG), 400, "context_length_exceeded"),
    "too large": (Turn(status=413, error="Prompt is too long"), 400, "context_length_exceeded"),
    "outage": (Turn(status=500, error="Try again."), 502, "llm_error"),
    "timeout": (Turn(status=408, error="Timed out."), 502, "llm_error"),
    "overload": (Turn(status=529, error="Overloaded"), 502, "llm_error"),
    "cut connection": (Turn(text("Hello"), cut=True), 502, "llm_error"),
    "finish reason error": (Turn(text("Hello"), finish_reason="error"), 502, "llm_error"),
    "empty answer": (Turn([]), 502, "llm_error"),
    "error in the stream": (
        Turn(raw_start=b'data: {"error": {"message": "Overloaded", "type": "overloaded"}}\n\n'),
        502,
        "llm_error",
    ),
    "rate limit in the stream": (
        Turn(raw_start=b'data: {"error": {"message": "Slow down", "code": 429}}\n\n'),
        429,
        "rate_limit_exceeded",
    ),
    "too long in the stream": (
        Turn(raw_start=b'data: {"error": {"code": "CONTEXT_LENGTH_EXCEEDED"}}\n\n'),
        400,
        "context_length_exceeded",
    ),
    "error of vLLM in the stream": (
        Turn(raw_start=b'data: {"object": "error", "message": "Out of memory", "code": 500}\n\n'),
        502,
        "llm_error",
    ),
    "error in a choice": (
        Turn(raw_start=b'data: {"choices": [{"error": {"message": "No", "code": 502}}]}\n\n'),
        502,
        "llm_error",
    ),
    "error as a text": (Turn(raw_start=b'data: {"error": "Boom"}\n\n'), 502, "llm_error"),
    "error event": (
        Turn(raw_start=b'event: error\ndata: {"message": "Boom"}\n\n'),
        502,
        "llm_error",
    ),
}


@pytest.mark.parametrize(("turn", "status", "code"), FAILURES.values(), ids=FAILURES)
def test_failures_have_their_own_status(
    turn: Turn, status: int, code: str, run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(turn)
    response = run_agent().post(HELLO)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("turn", "status", "code"), FAILURES.values(), ids=FAILURES)
def test_failed_streams_raise_in_the_client(
    turn: Turn, status: int, code: str, run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(turn)
    client = run_agent().client()
    with pytest.raises(openai.APIError) as raised:
        list(client.responses.create(model="agent", input="Hello", stream=True))
    assert raised.value.code == code
    assert raised.value.message


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        *(("7", 7), ("6.2", 7), ("0", 0), ("-5", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)),
        *(("soon", None), ("nan", None), ("inf", None), ("", None)),
    ],
)
def test_the_client_learns_when_to_try_again(
    sent: str, seconds: int | None, run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(Turn(status=429, error="Slow down.", headers={"retry-after": sent}))
    app = run_agent()
    assert app.post(HELLO).headers.get("retry-after") == (None if seconds is None else str(seconds))
    (error,) = (event for event in app.events(HELLO) if event["type"] == "error")
    assert error["error"].get("retry_after") == seconds


def test_a_date_is_seconds_from_now(run_agent: RunApp, server: ChatServer) -> None:
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    server.reply(Turn(status=429, error="Slow down.", headers={"retry-after": tomorrow}))
    assert 86_000 < int(run_agent().post(HELLO).headers["retry-after"]) <= 86_400


@pytest.mark.parametrize(
    ("reason", "details"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_a_cut_off_answer_is_incomplete(
    reason: str, details: str, run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(Turn(text("Hello"), finish_reason=reason))
    app = run_agent()
    *_, last = app.events(HELLO)
    assert last["type"] == "response.incomplete"
    for response in (app.post(HELLO).json(), last["response"]):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": details}
        assert response["output"][0]["status"] == "incomplete"
    assert app.client().responses.create(model="agent", input="Hello").status == "incomplete"


IGNORED = (
    b": ping\n\n",
    b"data: null\n\n",
    b"data:\n\n",
    b"event: ping\n\n",
    b"id: 1\ndata: \n\n",
    b"data: {}\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
)


@pytest.mark.parametrize("start", IGNORED)
def test_events_without_content_are_skipped(
    start: bytes, run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(Turn(text("Hello"), raw_start=start))
    assert run_agent().post(HELLO).status_code == httpx.codes.OK


def test_a_server_that_does_not_stream_is_supported(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(Turn(text("Hello"), streams=False))
    response = run_agent().post(HELLO)
    assert response.status_code == httpx.codes.OK, response.text
    assert response.json()["output"][0]["content"][0]["text"] == "Hello"


def test_the_end_of_a_stream_is_a_finish_reason(run_agent: RunApp, server: ChatServer) -> None:
    """Databricks' gateway and vLLM-MLX send only the end if the model stops by itself."""
    server.reply(Turn(text("Hello"), finish_reason=None))
    assert run_agent().post(HELLO).json()["status"] == "completed"


def test_a_whole_completion_in_a_stream_is_supported(run_agent: RunApp, server: ChatServer) -> None:
    """Some gateways pass the JSON of a server on that does not stream."""
    choice = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()
    server.reply(Turn([], raw_start=body, finish_reason=None))
    response = run_agent().post(HELLO)
    assert response.status_code == httpx.codes.OK, response.text
    assert response.json()["output"][0]["content"][0]["text"] == "Hello"


def test_a_refusal_is_streamed_as_one(run_agent: RunApp, server: ChatServer) -> None:
    server.reply([{"refusal": "I "}, {"refusal": "cannot."}])
    app = run_agent()
    events = [*app.events(HELLO)]
    deltas = [event["delta"] for event in events if event["type"] == "response.refusal.delta"]
    assert deltas == ["I ", "cannot."]
    parts = [{"type": "refusal", "refusal": "I cannot."}]
    assert events[-1]["response"]["output"][0]["content"] == parts
    with app.client().responses.stream(model="agent", input="Hello") as stream:
        assert stream.get_final_response().model_dump()["output"][0]["content"] == parts


def test_an_error_of_the_llm_counts_before_that_of_a_client(package: Package) -> None:
    """openai 2 wraps the errors of a transport."""
    request: Any = httpx.Request("POST", "http://llm.invalid")  # openai 3 has its own type
    error = openai.APIConnectionError(request=request)
    error.__cause__ = package("runtime.llm").LLMError("m returned status 429.", 429)
    assert package("server.errors").report_failure(error).status == 429
