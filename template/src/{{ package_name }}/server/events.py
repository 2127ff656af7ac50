"""Converts the agent's events to the complete event stream of the Responses API.

The agent yields text deltas and finished items. Clients also expect events for the start of the
response and of each item, the position of each event, and the complete response at the end. See
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from mlflow.types.responses import ResponsesAgentStreamEvent

from ..runtime.items import Item, done_item, text_delta, unique_id
from ..runtime.llm.usage import count_tokens

Event = dict[str, Any]

# An agent that passes on the stream of another server yields these events, too.
WRITTEN_HERE = {
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.completed",
}


class ResponseWriter:
    """Writes one response: `start`, then `events_for` each event of the agent, then an end.

    Every event is a JSON object with `type` and `sequence_number`, counted from 0.
    """

    def __init__(self, model: str, metadata: dict[str, str] | None = None) -> None:
        self._sequence = count()
        self._message_id: str | None = None  # the message that is being streamed
        self._tokens = count_tokens()
        self._response: dict[str, Any] = {
            "id": unique_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "metadata": metadata or {},
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    @property
    def output(self) -> list[Item]:
        """The finished items."""
        return self._response["output"]

    def add(self, event: ResponsesAgentStreamEvent) -> None:
        """Add the item that an event completes, and its `custom_outputs`, if it has them."""
        if item := done_item(event):
            self.output.append(item)
        if event.custom_outputs is not None:
            self._response["custom_outputs"] = event.custom_outputs

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        """Return the response with everything added so far."""
        current = {"output": list(self.output), "status": status, "usage": self._tokens.usage()}
        return {**self._response, **current, **fields}

    def start(self) -> Event:
        """Return the first event."""
        return self._event("response.created", response=self.response("in_progress"))

    def events_for(self, event: ResponsesAgentStreamEvent) -> Iterator[Event]:
        """Yield an event of the agent, and the events that clients expect before it."""
        if item := done_item(event):
            yield from self._start_item(item)
            yield self._event(event.type, output_index=len(self.output), item=item)
            self._message_id = None
        elif text := text_delta(event):
            yield from self._text_delta(text, (event.model_extra or {})["item_id"])
        elif event.type not in WRITTEN_HERE:
            fields = event.model_dump(exclude_none=True)
            yield self._event(fields.pop("type"), **fields)
        self.add(event)

    def end(self) -> Event:
        """Return the last event of a complete response."""
        return self._event("response.completed", response=self.response("completed"))

    def fail(self, message: str, code: str) -> Iterator[Event]:
        """Yield the last events of a failed response."""
        yield self._event("error", code=code, message=message, param=None)
        failed = self.response("failed", error={"code": code, "message": message})
        yield self._event("response.failed", response=failed)

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._sequence), **fields}

    def _part_event(self, kind: str, item_id: str, **fields: Any) -> Event:
        """Return an event about the only part of the message that is being streamed."""
        position = {"item_id": item_id, "output_index": len(self.output), "content_index": 0}
        return self._event(kind, **position, **fields)

    def _text_delta(self, text: str, item_id: str) -> Iterator[Event]:
        if self._message_id is None:
            yield from self._start_message(item_id)
        yield self._part_event("response.output_text.delta", item_id, delta=text, logprobs=[])

    def _start_message(self, item_id: str) -> Iterator[Event]:
        self._message_id = item_id
        item: Item = {"type": "message", "id": item_id, "role": "assistant", "content": []}
        item["status"] = "in_progress"
        yield self._event("response.output_item.added", output_index=len(self.output), item=item)
        part = {"type": "output_text", "text": "", "annotations": []}
        yield self._part_event("response.content_part.added", item_id, part=part)

    def _start_item(self, item: Item) -> Iterator[Event]:
        """Yield the events before the done event of an item."""
        if item["type"] == "message":
            yield from self._finish_message(item)
        elif item["type"] == "function_call":
            yield from self._start_call(item)
        else:
            yield self._event(
                "response.output_item.added", output_index=len(self.output), item=item
            )

    def _finish_message(self, item: Item) -> Iterator[Event]:
        empty: Item = {"type": "output_text", "text": "", "annotations": []}
        part = next(iter(item["content"]), empty)
        text = part.get("text", "")
        if self._message_id is None:
            yield from self._text_delta(text, item["id"])
        yield self._part_event("response.output_text.done", item["id"], text=text, logprobs=[])
        yield self._part_event("response.content_part.done", item["id"], part=part)

    def _start_call(self, item: Item) -> Iterator[Event]:
        index, arguments = len(self.output), item["arguments"]
        started = item | {"arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=started)
        position = {"item_id": item["id"], "output_index": index}
        yield self._event("response.function_call_arguments.delta", **position, delta=arguments)
        yield self._event(
            "response.function_call_arguments.done",
            **position,
            name=item["name"],
            arguments=arguments,
        )
