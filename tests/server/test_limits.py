"""What `serve` refuses, and what it bounds: requests, time, traces, callers without the token."""

import asyncio
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.serving import (
    HELLO,
    Serve,
    Served,
    spoken,
    store_in,
    stored_traces,
    wait_until,
)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"Hello", 400, "no JSON"),
        (b'{"input": [', 400, "no JSON"),
        (b"[]", 400, "no object"),
        (b"null", 400, "no object"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"[" * 500_000, 400, "too deep"),
        (b'{"input": "\\ud800"}', 400, "half a character"),
        ({"input": []}, 400, "`input` is empty"),
        ({"messages": HELLO["input"]}, 400, "Send them as `input`"),
        ({}, 400, "`input`: Field required"),
        ({"input": 42}, 400, "`input`: Input should be a valid list"),
        ({"input": [{"role": "human", "content": "x"}]}, 400, "`input.0`: Invalid role: human"),
        (HELLO | {"metadata": {"a" * 1000: 42}}, 400, "wrong at `metadata.aaa"),
        (
            {"input": [{"type": "function_call", "name": "f"}]},
            400,
            "`input.0.arguments`: Field req",
        ),
        (
            HELLO | {"custom_inputs": "x"},
            400,
            "`custom_inputs`: Input should be a valid dictionary",
        ),
        (b'{"input": [' + b"1," * 3_000_000 + b"1]}", 413, "more than 50,000 values"),
        (HELLO | {"previous_response_id": "resp_1"}, 400, "not kept here. Send their items"),
        (HELLO | {"conversation": "conv_1"}, 400, "`conversation` names turns"),
        (b'{"input": "Hello", "top_p": NaN}', 400, "no JSON"),
        (b'{"input": "Hello", "top_p": 1e999}', 400, "no JSON"),
        (b'{"input": "' + b"x" * 11_000_000 + b'"}', 413, "longer than 10,000,000 bytes"),
    ],
)
def test_what_is_no_request_is_refused_in_words(
    body: Any, status: int, said: str, served: Served
) -> None:
    response = served.post(body)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]
    assert len(response.content) < 700


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_frees_the_model_at_once(
    stream: bool, server: ChatServer, serve: Serve
) -> None:
    served = serve()
    server.say(Turn(text("word " * 1000), seconds_between=0.05))
    with served.begin(json.dumps(HELLO | {"stream": stream}).encode()):
        wait_until(lambda: server.bodies)
        time.sleep(0.3)
    assert server.gone.wait(timeout=10)
    server.say(text("Good day"))
    assert spoken(served.post(HELLO).json()) == "Goodday"


def test_more_requests_than_allowed_are_told_to_come_again(
    server: ChatServer, serve: Serve
) -> None:
    served = serve(AGENT_MAX_REQUESTS="2")
    server.say(Turn(text("one two three four"), seconds_between=2))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: served.post(HELLO), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert "2 requests are under way" in refused.text
    assert served.post(HELLO).status_code == 200


def test_a_request_that_never_arrives_holds_no_place(package: Package) -> None:
    guard = package("guard").Guard(
        app=None,
        token="",
        max_requests=1,
        max_bytes=100,
        max_seconds=0.01,
        sampling=None,
        at_end=None,
    )
    scope = {"type": "http", "method": "POST", "path": "/responses", "headers": []}
    sent: list[Any] = []

    async def receive() -> None:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    begun, body = sent
    assert begun["status"] == httpx.codes.REQUEST_TIMEOUT
    assert b"took longer than 0.01 s to arrive" in body["body"]
    assert guard.under_way == 0


def test_many_callers_wait_for_the_model_side_by_side(server: ChatServer, serve: Serve) -> None:
    served = serve()
    server.say(Turn(text("one two"), silent_for=10))
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(served.post, HELLO) for _ in range(16)]
        wait_until(lambda: len(server.bodies) == 16)
        assert httpx.get(f"{served.url}/health").status_code == httpx.codes.OK
        assert not any(one.done() for one in asked), "Some had to be answered first."
        assert {one.result().status_code for one in asked} == {200}


