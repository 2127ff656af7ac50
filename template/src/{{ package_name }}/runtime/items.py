"""Items and stream events of the Responses API."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from mlflow.types.responses import ResponsesAgentStreamEvent, create_function_call_output_item

Item = dict[str, Any]

_ITEM_DONE = "response.output_item.done"
_TEXT_DELTA = "response.output_text.delta"
_REFUSAL_DELTA = "response.refusal.delta"


class RequestError(ValueError):
    """The caller's request is invalid; the server answers 400 with this message.

    Args:
        message: What is wrong and what to do.
        param: The field of the request, such as `input` or `tools`.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def unique_id(prefix: str) -> str:
    """Return a new id such as `msg_6f1c…`; APIs accept at most 64 characters."""
    return f"{prefix}_{uuid4().hex}"


def done_event(item: Item) -> ResponsesAgentStreamEvent:
    """Return the event that completes an item."""
    return ResponsesAgentStreamEvent(type=_ITEM_DONE, item=item)


def delta_event(text: str, item_id: str, *, is_refusal: bool = False) -> ResponsesAgentStreamEvent:
    """Return the event for a piece of a message's text, or of its refusal."""
    kind = _REFUSAL_DELTA if is_refusal else _TEXT_DELTA
    # Validation would double the CPU time of a piece of text.
    return ResponsesAgentStreamEvent.model_construct(type=kind, item_id=item_id, delta=text)


def function_call_output(call_id: str, output: str) -> ResponsesAgentStreamEvent:
    """Return the event that completes the output of a tool call."""
    item = create_function_call_output_item(call_id, output)
    return done_event(item | {"id": unique_id("fco"), "status": "completed"})


def done_item(event: ResponsesAgentStreamEvent) -> Item | None:
    """Return the item that an event completes, if it completes one."""
    return (event.model_extra or {}).get("item") if event.type == _ITEM_DONE else None


def items_text(items: Iterable[Item]) -> str:
    """Return the text of the messages among items."""
    messages = (item for item in items if item["type"] == "message")
    return "\n".join(part.get("text", "") for item in messages for part in item["content"])


def text_delta(event: ResponsesAgentStreamEvent) -> str:
    """Return the text of a text or refusal delta, or an empty string for other events."""
    is_delta = event.type in (_TEXT_DELTA, _REFUSAL_DELTA)
    return (event.model_extra or {}).get("delta", "") if is_delta else ""
