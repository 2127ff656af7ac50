"""Repairs the conversation that a client sends, so that every LLM accepts it."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any

from mlflow.types.responses import Message, OutputItem

InputItem = Message | OutputItem
Outputs = dict[str | None, deque[InputItem]]  # by the id of the call

# The field that contains the id of a call, by item type: of calls, and of outputs.
_CALL_IDS = {"function_call": "call_id", "mcp_approval_request": "id"}
_OUTPUT_IDS = {
    "function_call_output": "call_id",
    "mcp_approval_response": "approval_request_id",
}


def repair(items: Iterable[InputItem]) -> list[InputItem]:
    """Return the items with the output of each call directly after the call.

    Clients leave out what they do not show, and APIs refuse a call without an output and an output
    without a call. `repair` removes both. Consecutive calls are one turn of the LLM, so they stay
    together, followed by their outputs. Each call gets an id of its own, because some servers
    number the calls of each completion from 0.
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
    turn: list[tuple[InputItem, InputItem]] = []  # calls with their outputs
    used: set[str] = set()  # ids of calls
    for item in items:
        if (identifier := _id(item, _CALL_IDS)) is not None:
            if outputs[identifier]:
                turn.append((item, outputs[identifier].popleft()))
            continue
        repaired += _in_order(turn, used)
        turn.clear()
        if _id(item, _OUTPUT_IDS) is None:
            repaired.append(item)
    return repaired + _in_order(turn, used)


def _in_order(turn: list[tuple[InputItem, InputItem]], used: set[str]) -> list[InputItem]:
    """Return the calls of one turn, followed by their outputs; add their ids to the used ones."""
    calls: list[InputItem] = []
    outputs: list[InputItem] = []
    for call, output in turn:
        identifier = _id(call, _CALL_IDS) or ""
        while not identifier or identifier in used:
            identifier += f"_{len(used)}"
        used.add(identifier)
        calls.append(_with_id(call, _CALL_IDS, identifier))
        outputs.append(_with_id(output, _OUTPUT_IDS, identifier))
    return [*calls, *outputs]


def _id(item: InputItem, fields: dict[str, str]) -> str | None:
    """Return the id of the call that an item concerns, or None for other items."""
    kind = _type(item)
    return str(getattr(item, fields[kind], "")) if kind in fields else None


def _with_id(item: InputItem, fields: dict[str, str], identifier: str) -> InputItem:
    """Return an item that concerns the call with this id."""
    if _id(item, fields) == identifier:
        return item
    return item.model_copy(update={fields[_type(item)]: identifier})


def _type(item: InputItem) -> Any:
    return "message" if isinstance(item, Message) else item.type
