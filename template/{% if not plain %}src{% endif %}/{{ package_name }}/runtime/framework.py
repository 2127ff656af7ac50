"""What the adapters of frameworks share: the task of a run, the order of its events, details."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

from mlflow.types.responses import (
    ResponsesAgentStreamEvent,
    create_function_call_item,
    create_text_output_item,
)

from .items import Item, done_event, done_item, text_delta, unique_id
from .llm import LLMError
from .llm.transport import citations, is_cut_off, take_reasoning

Event = TypeVar("Event")


def adapt_events(
    events: AsyncGenerator[ResponsesAgentStreamEvent],
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Yield the events of a framework as those of an answer.

    All generators end in the task of the framework, where its context variables and cancel scopes
    are valid.
    """
    return in_own_task(with_details(in_call_order(events)))


async def in_own_task(events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """Run a generator in its own task, and yield its events.

    The task has its own context, and is cancelled only once.

    A cancel scope of anyio, as servers use it, cancels a task again and again until it ends, which
    interrupts the cleanup of frameworks.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    async def run() -> None:
        async with aclosing(events):
            async for event in events:
                queue.put_nowait(event)

    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()


async def in_call_order(
    events: AsyncGenerator[ResponsesAgentStreamEvent],
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Yield events with the outputs of tools in the order of their calls.

    Frameworks run tools side by side, so the fastest one ends first.
    """
    outputs: dict[str, ResponsesAgentStreamEvent | None] = {}  # by the ids of their calls
    async with aclosing(events):
        async for event in events:
            item = done_item(event) or {}
            call_id = item.get("call_id", "")
            if item.get("type") == "function_call_output" and call_id in outputs:
                outputs[call_id] = event
            else:
                if item.get("type") == "function_call":
                    outputs[call_id] = None
                yield event
            while outputs and (output := outputs[first := next(iter(outputs))]):
                del outputs[first]
                yield output
    for output in filter(None, outputs.values()):  # behind a call that has no output
        yield output


async def with_details(
    events: AsyncGenerator[ResponsesAgentStreamEvent],
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Yield events with what frameworks do not pass on.

    The reasoning of the LLM comes before the event that follows it, or after the message that is
    being streamed.
    """
    is_streaming = False  # the text of a message
    async with aclosing(events):
        async for event in events:
            if not is_streaming:
                for reasoning in _reasoning():
                    yield reasoning
            item = done_item(event) or {}
            if item.get("type") == "message":
                _complete(item)
            yield event
            is_streaming = not item and (is_streaming or bool(text_delta(event)))
    for reasoning in _reasoning():
        yield reasoning


def _reasoning() -> Iterator[ResponsesAgentStreamEvent]:
    for text in take_reasoning():
        summary = [{"type": "summary_text", "text": text}]
        fields = {"id": unique_id("rs"), "summary": summary, "status": "completed"}
        yield done_event({"type": "reasoning", **fields})


def _complete(message: Item) -> None:
    """Add the status of a message and the sources of its text."""
    if is_cut_off():
        message["status"] = "incomplete"
    for part in message["content"]:
        if part["type"] == "output_text":
            part["annotations"] = citations()


def message(text: str, item_id: str) -> ResponsesAgentStreamEvent:
    """Return the event that completes a message."""
    item = create_text_output_item(text, item_id)
    return done_event(item | {"status": "completed"})


def function_call(
    call_id: str, name: str, arguments: str | dict[str, Any]
) -> ResponsesAgentStreamEvent:
    """Return the event that completes a tool call.

    Args:
        call_id: The id that the LLM gave it.
        name: The name of the tool.
        arguments: A JSON object, as text or parsed.
    """
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
        # JSON from the LLM may contain half of a surrogate pair.
        arguments = arguments.encode(errors="backslashreplace").decode()
    item = create_function_call_item(unique_id("fc"), call_id, name, arguments)
    return done_event(item | {"status": "completed"})


def too_many_rounds(uri: str) -> LLMError:
    """Return the error of an LLM that calls tools until the limit of the framework."""
    return LLMError(f"{uri} calls tools in the last round. Raise max_rounds in config.yml.")
