"""`serve`: the agent over HTTP, as clients of the Responses API meet it, and what goes wrong."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.agents import Agent
from tests.conftest import Package
from tests.fakes import ChatServer, Turn, text
from tests.serving import (
    HELLO,
    TOKYO,
    Serve,
    Served,
    free_port,
    runs,
    serving,
    spoken,
    store_in,
    stored_traces,
    tells_nothing,
    wait_until,
)


@pytest.fixture(scope="module")
def served(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The default agent, answered for by the offline LLM."""
    with serving(agent, tmp_path_factory.mktemp("serve")) as running:
        yield running


def test_the_client_of_the_api_gets_a_whole_response(served: Served) -> None:
    answer = served.client().responses.create(model="agent", input=TOKYO)
    assert re.fullmatch(r"resp_\w+", answer.id)
    assert (answer.status, answer.model, answer.object) == (
        "completed",
        "weather-agent",
        "response",
    )
    assert abs(answer.created_at - time.time()) < 60
    assert "Asia/Tokyo" in answer.output_text
    kinds = [item.type for item in answer.output]
    assert kinds == ["function_call", "function_call_output", "message"]


def test_the_client_of_the_api_reads_a_stream(served: Served) -> None:
    with served.client().responses.stream(model="agent", input=TOKYO) as stream:
        events = list(stream)
        answer = stream.get_final_response()
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == answer.output_text
    assert "Asia/Tokyo" in said


def test_the_client_of_the_api_is_told_of_tokens(server: ChatServer, serve: Serve) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    server.say(Turn(text("Hello"), usage=usage))
    client = serve(OPENAI_BASE_URL=f"{server.url}/v1", AGENT_LLM="openai:/fake").client()
    whole = client.responses.create(model="agent", input="Hello")
    with client.responses.stream(model="agent", input="Hello") as stream:
        streamed = stream.get_final_response()
    for answer in (whole, streamed):
        assert answer.usage
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
        assert answer.usage.total_tokens == 9


def test_only_streams_ask_balancers_to_hold_nothing_back(served: Served) -> None:
    streamed = served.post(HELLO | {"stream": True}).headers
    assert (streamed["x-accel-buffering"], streamed["cache-control"]) == ("no", "no-cache")
    assert not {"x-accel-buffering", "cache-control"} & served.post(HELLO).headers.keys()


def test_events_are_numbered_and_in_their_places(served: Served) -> None:
    *events, last = served.events({"input": TOKYO})
    assert [event["sequence_number"] for event in [*events, last]] == [*range(len(events) + 1)]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == [0, 1, 2]
    assert last["response"]["output"] == [event["item"] for event in done]
    begun = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["item"]["id"] for event in begun] == [event["item"]["id"] for event in done]


def test_a_stream_begins_with_its_trace_for_those_who_ask(served: Served) -> None:
    begun, *_ = served.events({"input": TOKYO})
    assert begun["response"]["metadata"] == {}
    begun, *_, ended, last = served.events({"input": TOKYO}, **{"x-mlflow-return-trace-id": "true"})
    assert begun["response"]["metadata"] == ended["response"]["metadata"] == last
    assert re.fullmatch(r"tr-\w+", last["trace_id"])


def test_a_conversation_goes_on_with_the_items_sent_back(served: Served) -> None:
    client = served.client()
    first = client.responses.create(model="agent", input=TOKYO)
    turns: Any = [{"role": "user", "content": TOKYO}]
    turns += [item.model_dump(exclude_none=True) for item in first.output]
    turns += [{"role": "user", "content": "What time is it in Paris?"}]
    assert "Europe/Paris" in client.responses.create(model="agent", input=turns).output_text


def test_both_routes_answer_and_the_contract_holds(agent: Agent, served: Served) -> None:
    assert spoken(served.post(HELLO, "invocations").json())
    printed = agent.check("weather-agent", "verify", "--url", served.url)
    (held, rest) = re.findall(r"^(\d+) of \d+ rules hold(.*)", printed, re.MULTILINE)[0]
    assert int(held) >= 15
    assert "broken" not in rest


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
        ({"messages": HELLO["input"]}, 400, "input"),
        ({"input": 42}, 400, "input"),
        (b'{"input": "' + b"x" * 11_000_000 + b'"}', 413, "longer than 10,000,000 bytes"),
    ],
)
def test_what_is_no_request_is_refused_in_words(
    body: Any, status: int, said: str, served: Served
) -> None:
    response = served.post(body)
    assert response.status_code == status
    assert said in response.text


