"""What OpenAI requires of a chat-completions request; the fake LLM refuses all others."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Message = dict[str, Any]

_ROLES = ("developer", "system", "user", "assistant", "tool")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_ID_LENGTH = 40
_PART_FIELDS = {
    "text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "file": "file",
    "input_audio": "input_audio",
}


class Problem(NamedTuple):
    """Why OpenAI refuses a request, and the field."""

    message: str
    param: str


def problems_with(body: dict[str, Any]) -> Iterator[Problem]:
    """Yield why OpenAI refuses a request; blank texts are refused as by Anthropic."""
    yield from _problems_with_tools(body)
    if not body["messages"]:
        yield Problem("[] is too short - 'messages'", "messages")
    open_calls: set[str] = set()
    for index, message in enumerate(body["messages"]):
        field = f"messages.[{index}]"
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = "must be a response to a preceding message with 'tool_calls'."
                yield Problem(f"Messages with role 'tool' {text}", f"{field}.role")
            open_calls.discard(message.get("tool_call_id", ""))
        elif open_calls:
            yield _unanswered(open_calls, f"{field}.role")
            open_calls = set()
        if message.get("role") not in _ROLES:
            yield Problem(f"Invalid value: {message.get('role')!r}.", f"{field}.role")
        yield from _problems_with_content(message, f"{field}.content")
        if "tool_calls" in message:
            yield from _problems_with_calls(message["tool_calls"], f"{field}.tool_calls")
            open_calls = {call["id"] for call in message["tool_calls"]}
    if open_calls:
        yield _unanswered(open_calls, "messages")


def _unanswered(calls: set[str], param: str) -> Problem:
    return Problem(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        f"{', '.join(sorted(calls))}",
        param,
    )


def _problems_with_tools(body: dict[str, Any]) -> Iterator[Problem]:
    tools = body.get("tools")
    if tools == []:
        yield Problem("[] is too short - 'tools'", "tools")
    if not tools:
        for option in {"tool_choice", "parallel_tool_calls"} & body.keys():
            yield Problem(f"'{option}' is only allowed when 'tools' are specified.", option)
    names = [tool["function"]["name"] for tool in tools or []]
    if len(names) != len(set(names)):
        yield Problem("Tool names must be unique.", "tools")
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            field = f"tools[{index}].function.name"
            yield Problem(f"Invalid '{field}': string does not match pattern.", field)


def _problems_with_content(message: Message, field: str) -> Iterator[Problem]:
    content = message.get("content")
    if content is None:
        if not (message.get("tool_calls") or message.get("refusal")):
            yield Problem("Invalid value for 'content': expected a string, got null.", field)
    elif isinstance(content, str):
        # A tool may return nothing.
        if not content.strip() and message.get("role") != "tool":
            yield Problem("Text content must contain non-whitespace text.", field)
    elif not content:
        yield Problem("[] is too short - 'content'", field)
    else:
        for index, part in enumerate(content):
            if not part.get(_PART_FIELDS.get(part["type"], "")):
                yield Problem(f"Invalid part of type {part['type']!r}.", f"{field}[{index}]")


def _problems_with_calls(calls: list[Message], field: str) -> Iterator[Problem]:
    if not calls:
        yield Problem("[] is too short - 'tool_calls'", field)
    identifiers = [call["id"] for call in calls]
    if len(identifiers) != len(set(identifiers)):
        yield Problem("Duplicate tool call ids.", field)
    for index, call in enumerate(calls):
        function = call["function"]
        if call["type"] != "function" or not isinstance(function["arguments"], str):
            yield Problem("A call needs the type 'function' and arguments.", f"{field}[{index}]")
        if not _NAME.fullmatch(function["name"]):
            name = f"{field}[{index}].function.name"
            yield Problem(f"Invalid '{name}': string does not match pattern.", name)
        if not 0 < len(call["id"]) <= _MAX_ID_LENGTH:
            text = f"Expected a string with maximum length {_MAX_ID_LENGTH}."
            yield Problem(f"Invalid '{field}[{index}].id': {text}", f"{field}[{index}].id")
