"""Rules about streams: what AI Playground shows while the agent speaks."""

import asyncio
import inspect
from collections.abc import Iterator
from itertools import islice
from typing import Any, get_args

import pytest
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest
from openai.types.responses import ResponseStreamEvent

from .harness.agents import (
    HELLO,
    Event,
    LoadedAgent,
    Request,
    Subject,
    complete,
    done_items,
    instance_of,
    text_of,
)
from .harness.errors import described
from .harness.rules import BrokenRuleError, rule
from .harness.same_items import check_same_items
from .harness.strict_json import problems_with_json
from .harness.waiting import PATIENCE, Outcome

KNOWN_TYPES = {
    name
    for event in get_args(get_args(ResponseStreamEvent)[0])
    for name in get_args(event.model_fields["type"].annotation)
}


@pytest.fixture
def events(agent: Subject, example: Request, llm: str) -> list[Event]:
    """The stream that answers the input example."""
    return list(agent.stream(example))


def hello_to(agent: Subject) -> ResponsesAgentRequest:
    """A request as the agent's methods get it from MLflow."""
    return ResponsesAgentRequest.model_validate(complete(HELLO, agent.example))


@rule(
    "streams",
    "`predict_stream` is there, and yields its events one by one.",
    why="AI Playground and Databricks Apps ask for streams; without one they show an error, or "
    "nothing until the whole answer is there.",
    mend="Write `predict_stream` as a generator: `yield` each event as soon as it is known.",
)
def test_streams(agent: Subject) -> None:
    kind = type(instance_of(agent))
    implemented = getattr(kind, "predict_stream", None) is not ResponsesAgent.predict_stream
    assert implemented, f"{kind.__name__} does not implement predict_stream."
    stream = instance_of(agent).predict_stream(hello_to(agent))
    assert inspect.isgenerator(stream), (
        f"predict_stream returns no generator, but this: {type(stream).__name__}."
    )


@rule(
    "abandoned-streams",
    "A stream that its reader leaves ends quietly, and the next request is answered.",
    why="Users close pages and press stop all day; work that goes on for nobody is still paid for, "
    "and an error at the end fills the log.",
    mend="Put what must be tidied up into `finally` or a `with` block, catch no BaseException or "
    "GeneratorExit, and yield nothing after a reader has left.",
)
def test_abandoned_streams(agent: Subject) -> None:
    instance = instance_of(agent)

    def leave_early(request: Any) -> list[Event]:
        # MLflow's tracing around the method would keep the error for itself.
        stream_of = inspect.unwrap(type(instance).predict_stream)
        for count in range(1, 10):
            stream = stream_of(instance, request)
            list(islice(stream, count))
            stream.close()
        return list(agent.stream(HELLO))

    outcome = Outcome(leave_early, hello_to(agent))
    assert outcome.ended(), f"After a reader had left, the next one waited for {PATIENCE} s."
    if outcome.error:
        raise BrokenRuleError(f"Left by its reader, the stream ended in {described(outcome.error)}")
    assert outcome.answer, "After a reader had left, the next one got nothing."


@rule(
    "stream-events",
    "A stream holds text deltas and one done event an item, and only types the API knows.",
    why="Clients pick events by their type: deltas are shown, done events are kept, and a type "
    "with a slip in its name is silently ignored.",
    mend="Use create_text_delta for text, and end every item with one event of the type "
    "response.output_item.done.",
)
def test_stream_events(events: list[Event]) -> None:
    types = [event.get("type") for event in events]
    unknown = {str(one) for one in types} - KNOWN_TYPES
    assert not unknown, f"Types that the Responses API does not have: {', '.join(sorted(unknown))}."
    for event in events:
        problems = list(problems_with_json(event))
        assert not problems, f"A {event['type']} is no strict JSON: {'; '.join(problems)}."
    assert "response.output_text.delta" in types, f"No text delta among {types}."
    assert "response.output_item.done" in types, f"No done event among {types}."
    ids = [item.get("id") for item in done_items(events)]
    assert len(ids) == len(set(ids)), f"An item is done twice; the ids are {ids}."


@rule(
    "stream-text",
    "The deltas of an item bear its id, and joined they are its text.",
    why="Clients show the deltas and keep the item: where they differ, the user sees one answer "
    "and the conversation goes on with another.",
    mend="Make one id for each message and give it to its deltas and to its done event; build the "
    "item's text from the very pieces that were sent as deltas.",
)
def test_stream_text(events: list[Event]) -> None:
    messages = [item for item in done_items(events) if item.get("type") == "message"]
    texts = {item.get("id"): text_of(item) for item in messages}
    streamed: dict[str | None, str] = {}
    done: set[str | None] = set()
    for event in events:
        if event.get("type") == "response.output_item.done":
            done.add(event["item"].get("id"))
        if event.get("type") == "response.output_text.delta":
            item_id, delta = event.get("item_id"), event.get("delta")
            assert isinstance(delta, str), f"A delta is no text: {delta!r}."
            assert item_id not in done, f"A delta of {item_id} comes after the item was done."
            streamed[item_id] = streamed.get(item_id, "") + delta
    strays = streamed.keys() - texts.keys()
    assert not strays, f"Deltas with ids of no message: {', '.join(map(str, strays))}."
    for item_id, text in streamed.items():
        assert text == texts[item_id], f"Streamed {text!r}, but done {texts[item_id]!r}."


@rule(
    "stream-equals-predict",
    "The done items of a stream are what `predict` returns.",
    why="The same agent is streamed to users and called at once by evaluation and batches; where "
    "the two differ, what was evaluated is not what users get.",
    mend="Let `predict` collect the done items of `predict_stream`, and do nothing else; "
    "`predict_stream` those of `predict_stream_async`, where there is one.",
)
def test_stream_equals_predict(agent: Subject, llm: str) -> None:
    ways = ways_to_stream(agent, HELLO)
    check_same_items(agent, ((way, done_items(events)) for way, events in ways))


def ways_to_stream(agent: Subject, request: Request) -> Iterator[tuple[str, list[Event]]]:
    """Each way in which an agent gives events, and those that it gave."""
    yield "Streamed, it", list(agent.stream(request))
    if isinstance(agent, LoadedAgent) and hasattr(agent.instance, "predict_stream_async"):
        whole = ResponsesAgentRequest(**complete(request, agent.example))

        async def collected() -> list[Event]:
            events = agent.instance.predict_stream_async(whole)
            return [event.model_dump(exclude_none=True) async for event in events]

        yield "For the server, it", asyncio.run(collected())
