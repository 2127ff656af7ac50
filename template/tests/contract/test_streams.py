"""Rules about streams, which AI Playground shows while the agent answers."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, get_args

import pytest
from mlflow.types.responses import ResponsesAgentRequest
from openai.types.responses import ResponseStreamEvent

from .harness.agents import (
    HELLO,
    Agent,
    Event,
    LoadedAgent,
    Request,
    done_items,
    ids_of,
    implements_streams,
    instance_of,
    stream_of,
    text_of,
    with_custom_inputs,
)
from .harness.conversation import LLMCall, joined, wants_json
from .harness.errors import AGENT_ERRORS, describe_error
from .harness.offline import OfflineLLM
from .harness.rules import FailedRuleError, rule
from .harness.same_items import check_same_items
from .harness.sample_requests import user
from .harness.strict_json import problems_with_json
from .harness.waiting import PATIENCE, Attempt, eventually

TEXT_DELTA = "response.output_text.delta"
MIN_REPEATED = 10  # characters
EVENT_TYPES = {
    name
    for event in get_args(get_args(ResponseStreamEvent)[0])
    for name in get_args(event.model_fields["type"].annotation)
}


@pytest.fixture
def events(agent: Agent, example: Request, llm: str) -> list[Event]:
    """The streamed answer to the input example."""
    return list(agent.stream(example))


def hello_request(agent: Agent) -> ResponsesAgentRequest:
    """Return a request as MLflow passes it to the agent's methods."""
    return ResponsesAgentRequest.model_validate(with_custom_inputs(HELLO, agent.example))


STREAMS = rule(
    "streams",
    "`predict_stream` exists and yields events one by one.",
    why="AI Playground and Databricks Apps request streams. Without one they show an error, or "
    "nothing until the answer is complete.",
    fix="Write `predict_stream` as a generator that yields each event as soon as it is available.",
)


@STREAMS
def test_predict_stream(loaded_agent: LoadedAgent) -> None:
    name = type(loaded_agent.instance).__name__
    assert implements_streams(loaded_agent.instance), f"{name} does not implement predict_stream."


@STREAMS
def test_streams(agent: Agent) -> None:
    stream = instance_of(agent).predict_stream(hello_request(agent))
    assert inspect.isgenerator(stream), (
        f"predict_stream returns a {type(stream).__name__}, not a generator."
    )


@STREAMS
@pytest.mark.parametrize("kind", ["a greeting", "the input example"])
def test_events_one_by_one(
    agent: Agent, example: Request, offline_llm: OfflineLLM, kind: str
) -> None:
    request = example if kind == "the input example" else HELLO
    offline_llm.use("demo")
    answer = joined(map(text_of, done_items(list(agent.stream(request)))))
    offline_llm.skip_if_unused()
    body = offline_llm.bodies[-1]
    if answer in LLMCall(body).text or wants_json(body):  # another LLM checks it, or code parses it
        return
    # The last request of the next answer; earlier ones may be about something else.
    rounds = offline_llm.calls
    offline_llm.held_back = offline_llm.calls + rounds
    types: list[str | None] = []

    def read_types(request: Request) -> None:
        for event in agent.stream(request):
            types.append(event.get("type"))

    attempt = Attempt(read_types, request)
    eventually(lambda: TEXT_DELTA in types or attempt.finished(0))
    is_early = TEXT_DELTA in types
    offline_llm.released = True
    attempt.finished()
    assert is_early, f"The first text delta comes after the whole answer of the LLM to {kind}."


@rule(
    "abandoned-streams",
    "An abandoned stream stops cleanly, and the next request is answered.",
    why="Users often close pages and press stop. Work that continues still costs money, and an "
    "error at the end fills the log.",
    fix="Put cleanup into `finally` or a `with` block, do not catch BaseException or "
    "GeneratorExit, and yield nothing after the stream is closed.",
)
def test_abandoned_streams(agent: Agent) -> None:
    instance = instance_of(agent)

    def abandon(request: Any) -> list[Event]:
        # Without MLflow's tracing wrapper, which would hide the error.
        predict_stream = inspect.unwrap(type(instance).predict_stream)
        for count in range(1, 10):
            stream = predict_stream(instance, request)
            list(islice(stream, count))
            stream.close()
        return list(agent.stream(HELLO))

    attempt = Attempt(abandon, hello_request(agent))
    assert attempt.finished(), (
        f"After a client closed a stream, the next one waited for {PATIENCE} s."
    )
    error = attempt.error
    assert error is None, f"Closing the stream raised {describe_error(error)}"
    assert attempt.answer, "After a client closed a stream, the next stream was empty."


@rule(
    "stream-events",
    "A stream contains text deltas, one done event per item, and only event types of the API.",
    why="Clients select events by type: they show deltas, store done events, and ignore unknown "
    "types without an error.",
    fix="Use create_text_delta for text, and end every item with one event of type "
    "response.output_item.done.",
)
def test_stream_events(events: list[Event]) -> None:
    types = [event.get("type") for event in events]
    unknown = {str(one) for one in types} - EVENT_TYPES
    assert not unknown, f"The Responses API has no event type {', '.join(sorted(unknown))}."
    for event in events:
        problems = list(problems_with_json(event))
        assert not problems, f"A {event['type']} is not strict JSON: {'; '.join(problems)}."
    assert TEXT_DELTA in types, f"No text delta among {types}."
    assert "response.output_item.done" in types, f"No done event among {types}."
    ids = ids_of(done_items(events))
    assert len(ids) == len(set(ids)), f"An item has two done events; the ids are {ids}."


