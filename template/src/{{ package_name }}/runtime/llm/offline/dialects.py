"""The streams of other providers, which differ from OpenAI's in details.

The model `tools@gemini` answers like `tools`, in the dialect of Gemini. Some providers sign their
turn, and refuse the next request of the same answer without the signature.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

Call = dict[str, Any]
Delta = dict[str, Any]
Message = dict[str, Any]

_SIGNATURE = "offline-signature"
_THOUGHT = "I am the offline LLM, and I pretend to think."
_SIGNED = {"google": {"thought_signature": _SIGNATURE}}


def gemini(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send whole calls without an index; the first has a signature."""
    yield {"role": "assistant", "content": text}
    for number, call in enumerate(calls):
        yield {"tool_calls": [call if number else {**call, "extra_content": _SIGNED}]}


def claude(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send parts, with a signature at the end of the reasoning, and text in the delta of a call."""
    yield {"role": "assistant", "content": [_reasoning(_THOUGHT)]}
    yield {"content": [_reasoning("", signature=_SIGNATURE)]}
    if text:
        yield {"content": [{"type": "text", "text": text}]}
    for index, call in enumerate(calls):
        yield {"content": "\n", "tool_calls": [{"index": index, **call}]}


def _reasoning(text: str, **fields: str) -> dict[str, Any]:
    summary = {"type": "summary_text", "text": text, **fields}
    return {"type": "reasoning", "summary": [summary]}


def deepseek(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send the reasoning in its own field, and null in place of missing fields."""
    yield {"role": "assistant", "content": None, "reasoning_content": _THOUGHT}
    yield {"content": text, "reasoning_content": None, "tool_calls": None}
    for index, call in enumerate(calls):
        yield {"content": None, "tool_calls": [{"index": index, **call}]}


def vllm(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send no ids, and the arguments in pieces."""
    yield {"role": "assistant", "content": text}
    for index, call in enumerate(calls):
        function = call["function"]
        half = len(function["arguments"]) // 2
        pieces = [function | {"arguments": function["arguments"][:half]}]
        pieces.append({"arguments": function["arguments"][half:]})
        for piece in pieces:
            yield {"tool_calls": [{"index": index, "function": piece}]}


def llama_cpp(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send the arguments as an object."""
    yield {"role": "assistant", "content": text}
    for index, call in enumerate(calls):
        arguments = json.loads(call["function"]["arguments"])
        function = call["function"] | {"arguments": arguments}
        yield {"tool_calls": [{"index": index, **call, "function": function}]}


def lmdeploy(text: str, calls: list[Call]) -> Iterator[Delta]:
    """Send index 0 for all calls, and the name after the id."""
    yield {"role": "assistant", "content": text}
    for call in calls:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        for fields in ({"id": call["id"], "function": {}}, {"function": {"name": name}}):
            yield {"tool_calls": [{"index": 0, "type": "function", **fields}]}
        yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}


DIALECTS: dict[str, Callable[[str, list[Call]], Iterator[Delta]]] = {
    "gemini": gemini,
    "claude": claude,
    "deepseek": deepseek,
    "vllm": vllm,
    "llama.cpp": llama_cpp,
    "lmdeploy": lmdeploy,
}


def missing_in_turns(dialect: str, messages: list[Message]) -> str:
    """Return what is missing in the provider's own turns since the last user message, or ""."""
    roles = [message["role"] for message in messages]
    start = len(roles) - roles[::-1].index("user") if "user" in roles else 0
    for message in messages[start:]:
        if not message.get("tool_calls"):
            continue
        if dialect == "gemini" and message["tool_calls"][0].get("extra_content") != _SIGNED:
            return "Function call is missing a thought_signature in functionCall parts."
        if dialect == "claude" and _SIGNATURE not in json.dumps(message.get("content")):
            return "The assistant message must start with its thinking block and signature."
        if dialect == "deepseek" and message.get("reasoning_content") != _THOUGHT:
            return "Missing `reasoning_content` in the assistant message."
    return ""
