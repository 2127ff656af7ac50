"""A long conversation, and what the calls of the LLM contain of it."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import count, takewhile
from typing import Any

from .agents import Item
from .nested_data import leaves
from .project import PACKAGE
from .sample_requests import TOOL_CALL, user

_numbers = count(1)
_DATA_URL = re.compile(r"data:[\w.+-]+/[^\s,]*,[^\s\"'<>)\\]*")
_LOADS_INSTRUCTIONS = re.compile(r"load_instructions|['\"]instructions\.md['\"]")


def message(role: str, text: str) -> Item:
    """Return a message, as a client sends it: those of the agent have an id of their own."""
    if role != "assistant":
        return {"role": role, "content": text}
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": f"msg_{next(_numbers)}", "role": role, "content": [part]}


_CALL = TOOL_CALL | {"arguments": '{"of": "clover"}'}
_PARTS = [
    {"type": "input_text", "text": "One more question."},
    {"type": "input_text", "text": "What about the fennel of 東京?"},
]
_CODE = "for bramble in hedge:\n    trim(bramble)"
_LONG_TEXT = (
    f"What about the bramble?\n\n```python\n{_CODE}\n```\n\n<b>Thorns</b> & leaves. "
    f"{'It has many words. ' * 1600}So much for the heather."
)
_LONG_OUTPUT = f"Of the linden. {'It has many rows. ' * 1000}"
_SYSTEM = ("system", "developer")
_TURNS = [(role, turn) for turn in range(2, 48) for role in ("user", "assistant")]
# 105 items, each with a word that only it contains, and the second turn once more.
CONVERSATION: list[Item] = [
    {"role": "developer", "content": "Mind the acorn."},
    user(_LONG_TEXT),
    _CALL,
    {"type": "function_call_output", "call_id": "call_1", "output": "dahlia"},
    message("assistant", "It is the elder."),
    _CALL | {"id": "fc_2", "call_id": "call_2", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_2", "output": _LONG_OUTPUT},
    message("assistant", "It may also be the sorrel") | {"status": "incomplete"},
    {"role": "developer", "content": "Mind the hawthorn, too."},
    {"role": "system", "content": "Mind the rowan, too."},
    *(message(role, f"This is {role}{turn}x.") for role, turn in [*_TURNS[:2], *_TURNS]),
    user(_PARTS),
]
# A name for each item, by its word.
ITEMS = {
    "acorn": "the developer message",
    "bramble": "the first user message",
    "clover": "the tool call",
    "dahlia": "the tool output",
    "elder": "the agent's own answer",
    "linden": "the tool output of 18,000 characters",
    **{f"{role}{turn}x": f"the {role} message of turn {turn}" for role, turn in _TURNS},
    "fennel": "the last user message",
}
# Parts of items that get lost although the LLM receives the items, and how often they occur.
PARTS = {
    "heather": ("the end of a message of 30,000 characters", 1),
    _CODE: ("the line breaks and spaces of a message", 1),
    "<b>Thorns</b> & leaves": ("the tags and punctuation of a message", 1),
    "user2x": ("a message that repeats an earlier one", 2),
    "sorrel": ("an answer that is incomplete", 1),
    "hawthorn": ("the second developer message", 1),
    "rowan": ("a system message after other messages", 1),
    "東京": ("characters that are not ASCII", 1),
}


@dataclass(frozen=True)
class LLMCall:
    """One request to the LLM.

    Attributes:
        body: The body of the request, JSON.
    """

    body: str

    @cached_property
    def messages(self) -> list[Any]:
        """The messages."""
        return json.loads(self.body)["messages"]

    @cached_property
    def text(self) -> str:
        """The texts of the messages, with single spaces."""
        return joined(strings(self.messages))

    def contains(self, part: str, times: int = 1) -> bool:
        """Return whether the messages contain a text so many times, perhaps in JSON or HTML."""
        text = "".join(strings(self.messages)) if "\n" in part else self.text
        written = (part, json.dumps(part)[1:-1], html.escape(part, quote=False))
        return max(map(text.count, written)) >= times

    @cached_property
    def system(self) -> str:
        """The texts of the system messages at the start."""
        start = takewhile(lambda one: one["role"] in _SYSTEM, self.messages)
        return joined(strings([*start]))

    @cached_property
    def tools(self) -> list[str]:
        """The names of the tools that the LLM may call."""
        body = json.loads(self.body)
        offered = body.get("tools") if body.get("tool_choice") != "none" else None
        return sorted(tool["function"]["name"] for tool in offered or [])

    @cached_property
    def outputs(self) -> set[str]:
        """The ids of the tool calls with an output."""
        return {one["tool_call_id"] for one in self.messages if one["role"] == "tool"}


def instruction_lines() -> list[str]:
    """Return the lines of instructions.md that an agent uses as they are.

    They have single spaces. Lines with placeholders are left out. An agent whose code does not
    load the file has no lines.
    """
    package = files(PACKAGE)
    code = [one.read_text("utf-8") for one in package.iterdir() if one.name.endswith(".py")]
    file = package / "instructions.md"
    if not file.is_file() or not _LOADS_INSTRUCTIONS.search("".join(code)):
        return []
    lines = (" ".join(line.split()) for line in file.read_text("utf-8-sig").splitlines())
    return [line for line in lines if line and not set(line) & set("{}<>$%")]


def strings(value: Any) -> Iterator[str]:
    """Yield the strings in JSON data."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, str))


