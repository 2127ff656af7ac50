"""Invalid requests, limits, disconnects, trace sampling and shutdown."""

import json
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.conftest import RunApp
from tests.server.scripted import answer_with
from tests.server.serving import (
    HELLO,
    Serve,
    Served,
    http_request,
    output_text,
    store_in,
    stored_traces,
    wait_until,
)


def nested_inputs(levels: int) -> dict[str, Any]:
    """Return a request with nested `custom_inputs`."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return HELLO | {"custom_inputs": {"value": value}}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"Hello", 400, "is not valid JSON"),
        (b'{"input": [', 400, "is not valid JSON"),
        (b"[]", 400, "must be a JSON object"),
        (b"null", 400, "must be a JSON object"),
        (b"\xff\xfe", 400, "is not UTF-8 text"),
        (b"", 400, "The request body is empty."),
        (b"[" * 500_000, 400, "nested too deeply"),
        (nested_inputs(99), 400, "nested too deeply"),
        (nested_inputs(900), 400, "nested too deeply"),
        (b'{"input": "\\ud800"}', 400, "half of a surrogate pair, such as \\ud83c. Send"),
        ({"input": []}, 400, "`input` is empty"),
        ({"messages": HELLO["input"]}, 400, "Send them as `input`"),
        ({}, 400, "`input`: Field required"),
        (HELLO | {"stream": "false"}, 400, "`stream` must be true or false"),
        ({"input": 42}, 400, "`input`: Input should be a valid list"),
        ({"input": ["x"]}, 400, "`input.0`: Input should be an object."),
        (
            {"input": [{"role": "user", "content": 42}]},
            400,
            "at `input.0.content`: Input should be a valid string or a valid list.",
        ),
        ({"input": [{"role": "human", "content": "x"}]}, 400, "`input.0`: Invalid role: human"),
        (HELLO | {"metadata": {"a" * 1000: 42}}, 400, "invalid at `metadata.aaa"),
        (
            {"input": [{"type": "function_call", "name": "f"}]},
            400,
            "`input.0.arguments`: Field req",
        ),
        (HELLO | {"custom_inputs": "x"}, 400, "`custom_inputs`: Input should be an object."),
        (
            b'{"input": [' + b"1," * 3_000_000 + b"1]}",
            413,
            "more than 50,000 values. Send fewer items.",
        ),
        (
            HELLO | {"previous_response_id": "resp_1"},
            400,
            "does not store conversations",
        ),
        (HELLO | {"conversation": "conv_1"}, 400, "`conversation` is not supported"),
        (b'{"input": "Hello", "top_p": NaN}', 400, "is not valid JSON"),
        (b'{"input": "Hello", "top_p": 1e999}', 400, "is not valid JSON"),
        (b'{"input": "Hello", "input": "Bye"}', 400, "the key 'input' occurs twice in one object"),
        (b'{"input": "' + b"x" * 11_000_000 + b'"}', 413, "larger than 10,000,000 bytes"),
    ],
)
def test_invalid_request_names_the_problem(
    body: Any, status: int, message: str, served: Served
) -> None:
    response = served.post(body)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]
    assert len(response.content) < 700


def test_nested_request_below_the_limit_is_answered(served: Served) -> None:
    assert served.post(nested_inputs(98)).status_code == httpx.codes.OK


@pytest.mark.parametrize("stream", [False, True])
def test_disconnect_cancels_the_llm_request(
    stream: bool, server: ChatServer, run_agent: RunApp
) -> None:
    app = run_agent()
    server.reply(Turn(text("word " * 1000), seconds_between=0.05))
    with app.open_request(json.dumps(HELLO | {"stream": stream}).encode()):
        wait_until(lambda: server.bodies)
        time.sleep(0.2)
        assert not server.disconnected.is_set()
    assert server.disconnected.wait(timeout=5)
    server.reply(text("Good day"))
    assert output_text(app.post(HELLO).json()) == "Goodday"


def test_requests_above_the_limit_are_rejected(server: ChatServer, run_agent: RunApp) -> None:
    app = run_agent(max_requests=2)
    server.reply(Turn(text("Good day"), hold_last=(release := threading.Event())))
    with ThreadPoolExecutor(2) as pool:
        requests = [pool.submit(app.post, HELLO) for _ in range(2)]
        wait_until(lambda: len(server.bodies) == 2)
        assert app.post(HELLO).status_code == httpx.codes.TOO_MANY_REQUESTS
        release.set()
        assert [request.result().status_code for request in requests] == [httpx.codes.OK] * 2
    assert app.post(HELLO).status_code == httpx.codes.OK


def test_request_without_a_body_frees_its_place(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Good day"))
    app = run_agent(max_requests=1, body_timeout_seconds=0.5)
    with app.open_request(b"", length=10) as connection:
        wait_until(lambda: app.post(HELLO).status_code == httpx.codes.TOO_MANY_REQUESTS)
        wait_until(lambda: app.post(HELLO).status_code == httpx.codes.OK)
        assert b" 408 " in connection.recv(100)


@pytest.mark.parametrize("stream", [False, True])
def test_request_of_a_client_that_does_not_read_ends(
    stream: bool,
    package: Package,
    run_app: RunApp,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    monkeypatch.setattr(package("server.middleware"), "SEND_TIMEOUT_SECONDS", 0.2)
    app = run_app(answer_with("x" * 8_000_000))
    body = json.dumps(HELLO | {"stream": stream}).encode()
    with app.open_request(body) as connection:
        # A complete response waits for the client only if another response precedes it.
        connection.sendall(http_request(body))
        wait_until(lambda: "POST /responses disconnected in" in caplog.text)


def test_client_that_disconnects_before_the_end_of_the_body_is_not_answered(
    run_agent: RunApp, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    server.reply(text("Good day"))
    body = json.dumps(HELLO).encode()
    with run_agent().open_request(body, length=len(body) + 1):
        pass
    wait_until(lambda: "POST /responses disconnected" in caplog.text)
    assert server.bodies == []


def test_concurrent_requests_wait_for_the_llm_together(
    server: ChatServer, run_agent: RunApp
) -> None:
    app = run_agent()
    server.reply(Turn(text("one two"), hold_last=(release := threading.Event())))
    with ThreadPoolExecutor(16) as pool:
        requests = [pool.submit(app.post, HELLO) for _ in range(16)]
        wait_until(lambda: len(server.bodies) == 16)
        assert httpx.get(f"{app.url}/health").status_code == httpx.codes.OK
        assert not any(request.done() for request in requests)
        release.set()
        assert {request.result().status_code for request in requests} == {httpx.codes.OK}


def test_shutdown_waits_for_streams_and_stores_their_traces(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve()
    server.reply(Turn(text("one two three four five six"), seconds_between=0.3))
    with ThreadPoolExecutor(3) as pool:
        streams = [pool.submit(lambda: list(served.events(HELLO))) for _ in range(3)]
        wait_until(lambda: len(server.bodies) == 3)
        assert served.stop()
        for stream in streams:
            assert stream.result()[-1]["type"] == "response.completed"
    traces = stored_traces(store_in(tmp_path))
    assert len(traces) == 3
    logged = re.findall(r"POST /responses 200 in .* trace (tr-\w+)", served.read_log())
    assert {trace.info.trace_id for trace in traces} == set(logged)


def test_requests_that_outlive_the_shutdown_get_an_error(server: ChatServer, serve: Serve) -> None:
    served = serve(AGENT_STOP_SECONDS="1")
    server.reply(Turn(text("word " * 1000), seconds_between=0.05))
    with ThreadPoolExecutor(2) as pool:
        stream = pool.submit(lambda: list(served.events(HELLO)))
        complete = pool.submit(served.post, HELLO)
        wait_until(lambda: len(server.bodies) == 2)
        assert served.stop()
        *_, error, failed = stream.result()
    assert error["type"] == "error"
    assert failed["type"] == "response.failed"
    assert "The server is stopping. Try again." in error["message"]
    assert complete.result().status_code == 503
    assert "The server is stopping. Try again." in complete.result().text
    assert "Traceback" not in served.read_log()
    assert server.disconnected.wait(timeout=10)


def test_traces_per_second_are_limited(
    server: ChatServer, run_agent: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    app = run_agent(traces_per_second=1)
    server.reply(text("Good day"))
    request = HELLO | {"context": {"user_id": "ada", "conversation_id": "c-1"}}
    started_at = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(app.post, [request] * 6))
    assert {output_text(response.json()) for response in responses} == {"Goodday"}
    time.sleep(1.1)
    app.post(request)
    seconds = time.monotonic() - started_at
    wait_until(lambda: caplog.text.count("POST /responses 200") == 7)
    traced = re.findall(r"trace tr-\w+", caplog.text)
    assert 2 <= len(traced) <= 1 + seconds
    assert len(re.findall("trace -", caplog.text)) == 7 - len(traced)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_idle_seconds_do_not_add_up_to_a_burst_of_traces(package: Package) -> None:
    sampler = package("ops.sampling").TraceSampler(2)
    sampler.updated_at -= 100
    assert [sampler._allow() for _ in range(5)] == [True, True, False, False, False]