STREAM_TEXT = rule(
    "stream-text",
    "The deltas of a message have its id, and together they are its text.",
    why="Clients show the deltas and store the item. If they differ, the conversation continues "
    "with a text that the user did not see.",
    fix="Create one id per message and use it for its deltas and its done event. Build the item's "
    "text from the pieces that were sent as deltas. After the first of them, do not call the LLM "
    "again for the same message.",
)


@STREAM_TEXT
def test_stream_text(events: list[Event]) -> None:
    check_texts(events)


@STREAM_TEXT
@pytest.mark.parametrize("number", [1, 2])
def test_text_after_a_broken_stream(
    agent: Agent, example: Request, offline_llm: OfflineLLM, number: int
) -> None:
    offline_llm.use("demo" if number == 1 else "tools")
    offline_llm.broken = number  # the second stream comes after tool calls
    attempt = Attempt(stream_of(agent), HELLO if number == 1 else example)
    finished = attempt.finished()
    offline_llm.skip_if_unused()
    if not finished:
        raise FailedRuleError(
            f"After a stream of the LLM broke, the agent did not stop within {PATIENCE} s.",
            "Do not catch the error of the LLM, or limit how often the agent calls it again.",
        )
    if attempt.error:  # the agent does not call the LLM again, or calls it in vain
        return
    check_texts(attempt.answer, "After a stream of the LLM broke: ")
    for item in done_items(attempt.answer):
        assert not starts_twice(text_of(item)), (
            f"After a stream of the LLM broke, the answer starts again: {text_of(item)!r}."
        )


def starts_twice(text: str) -> bool:
    """Return whether a text begins with the same words twice."""
    lengths = range(MIN_REPEATED, len(text) // 2 + 1)
    return any(text.startswith(text[:length], length) for length in lengths)


# What agents remove, mask or rewrite.
FILTERED_TEXT = (
    "Ada <ada@example.com>, +1 (555) 010-9999, card 4111 1111 1111 1111: **see** [1] "
    "https://example.com <think>Really?</think> TODO   damn"
)


@STREAM_TEXT
def test_text_that_agents_filter(agent: Agent, offline_llm: OfflineLLM) -> None:
    offline_llm.repeat_all_messages()
    events: list[Event] = []
    with suppress(*AGENT_ERRORS):  # the agent may refuse the request
        events += agent.stream({"input": [user(FILTERED_TEXT)]})
    offline_llm.skip_if_unused()
    check_texts(events, "With personal data in the text of the LLM: ")


def check_texts(events: list[Event], when: str = "") -> None:
    """Assert that the deltas of each message are its text."""
    messages = [item for item in done_items(events) if item.get("type") == "message"]
    texts = {item.get("id"): text_of(item) for item in messages}
    streamed: dict[str | None, str] = {}
    done: set[str | None] = set()
    for event in events:
        if event.get("type") == "response.output_item.done":
            done.add(event["item"].get("id"))
        if event.get("type") == TEXT_DELTA:
            item_id, delta = event.get("item_id"), event.get("delta")
            assert isinstance(delta, str), f"{when}A delta is not a string: {delta!r}."
            if not delta:  # MLflow's helpers send one before a tool call
                continue
            assert item_id not in done, f"{when}A delta of {item_id} comes after its done event."
            streamed[item_id] = streamed.get(item_id, "") + delta
    unknown = streamed.keys() - texts.keys()
    assert not unknown, f"{when}No message has the id of the deltas {', '.join(map(str, unknown))}."
    for item_id, text in streamed.items():
        assert text == texts[item_id], (
            f"{when}The deltas are {text!r}, the item is {texts[item_id]!r}."
        )


@rule(
    "stream-equals-predict",
    "The done items of a stream are the items that `predict` returns.",
    why="Users get streams, while evaluations and batches call `predict`. If the two differ, users "
    "get something else than what was evaluated.",
    fix="Let `predict` only collect the done items of `predict_stream`, and `predict_stream` only "
    "pass on the events of `predict_stream_async`, if there is one.",
)
def test_stream_equals_predict(agent: Agent, llm: str) -> None:
    streams = streams_of(agent)
    check_same_items(agent, ((method, done_items(events)) for method, events in streams))


def streams_of(agent: Agent) -> Iterator[tuple[str, list[Event]]]:
    """Yield each method that streams, and its answer to HELLO."""
    yield "predict_stream", list(agent.stream(HELLO))
    if isinstance(agent, LoadedAgent) and hasattr(agent.instance, "predict_stream_async"):

        async def collect() -> list[Event]:
            events = agent.instance.predict_stream_async(hello_request(agent))
            return [event.model_dump(exclude_none=True) async for event in events]

        yield "predict_stream_async", asyncio.run(collect())