def wants_json(body: str) -> bool:
    """Return whether a request to the LLM asks for JSON, which is complete only at its end."""
    wanted = json.loads(body).get("response_format") or {}
    return wanted.get("type", "text") != "text"


def joined(texts: Iterable[str]) -> str:
    """Join texts with single spaces between all words."""
    return " ".join(" ".join(texts).split())


def output_text(output: Any) -> str:
    """Return the texts of a tool's output, which may have parts, without images and files."""
    parts = output if isinstance(output, list) else [{"text": str(output)}]
    texts = [str(part.get("text", "")) for part in parts if isinstance(part, dict)]
    return _DATA_URL.sub("", " ".join(texts))


def missing_words(output: str, text: str) -> list[str]:
    """Return which of the last words of a tool's output a text lacks."""
    return [word for word in re.findall("[A-Za-z]{4,}", output)[-3:] if word not in text]


def fullest_call(calls: Iterable[LLMCall]) -> LLMCall:
    """Return the call with most of the conversation.

    If there are several, a plan or a classification may come before the answer, so prefer calls
    that offer tools, then those with the instructions, then the last one.
    """
    lines = instruction_lines()

    def rank(call: LLMCall) -> tuple[int, bool, int]:
        items = sum(word in call.text for word in ITEMS)
        return items, bool(call.tools), sum(line in call.text for line in lines)

    return max(reversed([*calls]), key=rank)


def main_calls(calls: Sequence[LLMCall]) -> list[LLMCall]:
    """Return the calls of an answer that continue the conversation.

    An agent may ask an LLM about something else as well, such as a plan or a translation. Such a
    call has other instructions and other tools than the call with most of the conversation.
    """
    fullest = fullest_call(calls)
    return [
        call
        for call in calls
        if call is fullest
        or (call.tools and call.tools == fullest.tools)
        or (call.system and call.system == fullest.system)
        or (call.outputs & fullest.outputs and not call.system)
    ]


def calls_by_agent(calls: Sequence[LLMCall]) -> list[list[LLMCall]]:
    """Group the calls of an answer by the agents that send them, perhaps side by side.

    A sub-agent has instructions of its own from its first call, which contains no tool outputs of
    this answer. A later call with other instructions counts as one of the agent before it.
    """
    groups: dict[str, list[LLMCall]] = {}
    group: list[LLMCall] = []
    for call in calls:
        if call.system in groups or call.outputs <= calls[0].outputs:
            group = groups.setdefault(call.system, [])
        group.append(call)
    return list(groups.values())
