"""Repairs the conversation that a client sends, so that every LLM accepts it."""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any

from mlflow.types.responses import Message, OutputItem

InputItem = Message | OutputItem

# The fields with the id of a call, by the type of its item, and of the output of a call.
_CALL_IDS = {"function_call": "call_id", "mcp_approval_request": "id"}
_OUTPUT_IDS = {
    "function_call_output": "call_id",
    "mcp_approval_response": "approval_request_id",
}


def repair(items: Iterable[InputItem]) -> list[InputItem]:
    """Return the items with the output of each call directly after the call.

    Clients leave out what they do not show, and APIs refuse a call without an output and an output
    without a call. Both are removed. Calls that follow each other keep their order before their
    outputs, because they are one turn of the LLM.
    """
    items = list(items)
    outputs: dict[str, deque[InputItem]] = defaultdict(deque)
    for previous, item in zip([None, *items], items, strict=False):
        if identifier := _id(item, _OUTPUT_IDS):
            # Databricks' AI SDK provider sends an error of the client before the tool's output.
            if previous and _id(previous, _OUTPUT_IDS) == identifier:
                outputs[identifier].pop()
            outputs[identifier].append(item)
    repaired: list[InputItem] = []
    calls: list[InputItem] = []
    for item in items:
        if identifier := _id(item, _CALL_IDS):
            if len(outputs[identifier]) > sum(_id(call, _CALL_IDS) == identifier for call in calls):
                calls.append(item)
            continue
        repaired += _with_outputs(calls, outputs)
        calls.clear()
        if not _id(item, _OUTPUT_IDS):
            repaired.append(item)
    return repaired + _with_outputs(calls, outputs)


def _with_outputs(calls: list[InputItem], outputs: dict[str, deque[InputItem]]) -> list[InputItem]:
    """Return the calls of one turn, followed by their outputs."""
    return calls + [outputs[_id(call, _CALL_IDS)].popleft() for call in calls]


def _id(item: InputItem, fields: dict[str, str]) -> str:
    """Return the id of the call that an item concerns, or "" for other items."""
    kind: Any = "message" if isinstance(item, Message) else item.type
    return str(getattr(item, fields[kind], "")) if kind in fields else ""
