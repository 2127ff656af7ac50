"""The application in front of agents that tests write: routes, errors, headers, traces, streams."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import mlflow
import openai
import pytest
from jsonschema import Draft202012Validator, ValidationError
from mlflow.entities import Span, SpanType
from mlflow.genai.agent_server import get_request_headers
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message

from tests.conftest import Package
from tests.server.conftest import Answer, Events, RunApp, ScriptedAgent
from tests.server.serving import (
    HELLO,
    hides_internals,
    output_text,
    serving_app,
    wait_until,
)

STREAM = HELLO | {"stream": True}
RETURN_TRACE = {"x-mlflow-return-trace-id": "true"}


def delta(text: str, item_id: str = "msg_1") -> ResponsesAgentStreamEvent:
    return ResponsesAgentStreamEvent(type="response.output_text.delta", delta=text, item_id=item_id)


def message(text: str, item_id: str = "msg_1") -> ResponsesAgentStreamEvent:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": item_id, "role": "assistant", "content": content}
    return ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


def answer_with(text: str) -> Answer:
    """Return an agent that answers with a text."""

    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield delta(text)
        yield message(text)

    return answer


def fail_with(error: Exception) -> Answer:
    """Return an agent that fails in the middle of its answer."""

    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield delta("Well")
        raise error

    return answer


async def wait_forever(_request: ResponsesAgentRequest) -> Events:
    await asyncio.sleep(60)
    yield message("too late")


# Routes


def test_health_and_agent_info(run_app: RunApp) -> None:
    url = run_app(answer_with("Hi")).url
    assert httpx.get(f"{url}/health").json() == {"status": "healthy"}
    assert httpx.head(f"{url}/health").status_code == httpx.codes.OK
    assert httpx.get(f"{url}/agent/info").json() == {
        "name": "weather-agent",
        "use_case": "agent",
        "agent_api": "responses",
        "mlflow_version": mlflow.__version__,
    }


@pytest.mark.parametrize("route", ["responses", "invocations"])
def test_both_routes_of_the_api(route: str, run_app: RunApp) -> None:
    assert output_text(run_app(answer_with("Hi")).post(HELLO, route).json()) == "Hi"


def test_openapi_describes_responses_and_errors(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    document = httpx.get(f"{app.url}/openapi.json").json()
    assert document["paths"].keys() == {"/responses", "/invocations"}
    responses = document["paths"]["/responses"]["post"]["responses"]
    for response in (app.post(HELLO), app.post(b"[]")):
        status = "200" if response.is_success else f"{response.status_code // 100}XX"
        schema = responses[status]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(
            response.json()
        )
        with pytest.raises(ValidationError):
            Draft202012Validator({**schema, "components": document["components"]}).validate([])


def test_method_not_allowed_names_the_methods(run_app: RunApp) -> None:
    response = httpx.get(f"{run_app(answer_with('Hi')).url}/responses")
    assert response.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert response.headers["allow"] == "POST"


def test_other_origins_may_not_read_responses(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    origin = {"Origin": "https://elsewhere.example"}
    preflight = httpx.options(
        f"{app.url}/responses", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == httpx.codes.METHOD_NOT_ALLOWED
    for response in (app.post(HELLO, headers=origin), preflight):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_token_is_required_if_one_is_set(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"), token="sesame")
    for headers in ({}, {"authorization": "sesame"}, {"authorization": "Bearer Sesame"}):
        assert app.post(HELLO, headers=headers).status_code == httpx.codes.UNAUTHORIZED
        for path in ("agent/info", "chat/settings", "nowhere"):
            response = httpx.get(f"{app.url}/{path}", headers=headers)
            assert response.status_code == httpx.codes.UNAUTHORIZED
    token = {"authorization": "Bearer sesame"}
    assert app.post(HELLO, headers=token).status_code == httpx.codes.OK
    assert httpx.get(f"{app.url}/agent/info", headers=token).status_code == httpx.codes.OK
    for path in ("health", ""):
        assert httpx.get(f"{app.url}/{path}").status_code == httpx.codes.OK


def test_several_apps_in_one_process(run_app: RunApp) -> None:
    one = run_app(answer_with("one"), token="token-1")
    two = run_app(answer_with("two"), max_requests=1, max_body_bytes=100)
    token = {"authorization": "Bearer token-1"}
    for _ in range(2):
        assert output_text(one.post(HELLO, headers=token).json()) == "one"
        assert output_text(two.post(HELLO).json()) == "two"
    large = {"input": "x" * 200}
    assert one.post(large, headers=token).status_code == httpx.codes.OK
    assert two.post(large).status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert one.post(HELLO).status_code == httpx.codes.UNAUTHORIZED


def test_app_mounted_in_another_app(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = package("server.settings").ServerSettings(token="secret")
    app = package("server").create_app(ScriptedAgent(answer_with("Hi")), settings)
    with serving_app(Starlette(routes=[Mount("/weather", app)])) as outer:
        url = f"{outer.url}/weather"
        assert httpx.get(f"{url}/health").status_code == httpx.codes.OK
        assert httpx.get(f"{url}/static/chat.js").status_code == httpx.codes.OK
        assert httpx.post(f"{url}/responses", json=HELLO).status_code == httpx.codes.UNAUTHORIZED
        token = {"authorization": "Bearer secret"}
        response = httpx.post(f"{url}/responses", json=HELLO, headers=token)
        assert output_text(response.json()) == "Hi"
    assert "POST /weather/responses 200 in" in caplog.text


# Errors


def read_response(connection: socket.socket) -> httpx.Response:
    """Read a response that the server ends by closing the connection."""
    data = b""
    while chunk := connection.recv(65_536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return httpx.Response(int(head.split()[1]), content=body)


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
    assert error == {"type": kind, "code": code, "param": None}
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
    kinds = [json.loads(event)["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-2:] == ["error", "response.failed"]
    assert done == "[DONE]"
    (error_id,) = set(re.findall(r"See error (\w+) in", response.text))
    (record,) = [record for record in caplog.records if error_id in record.getMessage()]
    assert record.exc_info
    assert "secret-7" in str(record.exc_info[1])
    assert stored_trace(json.loads(trace)["trace_id"]).info.state == "ERROR"


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


# Access log


def access_log(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the access log."""
    return [record.getMessage() for record in caplog.records if record.name.endswith(".middleware")]


