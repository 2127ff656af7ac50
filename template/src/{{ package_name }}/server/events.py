"""What goes over the wire: the agent's events, completed to those of the Responses API.

The agent yields text deltas and finished items. Clients of the API also expect to be told when a
response and each item begin, where in the output an event belongs, and the whole response at last.
See https://platform.openai.com/docs/api-reference/responses-streaming.
"""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from mlflow.types.responses import ResponsesAgentStreamEvent

from .conversation import done_item, text_delta, unique_id
from .tokens import count_tokens

Event = dict[str, Any]
Item = dict[str, Any]


class ResponseWriter:
    """Writes one response: `begin`, then `pass_on` for each of the agent's events, then an end.

    Every event is a JSON object with `type` and `sequence_number`, from 0 on.
    """

    def __init__(self, model: str, metadata: dict[str, str] | None = None) -> None:
        self._numbers = count()
        self._message_id: str | None = None  # of the message that is being said
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
        """The items that are finished."""
        return self._response["output"]

    def begin(self) -> Event:
        """The response has begun."""
        return self._event("response.created", response=self.response("in_progress"))

    def pass_on(self, event: ResponsesAgentStreamEvent) -> Iterator[Event]:
        """An event of the agent, with those that belong before it."""
        if item := done_item(event):
            yield from self._begin_item(item)
            yield self._event(event.type, output_index=len(self.output), item=item)
            self._message_id = None
            self.output.append(item)
            self._response["custom_outputs"] = event.custom_outputs
        elif text := text_delta(event):
            yield from self._say(text, (event.model_extra or {})["item_id"])
        else:
            fields = event.model_dump(exclude_none=True)
            yield self._event(fields.pop("type"), **fields)

    def end(self) -> Event:
        """The response is complete."""
        return self._event("response.completed", response=self.response("completed"))

    def fail(self, message: str, code: str = "server_error") -> Iterator[Event]:
        """The response ends here, for a reason that the caller may know."""
        yield self._event("error", code=code, message=message, param=None)
        failed = self.response("failed", error={"code": code, "message": message})
        yield self._event("response.failed", response=failed)

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        """The response as it is now."""
        now = {"output": list(self.output), "status": status, "usage": self._tokens.usage()}
        return {**self._response, **now, **fields}

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._numbers), **fields}

    def _part_event(self, kind: str, item_id: str, **fields: Any) -> Event:
        """An event about the only part of the message that is being said."""
        place = {"item_id": item_id, "output_index": len(self.output), "content_index": 0}
        return self._event(kind, **place, **fields)

    def _say(self, text: str, item_id: str) -> Iterator[Event]:
        if self._message_id is None:
            yield from self._begin_message(item_id)
        yield self._part_event("response.output_text.delta", item_id, delta=text, logprobs=[])

    def _begin_message(self, item_id: str) -> Iterator[Event]:
        self._message_id = item_id
        item: Item = {"type": "message", "id": item_id, "role": "assistant", "content": []}
        item["status"] = "in_progress"
        yield self._event("response.output_item.added", output_index=len(self.output), item=item)
        part = {"type": "output_text", "text": "", "annotations": []}
        yield self._part_event("response.content_part.added", item_id, part=part)

    def _begin_item(self, item: Item) -> Iterator[Event]:
        """What comes before the done event of an item."""
        if item["type"] == "message":
            yield from self._end_message(item)
        elif item["type"] == "function_call":
            yield from self._begin_call(item)
        else:
            yield self._event(
                "response.output_item.added", output_index=len(self.output), item=item
            )

    def _end_message(self, item: Item) -> Iterator[Event]:
        (part, *_) = item["content"]
        text = part.get("text", "")
        if self._message_id is None:
            yield from self._say(text, item["id"])
        yield self._part_event("response.output_text.done", item["id"], text=text, logprobs=[])
        yield self._part_event("response.content_part.done", item["id"], part=part)

    def _begin_call(self, item: Item) -> Iterator[Event]:
        index, arguments = len(self.output), item["arguments"]
        begun = item | {"arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        place = {"item_id": item["id"], "output_index": index}
        yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._event(
            "response.function_call_arguments.done", **place, name=item["name"], arguments=arguments
        )
