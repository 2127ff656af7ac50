"""Error responses: one shape, and no details of the agent."""

import asyncio
import json
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent

from tests.conftest import Package
from tests.server.conftest import RunApp
from tests.server.scripted import (
    RETURN_TRACE,
    STREAM,
    Events,
    ScriptedAgent,
    answer_with,
    fail_with,
    message,
    wait_forever,
)
from tests.server.serving import (
    HELLO,
    access_log,
    hides_internals,
    serving_app,
    stored_trace,
    wait_until,
)


def respond_with(status: int, package: Package, run_app: RunApp) -> httpx.Response:
    """Make the server respond with an error."""
    match status:
        case 400:
            return run_app(answer_with("Hi")).post(b"Hello")
        case 401:
            return run_app(answer_with("Hi"), token="sesame").post(HELLO)
        case 404:
            return run_app(answer_with("Hi")).post(HELLO, "nowhere")
        case 405:
            return httpx.get(f"{run_app(answer_with('Hi')).url}/responses")
        case 408:
            app = run_app(answer_with("Hi"), body_timeout_seconds=0.1)
            with app.open_request(b"{", length=100) as connection:
                connection.settimeout(10)
                head = connection.recv(65_536)
                _, _, body = head.partition(b"\r\n\r\n")
                return httpx.Response(int(head.split()[1]), content=body or connection.recv(65_536))
        case 413:
            return run_app(answer_with("Hi"), max_body_bytes=10).post(HELLO)
        case 429:
            app = run_app(wait_forever, max_requests=1, stop_seconds=1)
            with app.open_request(json.dumps(HELLO).encode()):
                responses: list[httpx.Response] = []
                wait_until(
                    lambda: responses.append(app.post(b"[]")) or responses[-1].status_code == 429
                )
                return responses[-1]
        case 500:
            return run_app(fail_with(KeyError("secret-7"))).post(HELLO)
        case 502:
            error = package("runtime.llm").LLMError("secret-7 of /opt/model.py")
            return run_app(fail_with(error)).post(HELLO)
        case 503:
            return respond_while_stopping(package)
        case 504:
            return run_app(fail_with(TimeoutError("secret-7"))).post(HELLO)
    raise AssertionError(status)


def respond_while_stopping(
    package: Package, body: dict[str, Any] = HELLO, **headers: str
) -> httpx.Response:
    """Return the response to a request that outlives the shutdown of the server."""
    started = threading.Event()

    async def wait(_request: ResponsesAgentRequest) -> Events:
        started.set()
        await asyncio.sleep(60)
        yield message("too late")

    settings = package("server.settings").ServerSettings()
    app = package("server").create_app(ScriptedAgent(wait), settings)
    with ThreadPoolExecutor(1) as pool:
        with serving_app(app, timeout_graceful_shutdown=1) as running:
            response = pool.submit(running.post, body, headers=headers)
            assert started.wait(10)
        return response.result()


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "invalid_request"),
        (401, "authentication_error", "invalid_token"),
        (404, "invalid_request_error", "not_found"),
        (405, "invalid_request_error", "method_not_allowed"),
        (408, "invalid_request_error", "request_timeout"),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "too_many_requests"),
        (500, "server_error", "agent_error"),
        (502, "server_error", "llm_error"),
        (503, "server_error", "server_stopping"),
        (504, "server_error", "answer_timeout"),
    ],
)
def test_every_error_has_the_same_shape(
    status: int, kind: str, code: str, package: Package, run_app: RunApp
) -> None:
    response = respond_with(status, package, run_app)
    assert response.status_code == status
    error = response.json()["error"]
    assert response.json() == {"error": error}
    text = error.pop("message")
    retry = {"retry_after": 1} if status == httpx.codes.TOO_MANY_REQUESTS else {}
    logged = {"id": match[1]} if (match := re.search(r"See error (\w+) in", text)) else {}
    assert error == {"type": kind, "code": code, "param": None} | retry | logged
    assert text.endswith(".")
    assert hides_internals(text)
    assert "secret-7" not in text


