"""Converts Responses items to chat-completions messages, and completions to Responses events.

MLflow's converters do most of the work. This module adds what they leave out: a unique id for each
item, parallel tool calls in one message, and an error for an incomplete answer.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

from mlflow.types.responses import (
    Message,
    OutputItem,
    ResponsesAgentStreamEvent,
    output_to_responses_items_stream,
    to_chat_completions_input,
)

from .items import Item, RequestError, delta_event, done_event, done_item, unique_id
from .llm import LLMError

ChatMessage = dict[str, Any]
Chunk = dict[str, Any]

_ID_PREFIXES = {"function_call": "fc", "reasoning": "rs"}
_CALLS = {"function_call", "function_call_output", "mcp_approval_request", "mcp_approval_response"}


def to_messages(items: Iterable[Message | OutputItem | Item]) -> list[ChatMessage]:
    """Convert Responses items to chat-completions messages, in order.

    The text and the tool calls of one assistant turn become one message, because APIs require each
    tool output directly after the message with its call.

    Raises:
        RequestError: The content of a message cannot be converted.
    """
    messages: list[ChatMessage] = []
    for item in items:
        for message in _convert(item):
            if messages and _is_same_turn(message, messages[-1]):
                messages[-1].setdefault("tool_calls", []).extend(message["tool_calls"])
            else:
                messages.append(message)
    return messages


def _convert(item: Message | OutputItem | Item) -> list[ChatMessage]:
    fields = item if isinstance(item, dict) else item.model_dump(exclude_none=True)
    # MLflow parses anything with a role and a content as a message, whatever its type is.
    kind = "message" if isinstance(item, Message) else fields.get("type", "message")
    if kind in _CALLS:
        return to_chat_completions_input([fields])
    if kind != "message":  # chat completions have no message for reasoning or web searches
        return []
    role = fields.get("role", "assistant")
    # Few servers besides OpenAI's accept the developer role.
    role = "system" if role == "developer" else role
    return [{"role": role, "content": _content(fields["content"])}]


def _content(parts: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a string if there is only text, otherwise a list of chat-completions parts."""
    if isinstance(parts, str):
        return parts
    converted = [_part(part) for part in parts]
    if all(part["type"] == "text" for part in converted):
        return "\n".join(part["text"] for part in converted)
    return converted


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_image" and part.get("image_url"):
        url = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": url}
    if part["type"] == "input_file" and (part.get("file_data") or part.get("file_id")):
        fields = ("file_id", "file_data", "filename")
        return {"type": "file", "file": {key: part[key] for key in fields if part.get(key)}}
    for text in (part.get("text"), part.get("refusal")):
        if isinstance(text, str):
            return {"type": "text", "text": text}
    raise RequestError(
        f"A content part of type {part['type']!r} cannot be sent to the LLM. Send input_text with "
        "text, input_image with image_url, or input_file with file_data or file_id."
    )


def _is_same_turn(message: ChatMessage, previous: ChatMessage) -> bool:
    return "tool_calls" in message and previous["role"] == "assistant"


async def to_events(chunks: AsyncIterable[Chunk]) -> AsyncIterator[ResponsesAgentStreamEvent]:
    """Convert the chunks of one chat completion to Responses stream events.

    Yields a text delta per piece of text as it arrives. After the last chunk, yields one done event
    per item: reasoning, text, function calls.

    Raises:
        LLMError: The stream ended early, or contained neither text nor a tool call.
    """
    message_id = unique_id("msg")
    received: list[Chunk] = []
    async for chunk in chunks:
        received.append({**chunk, "id": message_id})
        if text := _text(chunk):
            yield delta_event(text, message_id)
    for item in _items(received):
        yield done_event(item)


def _text(chunk: Chunk) -> str:
    """Return the text of a chunk; reasoning models send it as a list of parts."""
    choices = chunk["choices"]
    content = choices[0]["delta"].get("content", "") if choices else ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")


def _items(chunks: list[Chunk]) -> list[Item]:
    """Assemble the items of a complete chat completion."""
    if not any(choice.get("finish_reason") for chunk in chunks for choice in chunk["choices"]):
        raise LLMError("The LLM stopped in the middle of its answer. Try again.")
    events = output_to_responses_items_stream(iter(chunks))
    items = [item for event in events if (item := done_item(event))]
    for item in items:
        _complete(item)
    if not any(item["type"] in ("message", "function_call") for item in items):
        raise LLMError(
            "The LLM returned an empty answer. Try again, or raise its limit of output tokens."
        )
    return items


def _complete(item: Item) -> None:
    """Set the status, a unique id and valid JSON arguments."""
    item["status"] = "completed"
    if prefix := _ID_PREFIXES.get(item["type"]):
        item["id"] = unique_id(prefix)
    if item["type"] == "function_call":
        item["call_id"] = item["call_id"] or unique_id("call")
        item["arguments"] = _json_object(item["arguments"])


def _json_object(arguments: str) -> str:
    """Return arguments as a JSON object, even if the LLM wrote something else."""
    try:
        if isinstance(json.loads(arguments or "{}"), dict):
            return arguments or "{}"
    except ValueError:
        pass
    return json.dumps({"not_a_json_object": arguments})
