"""Assembles tool calls from their pieces.

OpenAI numbers the calls, and sends the id and the name in the first piece of each. Other servers
send no index, or 0 for all calls; no id, or a number; the name late, in fragments, or in every
piece; the arguments as an object, as JSON in a string, or all of them so far in every piece.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from .errors import LLMError
from .fields import Fields, fields_of, is_cumulative, merge, string

_NOT_BLANK = re.compile(r"\S")
# More than any turn has calls; to parse and compare millions of values would block the event loop.
_MAX_VALUES = 1000

# The fields of a piece that are assembled here; all others belong to the server.
_KNOWN = {"index", "id", "type", "function"}


@dataclass
class ToolCall:
    """A tool call.

    Attributes:
        index: The server's number of the call, if it sends one.
        id: The id of the call.
        name: The name of the tool.
        pieces: The pieces of the arguments, together usually a JSON object.
        extra: Fields of the server, such as the signature of a thought.
        function: Fields of the server beside the name and the arguments.
    """

    index: Any = None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    extra: Fields = field(default_factory=dict)
    function: Fields = field(default_factory=dict)

    @property
    def arguments(self) -> str:
        """The arguments in one string, usually a JSON object."""
        return "".join(self.pieces)

    def add(self, piece: Fields) -> None:
        """Add a piece of this call."""
        function = fields_of(piece.get("function"))
        self.id = self.id or string(piece.get("id"))
        name, arguments = string(function.get("name")), function.get("arguments")
        if not self.name or (name != self.name and not self.pieces):
            self.name += name
        if arguments is not None and arguments != "":
            self.pieces.append(arguments if isinstance(arguments, str) else json.dumps(arguments))
        merge(self.extra, _without(piece, _KNOWN))
        merge(self.function, _without(function, {"name", "arguments"}))

    def continues_with(self, piece: Fields) -> bool:
        """Return whether a piece belongs to this call, if its index and id do not decide that."""
        name, identifier = _name_of(piece), string(piece.get("id"))
        has_other_id = bool(identifier and self.id and identifier != self.id)
        if name and self.name:  # some servers send the name in fragments, and some in every piece
            may_continue = not has_other_id and (name == self.name or "index" in piece)
            return may_continue and not _is_json(self.arguments)
        return not has_other_id or not _is_json(self.arguments)

    def finished(self) -> Iterator["ToolCall"]:
        """Yield the call with a JSON object as arguments, and calls that were joined to it."""
        first, *others = json_objects(self.pieces)
        yield replace(self, pieces=[first])
        for arguments in others:
            yield ToolCall(name=self.name, pieces=[arguments])

    def message_part(self) -> Fields:
        """Return the call as a message of the assistant contains it."""
        function = {"name": self.name, "arguments": self.arguments, **self.function}
        return {"id": self.id, "type": "function", "function": function, **self.extra}


class ToolCalls:
    """The tool calls of one completion, in order."""

    def __init__(self) -> None:
        self._calls: list[ToolCall] = []

    def add(self, delta: Fields) -> None:
        """Add the pieces of tool calls in a delta."""
        pieces = delta.get("tool_calls") or []
        if function := delta.get("function_call"):  # the form before parallel calls
            pieces = [*pieces, {"function": function}]
        for piece in filter(None, map(fields_of, pieces)):
            self._call_of(piece).add(piece)

    def _call_of(self, piece: Fields) -> ToolCall:
        """Return the call that a piece belongs to; a new one if it starts a call."""
        index, identifier, name = piece.get("index"), string(piece.get("id")), _name_of(piece)
        for call in self._calls:
            if identifier and call.id == identifier and name in ("", call.name):
                return call
        matches = [call for call in self._calls if index in (None, call.index)]
        if not matches and not identifier and not name:
            matches = self._calls
        if not matches or not matches[-1].continues_with(piece):
            self._calls.append(call := ToolCall(index))
            return call
        return matches[-1]

    def finished(self) -> list[ToolCall]:
        """Return the calls, each with a unique id and a JSON object as arguments.

        Raises:
            LLMError: A call does not name its tool.
        """
        ids: set[str] = set()
        calls = [call for call in self._calls if call.name or call.pieces]
        calls = [finished for call in calls for finished in call.finished()]
        for call in calls:
            if not call.name:
                raise LLMError("The LLM called a tool without its name. Try again.")
            if not call.id or call.id in ids:
                call.id = f"call_{uuid4().hex}"
            ids.add(call.id)
        return calls


def _name_of(piece: Fields) -> str:
    """Return the name of the tool in a piece, or ""."""
    return string(fields_of(piece.get("function")).get("name"))


def _without(fields: Fields, names: set[str]) -> Fields:
    return {name: fields[name] for name in fields.keys() - names}


def _is_json(text: str) -> bool:
    return len(_json_values(text)) == 1


def _json_values(text: str) -> list[Any]:
    """Return the JSON values that a text consists of; none if it is something else."""
    decoder, values, end = json.JSONDecoder(), [], 0
    while start := _NOT_BLANK.search(text, end):
        try:
            value, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            return []
        values.append(value)
        if len(values) > _MAX_VALUES:
            return []
    return values


def json_objects(pieces: list[str]) -> list[str]:
    """Return arguments as JSON objects, even if the LLM or its server wrote something else.

    Some servers send `{}` first, or the arguments twice; others send those of two calls as one.
    """
    text = "".join(pieces).strip() or "{}"
    values = _json_values(text)
    if not values and is_cumulative(pieces):
        values = _json_values(text := pieces[-1])
    if len(values) == 1 and isinstance(values[0], str):
        values = _json_values(text := values[0])
    if not values or not all(isinstance(value, dict) for value in values):
        return [json.dumps({"not_a_json_object": text})]
    if len(values) == 1:
        return [text]
    distinct: dict[str, Any] = {}
    for value in filter(None, values):
        distinct.setdefault(json.dumps(value, sort_keys=True), value)
    return [json.dumps(value, ensure_ascii=False) for value in distinct.values()] or ["{}"]
