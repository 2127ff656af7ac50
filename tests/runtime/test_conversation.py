"""Conversations that clients send: the LLM gets each call directly before its output."""

import time
from typing import Any

import pytest
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package

Item = dict[str, Any]

HELLO: Item = {"role": "user", "content": "Hello"}
ANSWER: Item = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hi"}],
}
REASONING: Item = {"type": "reasoning", "id": "rs_1", "summary": []}


def call(item_id: str, call_id: str | None = None) -> Item:
    """Return a tool call; the id of the call is by default that of the item."""
    call_id = item_id if call_id is None else call_id
    fields = {"id": f"fc_{item_id}", "call_id": call_id, "name": "a"}
    return {"type": "function_call", "arguments": "{}", **fields}


def output(call_id: str, text: str = "Done.") -> Item:
    """Return the output of a tool call."""
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def approval_request(identifier: str) -> Item:
    """Return a request to approve a tool call."""
    fields = {"id": identifier, "name": "a", "arguments": "{}", "server_label": "s"}
    return {"type": "mcp_approval_request", **fields}


def approval(identifier: str) -> Item:
    """Return the response to such a request."""
    fields = {"approval_request_id": identifier, "approve": True}
    return {"type": "mcp_approval_response", **fields}


REQUEST, APPROVAL = approval_request("1"), approval("1")

# Items as clients send them, and as they are repaired.
CONVERSATIONS: dict[str, tuple[list[Item], list[Item]]] = {
    "in order": (
        [HELLO, call("1"), output("1"), ANSWER],
        [HELLO, call("1"), output("1"), ANSWER],
    ),
    "parallel calls before their outputs": (
        [HELLO, call("1"), call("2"), output("1"), output("2"), ANSWER],
        [HELLO, call("1"), call("2"), output("1"), output("2"), ANSWER],
    ),
    "an empty id": (
        [HELLO, call("1", ""), output(""), ANSWER],
        [HELLO, call("1", "_0"), output("_0"), ANSWER],
    ),
    "outputs in another order than the calls": (
        [HELLO, call("1"), call("2"), output("2"), output("1")],
        [HELLO, call("1"), call("2"), output("1"), output("2")],
    ),
    "calls and outputs that alternate": (
        [HELLO, call("1"), output("1"), call("2"), output("2")],
        [HELLO, call("1"), output("1"), call("2"), output("2")],
    ),
    "LangChain: a call without output": ([HELLO, call("1"), ANSWER, HELLO], [HELLO, ANSWER, HELLO]),
    "one of two parallel calls without output": (
        [HELLO, call("1"), call("2"), output("2"), ANSWER],
        [HELLO, call("2"), output("2"), ANSWER],
    ),
    "an output without call": ([HELLO, output("1"), ANSWER], [HELLO, ANSWER]),
    "a message between call and output": (
        [HELLO, call("1"), ANSWER, output("1"), HELLO],
        [HELLO, call("1"), output("1"), ANSWER, HELLO],
    ),
    "an output before its call": (
        [HELLO, output("1"), call("1"), ANSWER],
        [HELLO, call("1"), output("1"), ANSWER],
    ),
    "an output twice": (
        [HELLO, call("1"), output("1"), output("1"), ANSWER],
        [HELLO, call("1"), output("1"), ANSWER],
    ),
    "AI SDK: an error of the client before the output": (
        [HELLO, call("1"), output("1", "Unknown tool."), output("1"), ANSWER],
        [HELLO, call("1"), output("1"), ANSWER],
    ),
    "a call twice": (
        [HELLO, call("1"), call("1"), output("1"), ANSWER],
        [HELLO, call("1"), output("1"), ANSWER],
    ),
    "the same id in two turns": (
        [HELLO, call("1"), output("1", "One."), HELLO, call("1"), output("1", "Two.")],
        [HELLO, call("1"), output("1", "One."), HELLO, call("1", "1_1"), output("1_1", "Two.")],
    ),
    "the same id twice in one turn": (
        [HELLO, call("1"), call("1"), output("1", "One."), output("1", "Two.")],
        [HELLO, call("1"), call("1", "1_1"), output("1", "One."), output("1_1", "Two.")],
    ),
    "the same id twice in one turn, and its replacement": (
        [call("1"), call("1_2"), call("1"), output("1"), output("1_2"), output("1")],
        [call("1"), call("1_2"), call("1", "1_2_2"), output("1"), output("1_2"), output("1_2_2")],
    ),
    "the same id in two turns, and an output twice": (
        [HELLO, call("1"), output("1"), output("1", "One."), HELLO, call("1")],
        [HELLO, call("1"), output("1", "One."), HELLO],
    ),
    "reasoning before a call": (
        [HELLO, REASONING, call("1"), output("1")],
        [HELLO, REASONING, call("1"), output("1")],
    ),
    "an approval": ([HELLO, REQUEST, APPROVAL], [HELLO, REQUEST, APPROVAL]),
    "the same id of two approvals": (
        [HELLO, REQUEST, REQUEST, APPROVAL, HELLO, APPROVAL],
        [HELLO, REQUEST, approval_request("1_1"), APPROVAL, approval("1_1"), HELLO],
    ),
    "a request without approval": ([HELLO, REQUEST, HELLO], [HELLO, HELLO]),
    "a call as the last item": ([HELLO, call("1")], [HELLO]),
}


@pytest.mark.parametrize(("items", "repaired"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_calls_are_paired_with_their_outputs(
    items: list[Item], repaired: list[Item], package: Package
) -> None:
    given, expected = (
        ResponsesAgentRequest.model_validate({"input": each}).input for each in (items, repaired)
    )
    assert package("runtime.conversation").repair(given) == expected


def test_a_turn_with_many_calls_takes_little_time(package: Package) -> None:
    called = [call(str(number)) for number in range(6000)]
    items = [*called, *(output(one["call_id"]) for one in called)]
    parsed = ResponsesAgentRequest.model_validate({"input": items}).input
    start = time.monotonic()
    assert package("runtime.conversation").repair(parsed) == parsed
    assert time.monotonic() - start < 2
