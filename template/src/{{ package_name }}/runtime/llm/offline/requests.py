"""Checks a request as OpenAI, Anthropic and Gemini do."""

import json
import re
from collections.abc import Iterator
from typing import Any

from .options import problems_with_options
from .tools import NAME_PATTERN, is_tool_name, problems_with_tools

Message = dict[str, Any]

_ROLES = ("developer", "system", "user", "assistant", "tool")
_MAX_ID_LENGTH = 40
_NAME_PATTERN = r"^[^\s<|\\/>]+$"
# 128,000 tokens of four characters.
_MAX_LENGTH = 512_000
_MAX_CACHE_MARKS = 4
# What a part of each type must contain.
_PART_FIELDS = {
    "text": "text",
    "refusal": "refusal",
    "reasoning": "summary",
    "image_url": "image_url",
    "file": "file",
    "input_audio": "input_audio",
}
# The fields of these parts are objects.
_OBJECTS = ("image_url", "file", "input_audio")


def problems_with_request(body: dict[str, Any]) -> Iterator[str]:
    """Yield why the APIs refuse a request with this body."""
    yield from problems_with_tools(body)
    yield from problems_with_options(body)
    yield from _problems_with_messages(body.get("messages", []))


def _problems_with_messages(messages: list[Any]) -> Iterator[str]:
    if not messages or not isinstance(messages, list):
        yield "Invalid 'messages': the conversation is empty."
        return
    open_calls: dict[str, str] = {}  # the names of their tools, by id
    for index, message in enumerate(messages):
        field = f"messages[{index}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            yield f"Invalid '{field}.role': {role!r} is not one of {', '.join(_ROLES)}."
            return
        if role == "tool":
            if (identifier := message.get("tool_call_id")) in open_calls:
                del open_calls[identifier]
            else:
                yield (
                    f"Invalid '{field}': a tool message must follow the message with its call in "
                    f"'tool_calls', but {identifier!r} is not a call without output there."
                )
        elif open_calls:
            yield _unanswered(open_calls, f"'{field}'")
            open_calls = {}
        yield from _problems_with_content(message, f"{field}.content")
        name = message.get("name")
        if name is not None and not re.fullmatch(_NAME_PATTERN, str(name)):
            yield f"Invalid '{field}.name': {name!r} does not match the pattern '{_NAME_PATTERN}'."
        if "tool_calls" in message:
            if problems := list(_problems_with_calls(message["tool_calls"], f"{field}.tool_calls")):
                yield from problems
                return
            open_calls = {call["id"]: call["function"]["name"] for call in message["tool_calls"]}
    if open_calls:
        yield _unanswered(open_calls, "the end of 'messages'")
    marks = sum("cache_control" in part for one in messages for part in _parts(one.get("content")))
    if marks > _MAX_CACHE_MARKS:
        yield (
            f"Invalid 'messages': a maximum of {_MAX_CACHE_MARKS} blocks with cache_control may be "
            f"provided. Found {marks}."
        )
    # "Prefill Claude's response" in Anthropic's documentation
    last = messages[-1]
    text = "".join(_texts(last.get("content"))) if last["role"] == "assistant" else ""
    if text != text.rstrip():
        yield f"Invalid 'messages': the assistant's text at the end ends in white space: {text!r}."


def problem_with_length(messages: list[Message]) -> str:
    """Return why a conversation is too long for the offline LLM, or ""."""
    length = sum(len(text) for message in messages for text in _texts(message.get("content")))
    if length <= _MAX_LENGTH:
        return ""
    return (
        f"This model's maximum context length is {_MAX_LENGTH // 4} tokens. However, your messages "
        f"resulted in {length // 4} tokens."
    )


def _unanswered(calls: dict[str, str], position: str) -> str:
    return (
        "An assistant message with 'tool_calls' must be followed by tool messages with the output "
        f"of each call. The following tool_call_ids have no output before {position}: "
        f"{', '.join(f'{identifier} ({name})' for identifier, name in calls.items())}."
    )


def _problems_with_content(message: Message, field: str) -> Iterator[str]:
    content = message.get("content")
    if not _is_encodable(message):
        yield f"Invalid '{field}': the message contains an unpaired surrogate."
    if content is None and (message.get("tool_calls") or message.get("refusal")):
        return
    if not isinstance(content, str | list):
        kind = "null" if content is None else type(content).__name__
        yield f"Invalid '{field}': expected a string or an array of parts, got {kind}."
    elif not content or not all(text.strip() for text in _texts(content)):
        yield f"Invalid '{field}': text content must be non-empty and not blank."
    for index, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PART_FIELDS:
            known = ", ".join(_PART_FIELDS)
            yield f"Invalid '{field}[{index}].type': {kind!r} is not one of {known}."
        elif message["role"] == "tool" and kind != "text":
            yield f"Invalid '{field}[{index}].type': a tool message has only texts, not {kind!r}."
        elif _PART_FIELDS[kind] not in part:
            yield f"Invalid '{field}[{index}]': a part of type {kind!r} needs {_PART_FIELDS[kind]}."
        elif kind in _OBJECTS and not isinstance(part[kind], dict):
            found = type(part[kind]).__name__
            yield f"Invalid '{field}[{index}].{kind}': expected an object, got {found}."


def _texts(content: Any) -> list[str]:
    """Return the texts of a message."""
    texts = (part.get("text") for part in _parts(content))
    return [text for text in texts if isinstance(text, str)]


def _parts(content: Any) -> list[dict[str, Any]]:
    """Return the parts of a message; a text is one part."""
    parts = content if isinstance(content, list) else [{"text": content}]
    return [part for part in parts if isinstance(part, dict)]


def _is_encodable(message: Message) -> bool:
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _problems_with_calls(calls: list[Any], field: str) -> Iterator[str]:
    if not calls or not isinstance(calls, list):
        yield f"Invalid '{field}': expected an array of tool calls, got {calls!r}."
        return
    identifiers = [call.get("id") for call in calls]
    for index, call in enumerate(calls):
        function, identifier = call.get("function"), call.get("id")
        if call.get("type") != "function" or not isinstance(function, dict):
            yield f"Invalid '{field}[{index}]': a call needs the type 'function' and a function."
            return
        if not isinstance(identifier, str) or not 0 < len(identifier) <= _MAX_ID_LENGTH:
            yield (
                f"Invalid '{field}[{index}].id': {identifier!r} is not a string of 1 to "
                f"{_MAX_ID_LENGTH} characters."
            )
        if identifiers.count(identifier) > 1:
            yield f"Invalid '{field}[{index}].id': {identifier!r} is repeated."
        name, arguments = function.get("name"), function.get("arguments")
        if not is_tool_name(name):
            yield (
                f"Invalid '{field}[{index}].function.name': {name!r} does not match the pattern "
                f"'{NAME_PATTERN}'."
            )
        if not _is_json_object(arguments):
            yield (
                f"Invalid '{field}[{index}].function.arguments': the arguments of {name!r} are "
                f"not a JSON object in a string: {arguments!r}."
            )


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False
