"""Agents that tests write: each answers with the events of a function."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent

from tests.server.serving import HELLO

Events = AsyncGenerator[ResponsesAgentStreamEvent, None]
Answer = Callable[[ResponsesAgentRequest], Events]

STREAM = HELLO | {"stream": True}
RETURN_TRACE = {"x-mlflow-return-trace-id": "true"}


class ScriptedAgent(ResponsesAgent):
    """An agent that answers with the events of a function."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def predict(self, request: ResponsesAgentRequest) -> Any:
        raise NotImplementedError

    def predict_stream_async(self, request: ResponsesAgentRequest) -> Events:
        self.events = self.answer(request)  # kept, so that Python does not close it as garbage
        return self.events


def delta(text: str, item_id: str = "msg_1") -> ResponsesAgentStreamEvent:
    """Return the event for a piece of a message's text."""
    return ResponsesAgentStreamEvent(type="response.output_text.delta", delta=text, item_id=item_id)


def message(text: str, item_id: str = "msg_1") -> ResponsesAgentStreamEvent:
    """Return the event that completes a message."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": item_id, "role": "assistant", "content": content}
    return ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


def answer_with(text: str) -> Answer:
    """Return an agent that answers with a text."""

    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield delta(text)
        yield message(text)

    return answer


def fail_with(error: BaseException) -> Answer:
    """Return an agent that fails in the middle of its answer."""

    async def answer(_request: ResponsesAgentRequest) -> Events:
        yield delta("Well")
        raise error

    return answer


async def wait_forever(_request: ResponsesAgentRequest) -> Events:
    await asyncio.sleep(60)
    yield message("too late")
