"""Repairs the conversation that a client sends, so that every LLM accepts it."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any

from mlflow.types.responses import Message, OutputItem

InputItem = Message | OutputItem
Outputs = dict[str | None, deque[InputItem]]  # by the id of the call

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
    outputs: Outputs = defaultdict(deque)
    called: Counter[str | None] = Counter()
    for previous, item in zip([None, *items], items, strict=False):
        called[_id(item, _CALL_IDS)] += 1
        if (identifier := _id(item, _OUTPUT_IDS)) is not None:
            # Databricks' AI SDK provider sends an error of the client before the tool's output.
            is_repeated = previous and _id(previous, _OUTPUT_IDS) == identifier
            if is_repeated and len(outputs[identifier]) >= called[identifier]:
                outputs[identifier].pop()
            outputs[identifier].append(item)
    repaired: list[InputItem] = []
    calls: list[InputItem] = []
    for item in items:
        if (identifier := _id(item, _CALL_IDS)) is not None:
            if len(outputs[identifier]) > sum(_id(call, _CALL_IDS) == identifier for call in calls):
                calls.append(item)
            continue
        repaired += _with_outputs(calls, outputs)
        calls.clear()
        if _id(item, _OUTPUT_IDS) is None:
            repaired.append(item)
    return repaired + _with_outputs(calls, outputs)


def _with_outputs(calls: list[InputItem], outputs: Outputs) -> list[InputItem]:
    """Return the calls of one turn, followed by their outputs; each has its own id."""
    pairs: list[tuple[InputItem, InputItem]] = []
    for call in calls:
        identifier = _id(call, _CALL_IDS)
        output = outputs[identifier].popleft()
        if not identifier or any(_id(other, _CALL_IDS) == identifier for other, _ in pairs):
            fields = {"call_id": f"{identifier}_{len(pairs)}"}
            call, output = (item.model_copy(update=fields) for item in (call, output))
        pairs.append((call, output))
    return [call for call, _ in pairs] + [output for _, output in pairs]


def _id(item: InputItem, fields: dict[str, str]) -> str | None:
    """Return the id of the call that an item concerns, or None for other items."""
    kind: Any = "message" if isinstance(item, Message) else item.type
    return str(getattr(item, fields[kind], "")) if kind in fields else None