def test_thousands_of_malformed_requests_do_no_harm(served: Served) -> None:
    chance = Random(7)
    sound = json.dumps(HELLO | {"stream": True, "custom_inputs": {"a": [1, None]}}).encode()
    with httpx.Client(timeout=30) as client:
        for _ in range(2000):
            body = bytearray(sound)
            for _ in range(chance.randint(1, 6)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            response = client.post(f"{served.url}/responses", content=bytes(body))
            assert response.status_code < 500, (bytes(body), response.text)
            if response.status_code >= 400:
                assert "Traceback" not in response.text
    assert spoken(served.post(HELLO).json())


def test_a_failing_llm_is_an_error_that_tells_nothing(server: ChatServer, serve: Serve) -> None:
    served = serve()
    server.say(Turn(status=400, error="secret-7 of /opt/model.py"))
    response = served.post(HELLO)
    assert response.status_code == 502
    (name,) = re.findall(r"at failure (\w+)", response.text)
    events = list(served.events(HELLO))
    assert [event["type"] for event in events] == ["response.created", "error", "response.failed"]
    for told in (response.text, json.dumps(events)):
        assert tells_nothing(told)
        assert "secret-7" not in told
    log = served.log.read_text(encoding="utf-8")
    assert f"Failure {name}" in log
    assert "secret-7" in log
    server.say(text("Good day"))
    assert spoken(served.post(HELLO).json()) == "Goodday"


def test_a_failure_has_the_status_of_its_cause(package: Package) -> None:
    server = package("server")
    for kind, status in ((package("llm").LLMError, 502), (TimeoutError, 504), (KeyError, None)):
        exchange = package("guard").Exchange()
        package("guard").current_exchange.set(exchange)
        assert "secret-7" not in server.told(kind("secret-7"))
        assert exchange.failure == status


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


def test_each_request_has_a_line_in_the_log(server: ChatServer, serve: Serve) -> None:
    served = serve(AGENT_TOKEN="of-the-server")
    server.say(Turn(text("Good day"), silent_for=0.3))
    token = {"Authorization": "Bearer of-the-server"}
    served.post(HELLO, headers=token)
    served.post(HELLO | {"stream": True}, "invocations", headers=token)
    served.post({"input": []}, headers=token)
    served.post(HELLO)
    line = r"POST (\S+) (\d+): ([\d.]+) s, first event after (?:([\d.]+) s|-), trace (\S+)$"
    wait_until(lambda: len(re.findall(line, served.log.read_text("utf-8"), re.MULTILINE)) == 4)
    lines = re.findall(line, served.log.read_text("utf-8"), re.MULTILINE)
    assert [(path, status) for path, status, *_ in lines] == [
        ("/responses", "200"),
        ("/invocations", "200"),
        ("/responses", "400"),
        ("/responses", "401"),
    ]
    for _, _, whole, first, _ in lines[:2]:
        assert 0.3 <= float(first) <= float(whole)
    assert [(first, trace) for *_, first, trace in lines[2:]] == [("", "none")] * 2
    store = f"sqlite:///{served.log.parent / 'mlflow.db'}"
    assert served.stop()
    traces = {trace.info.trace_id for trace in stored_traces(store)}
    assert {trace for *_, trace in lines[:2]} == traces


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
    with ThreadPoolExecutor(6) as pool:
        assert {spoken(answer.json()) for answer in pool.map(served.post, [asked] * 6)} == {
            "Goodday"
        }
    time.sleep(1.2)
    served.post(asked)
    assert served.stop()
    log = served.log.read_text(encoding="utf-8")
    traced = set(re.findall(r"trace (tr-\w+)", log))
    assert 2 <= len(traced) <= 4
    assert len(re.findall("trace none", log)) == 7 - len(traced)
    assert {trace.info.trace_id for trace in stored_traces(store_in(tmp_path))} == traced
    assert "WARNING" not in log


def test_a_store_that_is_down_at_the_start_fails_no_request(
    serve: Serve, server: ChatServer
) -> None:
    server.say(text("Good day"))
    served = serve(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert spoken(served.post(HELLO).json()) == "Goodday"
    log = served.log.read_text(encoding="utf-8")
    assert log.count("nothing is traced") == 1
    assert "Retrying" not in log


def test_several_processes_share_the_work_and_a_new_store(serve: Serve, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    served = serve("--workers=2", AGENT_LLM="offline:/demo", MLFLOW_TRACKING_URI=new)
    answers = [spoken(served.post(HELLO).json()) for _ in range(6)]
    assert len(set(answers)) == 1
    family = served.family()
    assert served.stop()
    wait_until(lambda: not any(map(runs, family)))
    lines = re.findall(r"INFO POST /responses 200: .*", served.log.read_text(encoding="utf-8"))
    assert len(lines) == 6


@pytest.mark.parametrize(
    "name", ["AGENT_MAX_REQUESTS", "AGENT_TRACES_PER_SECOND", "AGENT_STOP_SECONDS"]
)
@pytest.mark.parametrize("number", ["many", "0", "-1", ""])
def test_a_limit_that_is_none_is_an_error_in_words(name: str, number: str, agent: Agent) -> None:
    done = agent.run("weather-agent", "serve", **{name: number})
    assert done.returncode == 1
    assert f"{name} is {number!r}; set it to a number" in done.stderr


def test_it_starts_anew_when_the_package_changes(agent: Agent, serve: Serve) -> None:
    served = serve("--reload", AGENT_LLM="offline:/demo")
    project, instructions = agent.package / "project.py", agent.package / "instructions.md"
    before = project.read_text(encoding="utf-8"), instructions.read_text(encoding="utf-8")

    def model() -> str | None:
        with suppress(httpx.TransportError):
            return served.post(HELLO).json()["model"]
        return None

    assert model() == "weather-agent"
    try:
        project.write_text(before[0].replace('"weather-agent"', '"other-agent"'), encoding="utf-8")
        wait_until(lambda: model() == "other-agent")
        instructions.write_text("Be brief.\n", encoding="utf-8")
        wait_until(lambda: "instructions.md" in served.log.read_text(encoding="utf-8"))
    finally:
        project.write_text(before[0], encoding="utf-8")
        instructions.write_text(before[1], encoding="utf-8")
    assert served.stop()


def test_pages_of_other_sites_may_not_read_answers(served: Served) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    answered = served.post(HELLO, headers=origin)
    asked_first = httpx.options(
        f"{served.url}/responses", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    assert asked_first.status_code == httpx.codes.METHOD_NOT_ALLOWED
    for response in (answered, asked_first):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_it_listens_where_it_is_told(served: Served, agent: Agent) -> None:
    assert "Serving at http://127.0.0.1:" in served.log.read_text(encoding="utf-8")
    port = served.url.rpartition(":")[2]
    taken = agent.run("weather-agent", "serve", f"--port={port}")
    assert taken.returncode != 0
    assert "Traceback" not in taken.stderr
