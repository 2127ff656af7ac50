"""Calls of tools: an offline LLM that makes them, and those in an answer."""

import asyncio
import importlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from .agents import Item
from .project import PACKAGE
from .tool_arguments import argument_sets
from .waiting import STEP

DELAY_STEPS = 10
LONG_TEXT = "long text " * 90
# Texts that read files and variables, if a tool opens them as paths or runs them as code.
HOSTILE_TEXTS = (
    *("instructions.md", "../instructions.md"),
    *("__import__('os').environ", "; env"),
)


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool and its output."""

    name: str
    arguments: dict[str, Any]
    output: str


def use_replies(
    name: str, reply: Callable[..., tuple[tuple[str, str], ...]], text: str = ""
) -> None:
    """Add a model to the offline LLM that makes tool calls, then answers.

    Args:
        name: The name of the model.
        reply: Returns the calls for the messages and the offered tools, as pairs of name and JSON
            arguments.
        text: What it says before the calls.
    """
    try:
        replies = importlib.import_module(f"{PACKAGE}.runtime.llm.offline.replies")
    except ImportError:
        pytest.skip("the model was logged with a template before v0.5.0")

    def call_then_answer(messages: list[Any], tools: list[Any]) -> Any:
        if messages[-1]["role"] != "tool" and (calls := reply(messages, tools)):
            return replies.Reply(text, calls)
        return replies.demo(messages, [])

    replies.REPLIES[name] = call_then_answer


def with_many_arguments(_messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
    """Call each tool several times, so that each argument has each of its values."""
    return tuple(
        (tool["name"], json.dumps(arguments))
        for tool in tools
        for arguments in argument_sets(tool["parameters"])
    )


def with_last_arguments(_messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
    """Call each tool once, with the last of the arguments of `with_many_arguments`."""
    sets = ((tool["name"], argument_sets(tool["parameters"])) for tool in tools)
    return tuple((name, json.dumps(arguments[-1])) for name, arguments in sets if arguments)


def with_one_call(messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
    """Call the first tool for which there are valid arguments, with its required ones."""
    name = next(iter(_first_arguments(tools)), "")
    return with_first_arguments(name, messages, tools)


def with_first_arguments(
    name: str, _messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call one tool, with its required arguments."""
    calls = _first_arguments(tools)
    return ((name, json.dumps(calls[name])),) if name in calls else ()


def with_data_of_user(
    users: Sequence[str], messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call tools with texts that start with the user's name, those with the fewest first.

    A tool without arguments may return what another one has stored for the previous user.
    """
    text = str(messages)
    names = sorted((user for user in users if user in text), key=text.rfind)
    argument = f"{names[-1]}-argument" if names else None
    calls = [
        (name, json.dumps(arguments))
        for name, arguments in _first_arguments(tools, argument).items()
    ]
    return tuple(sorted(calls, key=lambda call: len(call[1])))


def with_long_texts(
    ends: Sequence[str], _messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call each tool that takes any text once per end, with a long text that ends with it."""
    return tuple(
        (name, json.dumps(arguments))
        for end in ends
        for name, arguments in _first_arguments(tools, f"{LONG_TEXT}{end}").items()
        if end in str(arguments)
    )


def with_hostile_texts(_messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
    """Call each tool that takes any text once per text of `HOSTILE_TEXTS`."""
    return tuple(
        (name, json.dumps(arguments))
        for text in HOSTILE_TEXTS
        for name, arguments in _first_arguments(tools, text).items()
        if text in arguments.values()
    )


def with_varied_arguments(
    words: Sequence[str], messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call each tool with the valid arguments that belong to the word in the last message."""
    text = str(messages[-1])
    number = next((at for at, word in enumerate(words) if word in text), 0)
    sets = {tool["name"]: argument_sets(tool["parameters"]) for tool in tools}
    return tuple(
        (name, json.dumps(arguments[number % len(arguments)]))
        for name, arguments in sets.items()
        if arguments
    )


def _first_arguments(tools: list[Any], text: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the required arguments of each tool, without tools that have no valid example.

    Args:
        tools: The tools.
        text: The only value of texts that may be any text.
    """
    sets = {tool["name"]: argument_sets(tool["parameters"], text) for tool in tools}
    return {name: arguments[0] for name, arguments in sets.items() if arguments}


def record_outputs(patch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each output of a toolbox is added."""
    outputs: list[str] = []
    with suppress(ImportError):  # of models that were logged with a template before v0.5.0
        toolbox: Any = importlib.import_module(f"{PACKAGE}.runtime.toolbox").Toolbox
        run = toolbox.run

        async def recording_run(self: Any, *arguments: Any, **options: Any) -> str:
            output = await run(self, *arguments, **options)
            outputs.append(output)
            return output

        patch.setattr(toolbox, "run", recording_run)
    return outputs


def delay_first_call(patch: pytest.MonkeyPatch) -> None:
    """Let the first call of a tool end later than others that run concurrently."""
    with suppress(ImportError):  # of models that were logged with a template before v0.5.0
        toolbox: Any = importlib.import_module(f"{PACKAGE}.runtime.toolbox").Toolbox
        run = toolbox.run
        started = count()

        async def delaying_run(self: Any, *arguments: Any, **options: Any) -> str:
            is_first = next(started) == 0
            output = await run(self, *arguments, **options)
            for _ in range(DELAY_STEPS if is_first else 0):
                await asyncio.sleep(STEP)
            return output

        patch.setattr(toolbox, "run", delaying_run)


def as_json(arguments: dict[str, Any]) -> str:
    """Return arguments as JSON that people can read."""
    return json.dumps(arguments, ensure_ascii=False)


def calls_in(items: list[Item]) -> list[ToolCall]:
    """Return the tool calls in an answer that have an output."""
    outputs = {item.get("call_id"): item.get("output") for item in items if "output" in item}
    calls = []
    for item in items:
        if item.get("type") == "function_call" and item.get("call_id") in outputs:
            output = outputs[item.get("call_id")]
            text = output if isinstance(output, str) else json.dumps(output, default=str)
            calls.append(ToolCall(str(item.get("name")), arguments_of(item), text))
    return calls


def arguments_of(call: Item) -> dict[str, Any]:
    """Return the arguments of a tool call; none if they are not a JSON object."""
    arguments: Any = None
    with suppress(TypeError, ValueError):
        arguments = json.loads(call.get("arguments", "{}"))
    return arguments if isinstance(arguments, dict) else {}
