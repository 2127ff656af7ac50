"""Streams: comments, buffering and disconnects, also of agents without an asynchronous method."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from starlette.types import Message

from tests.conftest import Package
from tests.server.conftest import RunApp
from tests.server.scripted import STREAM, Events, answer_with, delta, message
from tests.server.serving import HELLO, access_log, output_text, wait_until


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


async def call_without_id(_request: ResponsesAgentRequest) -> Events:
    """Call a tool; the Responses API does not require an id of the item."""
    call = {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"}
    yield ResponsesAgentStreamEvent(type="response.output_item.done", item=call)
    yield message("Done")


def test_the_call_id_names_a_call_without_an_id(run_app: RunApp) -> None:
    lines = run_app(call_without_id).post(STREAM).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    ids = {one["type"]: one.get("item_id") for one in events}
    assert ids["response.function_call_arguments.done"] == "call_1"
    assert events[-1]["type"] == "response.completed"


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


def test_comments_are_sent_between_the_first_and_the_last_message_only(package: Package) -> None:
    sent: list[bytes] = []

    async def send_now(message: Message) -> None:
        sent.append(message["body"])

    async def send_two_messages() -> None:
        async with package("server.streaming").keep_alive(send_now, 0.01) as send:
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": b"last", "more_body": False})
            await asyncio.sleep(0.1)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "The task that sends comments still runs."

    asyncio.run(send_two_messages())
    assert (sent[0], sent[-1]) == (b"first", b"last")
    assert set(sent[1:-1]) == {b": keep-alive\n\n"}


def test_events_are_closed_if_they_cannot_be_sent(package: Package) -> None:
    closed: list[bool] = []

    async def events() -> AsyncGenerator[str, None]:
        try:
            yield "data: {}\n\n"
        finally:
            closed.append(True)

    async def fail(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError

    async def respond() -> None:
        kept = events()  # so that Python does not close it as garbage
        response = package("server.streaming").EventStreamResponse(kept, 15)
        with pytest.raises(OSError):  # noqa: PT011, the test raises it
            await response({"type": "http"}, None, fail)
        assert closed

    asyncio.run(respond())


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


async def pass_on(_request: ResponsesAgentRequest) -> Events:
    """Answer with the complete stream of another server."""
    response = {"id": "resp_1", "status": "completed", "output": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}

    def event(name: str, **fields: Any) -> ResponsesAgentStreamEvent:
        return ResponsesAgentStreamEvent(type=f"response.{name}", **fields)

    yield event("created", response=response)
    yield event("in_progress", response=response)
    yield event("output_item.added", item=item, output_index=0)
    yield event("content_part.added", part=part, **place)
    yield delta("Hi")
    yield event("output_text.done", text="Hi", **place)
    yield event("content_part.done", part=part | {"text": "Hi"}, **place)
    yield message("Hi")
    yield event("completed", response=response)


def test_stream_of_another_server_starts_and_ends_once(run_app: RunApp) -> None:
    own, other = (
        [json.loads(line[6:])["type"] for line in app.post(STREAM).text.splitlines() if "{" in line]
        for app in (run_app(answer_with("Hi")), run_app(pass_on))
    )
    assert own == other
    assert own.count("response.completed") == 1


def test_forwarded_events_continue_the_sequence(run_app: RunApp) -> None:
    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield ResponsesAgentStreamEvent(type="response.progress", sequence_number=7)
        yield message("Hi")

    events = list(run_app(answer).events(HELLO))
    assert "response.progress" in [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_custom_outputs_of_any_event_reach_the_client(run_app: RunApp) -> None:
    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield message("Hi")
        yield ResponsesAgentStreamEvent(type="response.progress", custom_outputs={"cost": 3})

    app = run_app(answer)
    assert app.post(HELLO).json()["custom_outputs"] == {"cost": 3}
    *_, last = app.events(HELLO)
    assert last["response"]["custom_outputs"] == {"cost": 3}


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
    body: dict[str, Any],
    run_app: RunApp,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    agent = SyncAgent(release := threading.Event())
    predict_stream = agent.predict_stream
    kept: list[Any] = []  # so that Python does not close the generator as garbage
    monkeypatch.setattr(
        agent, "predict_stream", lambda one: kept.append(predict_stream(one)) or kept[0]
    )
    app = run_app(agent)
    with app.open_request(json.dumps(body).encode()):
        assert agent.started.wait(10)
    time.sleep(0.2)
    release.set()
    assert agent.closed.wait(5), "The agent's generator was not closed."
    wait_until(lambda: access_log(caplog))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
