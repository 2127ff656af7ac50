"""Converts the agent's events to the complete event stream of the Responses API.

The agent yields text deltas and finished items. Clients also expect events for the start of the
response and of each item, the position of each event, and the complete response at the end. See
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from mlflow.types.responses import ResponsesAgentStreamEvent

from ..runtime.items import Item, done_item, text_delta, unique_id
from ..runtime.llm.usage import record_completions

Event = dict[str, Any]

# The writer creates these events itself. It drops them from a stream that the agent forwards.
DROPPED_EVENTS = {
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",  # only an empty one is left out
    "response.output_text.done",
    "response.refusal.delta",
    "response.refusal.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.completed",
    "response.incomplete",
}
FAILURES = {"error", "response.failed"}


@dataclass(frozen=True)
class PartKind:
    """A kind of content of a message, with the names that the API uses for it.

    Attributes:
        type: The type of the part.
        field: The field with its text.
        event_fields: Further fields of its events.
    """

    type: str
    field: str
    event_fields: dict[str, Any]

    @property
    def delta(self) -> str:
        """The event for a piece of the text."""
        return f"response.{self.type}.delta"

    @property
    def done(self) -> str:
        """The event for the whole text."""
        return f"response.{self.type}.done"

    def part(self, text: str) -> Item:
        """Return a part with a text."""
        annotations = {"annotations": []} if self.type == "output_text" else {}
        return {"type": self.type, self.field: text, **annotations}


TEXT = PartKind("output_text", "text", {"logprobs": []})
REFUSAL = PartKind("refusal", "refusal", {})


class ResponseWriter:
    """Writes one response: `start`, then `events_for` each event of the agent, then an end.

    Every event is a JSON object with `type` and `sequence_number`, counted from 0.
    """

    def __init__(
        self, model: str, metadata: dict[str, str] | None = None, **parameters: Any
    ) -> None:
        self._sequence = count()
        self._message_id: str | None = None  # the message that is being streamed
        self._parts: list[PartKind] = []  # the parts of its content that have started
        self._record = record_completions()
        self._response: dict[str, Any] = {
            "id": unique_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "metadata": metadata or {},
            "output": [],
            "parallel_tool_calls": True,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            **parameters,
        }

    @property
    def output(self) -> list[Item]:
        """The finished items."""
        return self._response["output"]

    def add(self, event: ResponsesAgentStreamEvent) -> None:
        """Add the item that an event completes, and its `custom_outputs`, if it has them.

        Raises:
            RuntimeError: The event reports a failure.
            TypeError, ValueError: JSON cannot represent `custom_outputs`.
        """
        raise_failure(event)
        if event.custom_outputs is not None:
            json.dumps(event.custom_outputs, allow_nan=False)  # `fail` could not send other values
            self._response["custom_outputs"] = event.custom_outputs
        if item := done_item(event):
            self.output.append(item)

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        """Return the response with everything added so far."""
        current = {"output": list(self.output), "status": status, **self._record.usage()}
        return {**self._response, **current, **fields}

    def finished_response(self) -> dict[str, Any]:
        """Return the response at the end of the agent's events, complete or cut off by the LLM."""
        return self.response(**self._record.outcome())

    def start(self) -> Event:
        """Return the first event."""
        return self._event("response.created", response=self.response("in_progress"))

    def events_for(self, event: ResponsesAgentStreamEvent) -> Iterator[Event]:
        """Yield an event of the agent, and the events that clients expect before it.

        The response contains the item of the event only after all of them are taken, so `fail` can
        still end the stream if one of them cannot be encoded.

        Raises:
            RuntimeError: The event reports a failure.
            TypeError, ValueError: JSON cannot represent `custom_outputs`.
        """
        raise_failure(event)
        if item := done_item(event):
            yield from self._start_item(item)
            yield self._event(event.type, output_index=len(self.output), item=item)
            self._message_id = None
            self._parts.clear()
        elif text := text_delta(event):
            part = REFUSAL if event.type == REFUSAL.delta else TEXT
            yield from self._delta(part, text, (event.model_extra or {})["item_id"])
        elif event.type not in DROPPED_EVENTS:
            fields = event.model_dump(exclude_none=True, exclude={"sequence_number"})
            yield self._event(fields.pop("type"), **fields)
        self.add(event)

    def end(self) -> Event:
        """Return the last event of a response that did not fail."""
        response = self.finished_response()
        return self._event(f"response.{response['status']}", response=response)

    def fail(self, code: str, error: dict[str, Any]) -> Iterator[Event]:
        """Yield the last events of a failed response.

        Clients raise an exception if the event has an object `error`, as in an error response.
        """
        message = error["message"]
        yield self._event("error", code=code, message=message, param=error["param"], error=error)
        failed = self.response("failed", error={"code": code, "message": message})
        yield self._event("response.failed", response=failed)

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._sequence), **fields}

    def _delta(self, kind: PartKind, text: str, item_id: str) -> Iterator[Event]:
        if self._message_id is None:
            yield self._start_message(item_id)
        if kind not in self._parts:
            yield self._start_part(kind)
        index = self._parts.index(kind)
        yield self._part_event(kind.delta, index, delta=text, **kind.event_fields)

    def _start_message(self, item_id: str) -> Event:
        self._message_id = item_id
        item: Item = {"type": "message", "id": item_id, "role": "assistant", "content": []}
        item["status"] = "in_progress"
        return self._event("response.output_item.added", output_index=len(self.output), item=item)

    def _start_part(self, kind: PartKind) -> Event:
        self._parts.append(kind)
        index = len(self._parts) - 1
        return self._part_event("response.content_part.added", index, part=kind.part(""))

    def _part_event(self, name: str, index: int, **fields: Any) -> Event:
        """Return an event about a part of the message that is being streamed."""
        position = {"item_id": self._message_id, "output_index": len(self.output)}
        return self._event(name, **position, content_index=index, **fields)

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
        """Yield the events that end the parts of a message, and those that were not streamed."""
        for index, part in enumerate(item["content"] or [TEXT.part("")]):
            kind = REFUSAL if part["type"] == REFUSAL.type else TEXT
            text = part.get(kind.field, "")
            if index == len(self._parts):
                yield from self._whole_part(kind, text, item["id"])
            yield self._part_event(kind.done, index, **{kind.field: text}, **kind.event_fields)
            yield self._part_event("response.content_part.done", index, part=part)

    def _whole_part(self, kind: PartKind, text: str, item_id: str) -> Iterator[Event]:
        if self._message_id is None:
            yield self._start_message(item_id)
        yield self._start_part(kind)
        index = len(self._parts) - 1
        yield self._part_event(kind.delta, index, delta=text, **kind.event_fields)

    def _start_call(self, item: Item) -> Iterator[Event]:
        index, arguments = len(self.output), item["arguments"]
        started = item | {"arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=started)
        item_id = item.get("id") or item["call_id"]  # the id of a call is optional
        position = {"item_id": item_id, "output_index": index}
        yield self._event("response.function_call_arguments.delta", **position, delta=arguments)
        whole = {"name": item["name"], "arguments": arguments}
        yield self._event("response.function_call_arguments.done", **position, **whole)


def raise_failure(event: ResponsesAgentStreamEvent) -> None:
    """Raise the failure that an agent passes on from another server, so that it is not a success.

    Raises:
        RuntimeError: The event reports a failure.
    """
    if event.type in FAILURES:
        raise RuntimeError(f"The agent passed on a failure: {event.model_extra}")