def test_a_token_is_asked_for_where_one_is_set(serve: Serve) -> None:
    served = serve(AGENT_TOKEN="sesame", AGENT_LLM="offline:/demo")
    for headers in ({}, {"authorization": "sesame"}, {"authorization": "Bearer Sesame"}):
        assert served.post(HELLO, headers=headers).status_code == 401
        for page in ("docs", "agent/info"):
            assert httpx.get(f"{served.url}/{page}", headers=headers).status_code == 401
    known = {"authorization": "Bearer sesame"}
    assert served.post(HELLO, headers=known).status_code == 200
    assert httpx.get(f"{served.url}/agent/info", headers=known).status_code == 200
    assert httpx.get(f"{served.url}/health").status_code == 200


def test_stopping_lets_streams_finish_and_keeps_their_traces(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve()
    server.say(Turn(text("one two three four five six"), seconds_between=0.3))
    with ThreadPoolExecutor(3) as pool:
        streams = [pool.submit(lambda: list(served.events(HELLO))) for _ in range(3)]
        wait_until(lambda: len(server.bodies) == 3)
        assert served.stop()
        for stream in streams:
            assert stream.result()[-1]["type"] == "response.completed"
    traces = stored_traces(store_in(tmp_path))
    assert len(traces) == 3
    logged = re.findall(r"POST /responses 200: .* trace (tr-\w+)", served.log.read_text("utf-8"))
    assert {trace.info.trace_id for trace in traces} == set(logged)


def test_what_outlives_a_stop_ends_with_an_error(server: ChatServer, serve: Serve) -> None:
    served = serve(AGENT_STOP_SECONDS="1")
    server.say(Turn(text("word " * 1000), seconds_between=0.05))
    with ThreadPoolExecutor(2) as pool:
        stream = pool.submit(lambda: list(served.events(HELLO)))
        whole = pool.submit(served.post, HELLO)
        wait_until(lambda: len(server.bodies) == 2)
        assert served.stop()
        *_, error, failed = stream.result()
    assert error["type"] == "error"
    assert failed["type"] == "response.failed"
    assert "The server is stopping. Ask again." in error["message"]
    assert whole.result().status_code == 503
    assert "The server is stopping. Ask again." in whole.result().text
    assert server.gone.wait(timeout=10)


def test_only_so_many_requests_a_second_are_traced(
    server: ChatServer, serve: Serve, tmp_path: Path
) -> None:
    served = serve(AGENT_TRACES_PER_SECOND="1")
    server.say(text("Good day"))
    asked = HELLO | {"context": {"user_id": "ada", "conversation_id": "c-1"}}
    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        assert {spoken(answer.json()) for answer in pool.map(served.post, [asked] * 6)} == {
            "Goodday"
        }
    time.sleep(1.2)
    served.post(asked)
    seconds = time.monotonic() - begun
    assert served.stop()
    log = served.log.read_text(encoding="utf-8")
    traced = set(re.findall(r"trace (tr-\w+)", log))
    assert 2 <= len(traced) <= 1 + seconds
    assert len(re.findall("trace none", log)) == 7 - len(traced)
    assert {trace.info.trace_id for trace in stored_traces(store_in(tmp_path))} == traced
    assert "WARNING" not in log


@pytest.mark.parametrize(
    "name", ["AGENT_MAX_REQUESTS", "AGENT_TRACES_PER_SECOND", "AGENT_STOP_SECONDS"]
)
@pytest.mark.parametrize("number", ["many", "0", "-1", ""])
def test_a_limit_that_is_none_is_an_error_in_words(name: str, number: str, agent: Agent) -> None:
    done = agent.run("weather-agent", "serve", **{name: number})
    assert done.returncode == 1
    assert f"{name} is {number!r}; set it to a number" in done.stderr


def test_pages_of_other_sites_may_not_read_answers(served: Served) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    answered = served.post(HELLO, headers=origin)
    asked_first = httpx.options(
        f"{served.url}/responses", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert asked_first.status_code == httpx.codes.METHOD_NOT_ALLOWED
    for response in (answered, asked_first):
        assert not [name for name in response.headers if name.startswith("access-control")]
