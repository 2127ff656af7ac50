"""The `openai` client."""

from functools import partial
from typing import Any

from openai import OpenAI
from pydantic import BaseModel
from situations import FOLLOW_UP, QUESTION, URL, run

CLIENT = OpenAI(base_url=URL, api_key="none", max_retries=0).responses
TOOL: Any = {"type": "function", "name": "a", "parameters": {}, "strict": False}


class Answer(BaseModel):
    city: str
    days: int


def ask(stream: bool, question: Any, **options: Any) -> Any:
    """Return a response."""
    if not stream:
        return CLIENT.create(model="agent", input=question, **options)
    with CLIENT.stream(model="agent", input=question, **options) as events:
        return events.get_final_response()


def turns(stream: bool) -> list[str]:
    items: list[Any] = [{"role": "user", "content": QUESTION}]
    first = ask(stream, items)
    items += [*first.output, {"role": "user", "content": FOLLOW_UP}]
    second = ask(stream, items)
    return [first.output_text, second.output_text]


def structured() -> Any:
    parsed = CLIENT.parse(model="agent", input=QUESTION, text_format=Answer).output_parsed
    return parsed and parsed.model_dump()


def events_of(question: str, **options: Any) -> list[str]:
    """Return the types of the events of a stream."""
    stream = CLIENT.create(model="agent", input=question, stream=True, **options)
    return [event.type for event in stream]


def disconnect() -> str:
    with CLIENT.create(model="agent", input="Talk", stream=True) as events:
        return next(event.delta for event in events if event.type == "response.output_text.delta")


situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": partial(turns, False),
    "turns_streamed": partial(turns, True),
    "structured": structured,
    "invalid": partial(ask, False, "Hello", tools=[TOOL]),
    "invalid_streamed": partial(events_of, "Hello", tools=[TOOL]),
}
run(situations, lambda stream, question: events_of(question) if stream else ask(False, question))
