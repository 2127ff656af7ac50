"""Rules about streams: what AI Playground shows while the agent speaks."""

import inspect
from collections.abc import Iterator
from typing import get_args

import pytest
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest
from openai.types.responses import ResponseStreamEvent

from .rules import rule
from .subject import Event, Item, LoadedAgent, Request, done_items, text_of

HELLO = {"input": [{"role": "user", "content": "Hello, who are you?"}]}
KNOWN_TYPES = {
    name
    for event in get_args(get_args(ResponseStreamEvent)[0])
    for name in get_args(event.model_fields["type"].annotation)
}


@pytest.fixture(params=["demo", "tools"])
def events(
    agent: LoadedAgent,
    example: Request,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> list[Event]:
    """The stream that answers the input example: without tools, or with all of them."""
    monkeypatch.setenv("AGENT_LLM", f"offline:/{request.param}")
    return agent.stream(example)


@rule(
    "streams",
    "`predict_stream` is there, and yields its events one by one.",
    why="AI Playground and Databricks Apps ask for streams; without one they show an error, or "
    "nothing until the whole answer is there.",
    mend="Write `predict_stream` as a generator: `yield` each event as soon as it is known.",
)
def test_streams(agent: LoadedAgent) -> None:
    kind = type(agent.instance)
    implemented = kind.predict_stream is not ResponsesAgent.predict_stream
    assert implemented, f"{kind.__name__} does not implement predict_stream."
    stream = agent.instance.predict_stream(ResponsesAgentRequest.model_validate(HELLO))
    assert inspect.isgenerator(stream), f"predict_stream returns a {type(stream).__name__}."


@rule(
    "stream-events",
    "A stream holds text deltas and one done event an item, and only types the API knows.",
    why="Clients pick events by their type: deltas are shown, done events are kept, and a type "
    "with a slip in its name is silently ignored.",
    mend="Use create_text_delta for text, and end every item with one event of the type "
    "response.output_item.done.",
)
def test_stream_events(events: list[Event]) -> None:
    types = [event["type"] for event in events]
    unknown = set(types) - KNOWN_TYPES
    assert not unknown, f"Types that the Responses API does not have: {', '.join(sorted(unknown))}."
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
    texts = {item["id"]: text_of(item) for item in done_items(events) if item["type"] == "message"}
    streamed: dict[str, str] = {}
    for event in events:
        if event["type"] == "response.output_text.delta":
            streamed[event["item_id"]] = streamed.get(event["item_id"], "") + event["delta"]
    strays = streamed.keys() - texts.keys()
    assert not strays, f"Deltas with ids of no message: {', '.join(sorted(strays))}."
    for item_id, text in streamed.items():
        assert text == texts[item_id], f"Streamed {text!r}, but done {texts[item_id]!r}."


@rule(
    "stream-equals-predict",
    "The done items of a stream are what `predict` returns.",
    why="The same agent is streamed to users and called at once by evaluation and batches; where "
    "the two differ, what was evaluated is not what users get.",
    mend="Let `predict` collect the done items of `predict_stream`, and do nothing else.",
)
def test_stream_equals_predict(agent: LoadedAgent) -> None:
    streamed = done_items(agent.stream(HELLO))
    predicted = agent.output(HELLO)
    assert list(without_ids(streamed)) == list(without_ids(predicted)), (
        f"Streamed {streamed}, but predicted {predicted}."
    )


def without_ids(items: list[Item]) -> Iterator[Item]:
    """Items without what is new in every answer."""
    for item in items:
        yield {key: value for key, value in item.items() if key not in ("id", "call_id")}