def test_error_names_the_invalid_field(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    for body, param in (
        ({"input": [{"role": "human", "content": "x"}]}, "input.0"),
        (HELLO | {"custom_inputs": "x"}, "custom_inputs"),
        (HELLO | {"stream": "false"}, "stream"),
        ({"input": []}, "input"),
    ):
        error = app.post(body).json()["error"]
        assert error["param"] == param
        assert f"`{param}`" in error["message"]


OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "42"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (json.dumps({"input": [OUTPUT]}), "`input` is empty. Send at least one message."),
        (f'{{"input": "Hi", "seed": {"1" * 5000}}}', "an integer has more than 4,300 digits."),
    ],
    ids=["only a tool output", "a long integer"],
)
def test_error_of_the_body(body: str, text: str, run_app: RunApp) -> None:
    response = run_app(answer_with("Hi")).post(body.encode())
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert text in response.json()["error"]["message"]


def test_a_message_of_the_assistant_is_enough(run_app: RunApp) -> None:
    body = {"input": [{"role": "assistant", "content": "I am an agent."}]}
    assert run_app(answer_with("Hi")).post(body).status_code == httpx.codes.OK


def test_too_many_requests_asks_to_retry(package: Package, run_app: RunApp) -> None:
    response = respond_with(429, package, run_app)
    assert response.headers["retry-after"] == "1"
    assert "limit of concurrent requests (1)" in response.json()["error"]["message"]


def test_openai_client_raises_the_error(run_app: RunApp) -> None:
    client = run_app(answer_with("Hi")).client()
    with pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model="agent", input=[])
    assert raised.value.code == "invalid_request"
    assert raised.value.param == "input"


def test_failure_during_a_stream(run_app: RunApp, caplog: pytest.LogCaptureFixture) -> None:
    app = run_app(fail_with(KeyError("secret-7")))
    response = app.post(STREAM, headers=RETURN_TRACE)
    assert response.status_code == httpx.codes.OK
    assert "secret-7" not in response.text
    *events, trace, done = re.findall(r"^data: (.*)", response.text, re.MULTILINE)
    first, *_, error, failed = map(json.loads, events)
    assert [event["type"] for event in (first, error, failed)] == [
        "response.created",
        "error",
        "response.failed",
    ]
    assert error["code"] == failed["response"]["error"]["code"] == "server_error"
    assert done == "[DONE]"
    (error_id,) = set(re.findall(r"See error (\w+) in", response.text))
    assert error["error"]["id"] == error_id
    (record,) = [record for record in caplog.records if error_id in record.getMessage()]
    assert record.exc_info
    assert "secret-7" in str(record.exc_info[1])
    assert stored_trace(json.loads(trace)["trace_id"]).info.state == "ERROR"


@pytest.mark.parametrize("kind", ["error", "response.failed"])
def test_failure_that_the_agent_passes_on_is_a_failure(kind: str, run_app: RunApp) -> None:
    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield message("Hi")
        yield ResponsesAgentStreamEvent(type=kind, message="secret-7", response={"id": "resp_2"})

    app = run_app(answer)
    assert app.post(HELLO).status_code == httpx.codes.INTERNAL_SERVER_ERROR
    events = [*app.events(HELLO)]
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1]["response"]["id"] == events[0]["response"]["id"]
    assert "secret-7" not in str(events)


