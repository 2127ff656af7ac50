"""Translation between Responses items and chat-completions messages.

MLflow's converters do the work; the functions here mend what they leave to the caller:
items of one turn share an id, parallel tool calls become messages that no chat API accepts,
and an answer that breaks off looks like a finished one.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any
from uuid import uuid4

from mlflow.types.responses import (
    Message,
    OutputItem,
    ResponsesAgentStreamEvent,
    create_function_call_output_item,
    create_text_delta,
    output_to_responses_items_stream,
    to_chat_completions_input,
)

from .llm import LLMError

_ITEM_DONE = "response.output_item.done"
_TEXT_DELTA = "response.output_text.delta"
_ID_PREFIXES = {"function_call": "fc", "reasoning": "rs"}
_CALLS = {"function_call", "function_call_output", "mcp_approval_request", "mcp_approval_response"}


class RequestError(ValueError):
    """The request cannot be answered as it is; the message tells its sender what to mend."""


def unique_id(prefix: str) -> str:
    """A fresh id such as `msg_6f1c…`, well below the 64 characters that APIs accept."""
    return f"{prefix}_{uuid4().hex}"


def done_item(event: ResponsesAgentStreamEvent) -> dict[str, Any] | None:
    """The item that an event finishes, or None when it finishes none."""
    return (event.model_extra or {}).get("item") if event.type == _ITEM_DONE else None


def text_delta(event: ResponsesAgentStreamEvent) -> str:
    """The piece of text that an event brings, or nothing."""
    return (event.model_extra or {}).get("delta", "") if event.type == _TEXT_DELTA else ""


def to_messages(items: Iterable[Message | OutputItem | dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn Responses items, in their order, into chat-completions messages.

    The parts of a user's message stay one message. What one assistant turn said and called
    becomes one message too: APIs refuse a tool's output that does not follow its call at once.

    Raises:
        RequestError: a message holds what cannot be read.
    """
    messages: list[dict[str, Any]] = []
    for item in items:
        for message in _convert(item):
            if messages and _belongs_to_turn(message, messages[-1]):
                messages[-1].setdefault("tool_calls", []).extend(message["tool_calls"])
            else:
                messages.append(message)
    return messages


def _convert(item: Message | OutputItem | dict[str, Any]) -> list[dict[str, Any]]:
    fields = item if isinstance(item, dict) else item.model_dump(exclude_none=True)
    # MLflow takes for a message what has a role and a content, whatever its type says.
    kind = "message" if isinstance(item, Message) else fields.get("type", "message")
    if kind in _CALLS:
        return to_chat_completions_input([fields])
    if kind != "message":  # a thought or a search, which chat completions have no message for
        return []
    role = fields.get("role", "assistant")
    # Few servers but OpenAI's know the role of a developer.
    role = "system" if role == "developer" else role
    return [{"role": role, "content": _content(fields["content"])}]


def _content(parts: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One string where there is only text, else a list of chat-completions parts."""
    if isinstance(parts, str):
        return parts
    converted = [_part(part) for part in parts]
    if all(part["type"] == "text" for part in converted):
        return "\n".join(part["text"] for part in converted)
    return converted


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_image":
        url = {"url": part.get("image_url", ""), "detail": part.get("detail", "auto")}
        return {"type": "image_url", "image_url": url}
    if part["type"] == "input_file":
        fields = {key: part[key] for key in ("file_id", "file_data", "filename") if key in part}
        return {"type": "file", "file": fields}
    for text in (part.get("text"), part.get("refusal")):
        if isinstance(text, str):
            return {"type": "text", "text": text}
    raise RequestError(
        f"In `content`, a part of the type {part['type']!r} holds no text. Send input_text, "
        "input_image or input_file."
    )


def _belongs_to_turn(message: dict[str, Any], previous: dict[str, Any]) -> bool:
    return "tool_calls" in message and previous["role"] == "assistant"


async def to_events(
    chunks: AsyncIterable[dict[str, Any]],
) -> AsyncIterator[ResponsesAgentStreamEvent]:
    """Turn the chunks of one chat completion into Responses stream events.

    Yields a delta for each piece of text as it comes, and at the end one done event for each item,
    in their order: reasoning, text, function calls. Every item has an id of its own.

    Raises:
        LLMError: the stream ended early, or held neither text nor a call.
    """
    message_id = unique_id("msg")
    whole = []
    async for chunk in chunks:
        whole.append({**chunk, "id": message_id})
        if text := _text(chunk):
            yield ResponsesAgentStreamEvent(**create_text_delta(text, message_id))
    for item in _items(whole):
        yield ResponsesAgentStreamEvent(type=_ITEM_DONE, item=item)


def _text(chunk: dict[str, Any]) -> str:
    """The text that a chunk brings, or nothing; LLMs that reason send it in a list of parts."""
    choices = chunk["choices"]
    content = choices[0]["delta"].get("content", "") if choices else ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _items(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that all chunks of a completion make up."""
    if not any(choice.get("finish_reason") for chunk in chunks for choice in chunk["choices"]):
        raise LLMError("The LLM broke off in the middle of its answer. Ask again.")
    events = output_to_responses_items_stream(iter(chunks))
    items = [item for event in events if (item := done_item(event))]
    for item in items:
        _complete(item)
    if not any(item["type"] in ("message", "function_call") for item in items):
        raise LLMError(
            "The LLM ended its turn without an answer. Ask again, or allow it more output tokens."
        )
    return items


def _complete(item: dict[str, Any]) -> None:
    """Give an item a status, an id of its own where it has the message's, and sound arguments."""
    item["status"] = "completed"
    if prefix := _ID_PREFIXES.get(item["type"]):
        item["id"] = unique_id(prefix)
    if item["type"] == "function_call":
        item["call_id"] = item["call_id"] or unique_id("call")
        item["arguments"] = _json_object(item["arguments"])


def _json_object(arguments: str) -> str:
    """Arguments as every API wants to have them back, even when the LLM wrote something else."""
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except ValueError:
        pass
    return json.dumps({"not_a_json_object": arguments})


def function_call_output(call_id: str, output: str) -> ResponsesAgentStreamEvent:
    """The done event that carries a tool's output back to the call it answers."""
    item = create_function_call_output_item(call_id, output)
    item |= {"id": unique_id("fco"), "status": "completed"}
    return ResponsesAgentStreamEvent(type=_ITEM_DONE, item=item)