def test_access_log(run_app: RunApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")

    async def answer(_request: ResponsesAgentRequest) -> Events:
        await asyncio.sleep(0.05)
        yield delta("Hi")
        await asyncio.sleep(0.05)
        yield message("Hi")

    app = run_app(answer, token="sesame")
    token = {"authorization": "Bearer sesame"}
    app.post(HELLO, headers=token)
    app.post(STREAM, "invocations", headers=token)
    app.post({"input": []}, headers=token)
    app.post(HELLO)
    httpx.get(f"{app.url}/health")
    wait_until(lambda: len(access_log(caplog)) == 4)
    traced = r"in (0\.\d{3}) s, first event (0\.\d{3}) s, trace tr-\w+"
    untraced = r"in 0\.\d{3} s, first event -, trace -"
    for line, pattern in zip(
        access_log(caplog),
        (
            f"POST /responses 200 {traced}",
            f"POST /invocations 200 {traced}",
            f"POST /responses 400 {untraced}",
            f"POST /responses 401 {untraced}",
        ),
        strict=True,
    ):
        match = re.fullmatch(pattern, line)
        assert match, line
        if match.groups():
            total, first = map(float, match.groups())
            assert 0.05 <= first <= total - 0.05


def test_access_log_of_a_disconnect(run_app: RunApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    started, closed = threading.Event(), threading.Event()

    async def answer(_request: ResponsesAgentRequest) -> Events:
        try:
            started.set()
            await asyncio.sleep(60)
            yield message("too late")
        finally:
            closed.set()

    app = run_app(answer)
    with app.open_request(json.dumps(HELLO).encode()):
        assert started.wait(10)
    assert closed.wait(5), "The agent was not cancelled."
    wait_until(lambda: access_log(caplog))
    (line,) = access_log(caplog)
    assert line.startswith("POST /responses disconnected in 0.")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# Headers and traces


def stored_trace(trace_id: str) -> Any:
    """Return a trace; it is stored when its request has ended."""
    mlflow.flush_trace_async_logging()
    traces: list[Any] = []
    wait_until(lambda: traces.append(mlflow.get_trace(trace_id, silent=True)) or traces[-1])
    return traces[-1]


def root_of(trace_id: str) -> Span:
    """Return the root span of a trace."""
    return next(span for span in stored_trace(trace_id).data.spans if span.parent_id is None)


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


# Streams


async def silent_answer(_request: ResponsesAgentRequest) -> Events:
    """Send nothing for a while before and in the middle of the answer."""
    await asyncio.sleep(0.35)
    yield delta("Hi ")
    await asyncio.sleep(0.35)
    yield delta("there")
    yield message("Hi there")


def test_silent_stream_is_kept_alive(run_app: RunApp) -> None:
    app = run_app(silent_answer, keep_alive_seconds=0.1)
    start = time.monotonic()
    lines = [line for line in app.post(STREAM).text.splitlines() if line]
    seconds = time.monotonic() - start
    kinds = [
        "comment" if line == ": keep-alive" else json.loads(line[6:])["type"]
        for line in lines
        if line != "data: [DONE]"
    ]
    first_delta = kinds.index("response.output_text.delta")
    assert kinds[0] == "response.created"
    assert kinds[:first_delta].count("comment") >= 1
    assert kinds[first_delta:].count("comment") >= 1
    assert kinds.count("comment") <= seconds / 0.1
    assert kinds[-1] == "response.completed"


def test_no_comment_overtakes_a_message_that_a_slow_client_delays(package: Package) -> None:
    sent: list[bytes] = []

    async def send_slowly(message: Message) -> None:
        sent.append(message["body"])
        await asyncio.sleep(0.1)

    async def send_one_message() -> None:
        async with package("server.streaming").keep_alive(send_slowly, 0.01) as send:
            await send({"type": "http.response.body", "body": b"data", "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(send_one_message())
    assert sent == [b"data", b""]


def test_openai_client_reads_a_stream_with_comments(run_app: RunApp) -> None:
    client = run_app(silent_answer, keep_alive_seconds=0.1).client()
    with client.responses.stream(model="agent", input="Hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert stream.get_final_response().output_text == "Hi there"
    assert "".join(deltas) == "Hi there"


def test_busy_stream_and_complete_response_have_no_comments(run_app: RunApp) -> None:
    async def answer(_request: ResponsesAgentRequest) -> Events:
        for _ in range(10):
            await asyncio.sleep(0.05)
            yield delta("Hi")
        yield message("Hi" * 10)

    app = run_app(answer, keep_alive_seconds=0.4)
    assert "keep-alive" not in app.post(STREAM).text
    app = run_app(silent_answer, keep_alive_seconds=0.1)
    assert output_text(app.post(HELLO).json()) == "Hi there"


def test_only_streams_disable_buffering(run_app: RunApp) -> None:
    app = run_app(answer_with("Hi"))
    stream = app.post(STREAM).headers
    assert (stream["x-accel-buffering"], stream["cache-control"]) == ("no", "no-cache")
    assert not {"x-accel-buffering", "cache-control"} & app.post(HELLO).headers.keys()


def test_disconnect_cancels_an_agent_whose_events_nobody_reads(run_app: RunApp) -> None:
    """The server waits for the client to read, and not for the agent, when the client leaves."""
    sent, closed = [0], threading.Event()

    async def answer(_request: ResponsesAgentRequest) -> Events:
        try:
            while True:
                yield delta("x" * 100_000)
                sent[0] += 1
                await asyncio.sleep(0)
        finally:
            closed.set()

    app = run_app(answer)
    with app.open_request(json.dumps(STREAM).encode()):
        before = -1
        while sent[0] != before:  # until the buffers between server and client are full
            before = sent[0]
            time.sleep(0.3)
        assert before > 0
        assert not closed.is_set()
    assert closed.wait(2), "The agent was not cancelled."


# Agents without `predict_stream_async`


class SyncAgent(ResponsesAgent):
    """An agent with MLflow's synchronous interface only, which blocks between two events."""

    def __init__(self, release: threading.Event) -> None:
        self.release = release
        self.started = threading.Event()
        self.closed = threading.Event()

    def predict(self, request: ResponsesAgentRequest) -> Any:
        raise NotImplementedError

    def predict_stream(
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        try:
            yield delta("Hi")
            self.started.set()
            self.release.wait(20)
            yield message("Hi")
        finally:
            self.closed.set()


def test_sync_agent_does_not_block_the_server(run_app: RunApp) -> None:
    agent = SyncAgent(release := threading.Event())
    app = run_app(agent)
    with ThreadPoolExecutor(1) as pool:
        response = pool.submit(app.post, HELLO)
        assert agent.started.wait(10)
        assert httpx.get(f"{app.url}/health", timeout=5).status_code == httpx.codes.OK
        assert not response.done()
        release.set()
        assert output_text(response.result().json()) == "Hi"
    assert agent.closed.wait(5)


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_disconnect_closes_a_sync_agent(
    body: dict[str, Any], run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    agent = SyncAgent(release := threading.Event())
    app = run_app(agent)
    with app.open_request(json.dumps(body).encode()):
        assert agent.started.wait(10)
    time.sleep(0.2)
    release.set()
    assert agent.closed.wait(5), "The agent's generator was not closed."
    wait_until(lambda: access_log(caplog))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