def test_cancelled_error_of_the_agent_is_a_failure(
    run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    app = run_app(fail_with(asyncio.CancelledError()))
    response = app.post(HELLO)
    assert response.status_code == httpx.codes.INTERNAL_SERVER_ERROR
    assert response.json()["error"]["code"] == "agent_error"
    assert '"type":"response.failed"' in app.post(STREAM).text
    wait_until(lambda: len(access_log(caplog)) == 2)
    assert "disconnected" not in caplog.text


def changed_message(**fields: Any) -> ResponsesAgentStreamEvent:
    """Return the event that completes a message with further fields."""
    item = (message("Hi").model_extra or {})["item"]
    return ResponsesAgentStreamEvent(type="response.output_item.done", item=item | fields)


@pytest.mark.parametrize(
    "event",
    [
        ResponsesAgentStreamEvent(type="response.progress", score=float("nan")),
        message("Hi").model_copy(update={"custom_outputs": {"score": float("nan")}}),
        message("Hi").model_copy(update={"custom_outputs": {"scores": {1}}}),
        changed_message(score=float("nan")),
        changed_message(scores={1}),
    ],
)
def test_event_that_json_cannot_represent_fails_the_stream(
    event: ResponsesAgentStreamEvent, run_app: RunApp
) -> None:
    closed = threading.Event()

    async def answer(_request: ResponsesAgentRequest) -> Events:
        try:
            yield event
            yield message("Bye")
        finally:
            closed.set()

    app = run_app(answer)
    first, error, failed = app.events(HELLO)
    assert closed.is_set(), "The agent was not closed."
    assert [one["type"] for one in (first, error, failed)] == [
        "response.created",
        "error",
        "response.failed",
    ]
    assert failed["response"]["output"] == []
    assert "custom_outputs" not in failed["response"]


def test_response_that_json_cannot_represent_is_an_error(run_app: RunApp) -> None:
    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield changed_message(score=float("nan"))

    assert run_app(answer).post(HELLO).status_code == httpx.codes.INTERNAL_SERVER_ERROR


def test_failed_response_has_a_failed_trace(
    run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    run_app(fail_with(KeyError("secret-7"))).post(HELLO)
    wait_until(lambda: access_log(caplog))
    (trace_id,) = re.findall(r"trace (tr-\w+)", access_log(caplog)[0])
    assert stored_trace(trace_id).info.state == "ERROR"


def test_failure_is_logged_once(run_app: RunApp, caplog: pytest.LogCaptureFixture) -> None:
    response = run_app(fail_with(KeyError("secret-7"))).post(HELLO)
    (error_id,) = re.findall(r"See error (\w+) in", response.text)
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in errors] == [f"Error {error_id}"]


def test_request_error_of_the_agent_is_sent_to_the_client(
    package: Package, run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Set `custom_inputs.tenant`."
    app = run_app(fail_with(package("runtime.items").RequestError(text)))
    response = app.post(HELLO)
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert response.json()["error"]["message"] == text
    *_, error, failed = app.events(HELLO)
    assert (error["message"], error["code"]) == (text, "invalid_prompt")
    assert failed["response"]["error"] == {"message": text, "code": "invalid_prompt"}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_request_that_outlives_the_shutdown_has_a_failed_trace(
    package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    stream = respond_while_stopping(package, STREAM)
    assert '"type":"response.failed"' in stream.text
    assert "The server is stopping" in stream.text
    assert respond_while_stopping(package).status_code == httpx.codes.SERVICE_UNAVAILABLE
    traces = re.findall(r"trace (tr-\w+)", caplog.text)
    assert [stored_trace(trace_id).info.state for trace_id in traces] == ["ERROR", "ERROR"]


def status_error(status: int, **fields: str) -> openai.APIStatusError:
    """Return the exception of the `openai` client for an error response."""
    request = httpx.Request("POST", "https://llm.example.com/v1/chat/completions")
    # openai 3 also accepts this, but its type hints name httpx2.
    response: Any = httpx.Response(status, headers={"retry-after": "7"}, request=request)
    return openai.APIStatusError("secret-7", response=response, body=fields)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (status_error(400, code="context_length_exceeded"), 400, "context_length_exceeded"),
        (status_error(400, message="Unknown field."), 424, "llm_refused"),
        (status_error(429), 429, "rate_limit_exceeded"),
        (status_error(500), 502, "llm_error"),
        (openai.OpenAIError("Missing credentials: secret-7."), 502, "llm_error"),
    ],
)
def test_an_error_of_the_agents_own_llm_client_has_the_status_of_the_llm(
    error: Exception, status: int, code: str, run_app: RunApp
) -> None:
    async def fail(_request: ResponsesAgentRequest) -> Events:
        try:
            raise error
        except openai.OpenAIError as cause:
            raise RuntimeError("No answer") from cause
        yield message("never")

    response = run_app(fail).post(HELLO)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)
    assert "secret-7" not in response.text


def test_failure_of_the_server_itself(
    package: Package,
    run_app: RunApp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")

    def fail(_body: bytes) -> None:
        raise RuntimeError("secret-7")

    app = run_app(answer_with("Hi"))
    monkeypatch.setattr(package("server.endpoint"), "parse_request", fail)
    response = app.post(HELLO)
    assert response.status_code == httpx.codes.INTERNAL_SERVER_ERROR
    assert response.json()["error"]["type"] == "server_error"
    assert "secret-7" not in response.text
    wait_until(lambda: access_log(caplog))
    assert access_log(caplog)[0].startswith("POST /responses 500 in ")
