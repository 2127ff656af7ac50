"""Assembles tool calls from their pieces.

OpenAI numbers the calls, and sends the id and the name in the first piece of each. Other servers
send no index, or 0 for all calls; no id, or a number; the name late, or in every piece; the
arguments as an object.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from .errors import LLMError
from .fields import Fields, fields_of, merge, string

# The fields of a piece that are assembled here; all others belong to the server.
_KNOWN = {"index", "id", "type", "function"}


@dataclass
class ToolCall:
    """A tool call.

    Attributes:
        index: The server's number of the call, if it sends one.
        id: The id of the call.
        name: The name of the tool.
        arguments: The arguments, usually a JSON object.
        extra: Fields of the server, such as the signature of a thought.
    """

    index: Any = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: Fields = field(default_factory=dict)

    def add(self, piece: Fields) -> None:
        """Add a piece of this call."""
        function = fields_of(piece.get("function"))
        self.id = self.id or string(piece.get("id"))
        name = string(function.get("name"))
        if name != self.name:
            self.name += name
        arguments = function.get("arguments")
        if arguments is not None:
            self.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)
        merge(self.extra, {key: piece[key] for key in piece.keys() - _KNOWN})

    def continues_with(self, piece: Fields) -> bool:
        """Return whether a piece belongs to this call, if its index does not decide that."""
        name = string(fields_of(piece.get("function")).get("name"))
        identifier = string(piece.get("id"))
        if identifier and identifier == self.id:
            return True
        if name and self.name:  # without an id, some servers repeat the name in every piece
            has_ids = identifier and self.id
            return not has_ids and name == self.name and not _is_json(self.arguments)
        return not identifier or not self.id or not _is_json(self.arguments)

    def message_part(self) -> Fields:
        """Return the call as a message of the assistant contains it."""
        function = {"name": self.name, "arguments": self.arguments}
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
        index, identifier = piece.get("index"), string(piece.get("id"))
        if index is not None:
            matches = [call for call in self._calls if call.index == index]
        else:
            same_id = [call for call in self._calls if identifier and call.id == identifier]
            matches = same_id or self._calls
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
        calls = [call for call in self._calls if call.name or call.arguments]
        for call in calls:
            if not call.name:
                raise LLMError("The LLM called a tool without its name. Try again.")
            if not call.id or call.id in ids:
                call.id = f"call_{uuid4().hex}"
            ids.add(call.id)
            call.arguments = _json_object(call.arguments)
        return calls


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _json_object(arguments: str) -> str:
    """Return arguments as a JSON object, even if the LLM wrote something else."""
    arguments = arguments.strip() or "{}"
    if _is_json(arguments) and isinstance(json.loads(arguments), dict):
        return arguments
    return json.dumps({"not_a_json_object": arguments})
