"""Makes messages valid for chat completions; other APIs allow more."""

import re
from hashlib import sha256
from typing import Any

from .fields import Fields
from .tool_calls import json_objects

# A tool may return nothing, but some models refuse a message without text.
NO_OUTPUT = "(no output)"


def make_calls_valid(message: Fields) -> None:
    """Change the ids, names and arguments of calls that chat completions refuse."""
    for call in message.get("tool_calls") or []:
        function = call["function"]
        function["name"] = re.sub(r"[^A-Za-z0-9_-]", "_", function["name"])[:64] or "_"
        function["arguments"] = json_objects([function["arguments"]])[0]
        call["id"] = _short_id(call["id"])
    if "tool_call_id" in message:
        message["tool_call_id"] = _short_id(message["tool_call_id"])


def _short_id(identifier: str) -> str:
    """Return an id of at most 40 characters."""
    return identifier if len(identifier) <= 40 else sha256(identifier.encode()).hexdigest()[:40]


def without_blanks(content: str | list[Fields] | None) -> Any:
    """Return the content of a message without blank texts, which some models refuse."""
    if isinstance(content, list):
        return [part for part in content if part.get("text", "text").strip()]
    return content if content and content.strip() else ""


def texts_only(content: str | list[Fields]) -> str:
    """Name images and files, which only messages of the user can contain."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", f"({part['type'].removesuffix('_url')})") for part in content)
