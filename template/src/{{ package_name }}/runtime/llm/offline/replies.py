"""What the offline LLM says, for each of its models."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .arguments import arguments_from_schema, arguments_from_text

Messages = list[dict[str, Any]]
Tools = list[dict[str, Any]]


@dataclass(frozen=True)
class Reply:
    """One turn of the assistant: text, or tools to call with their arguments as JSON."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    cut: bool = False


def demo(messages: Messages, tools: Tools) -> Reply:
    """Quote what the tools returned, or call the tools that fit, or repeat what was said."""
    if outputs := _tool_outputs(messages):
        return _quote(outputs)
    said = _last_words_of_user(messages)
    words = set(re.findall(r"\w+", said.casefold()))
    calls = tuple(
        (tool["name"], json.dumps(arguments))
        for tool in tools
        if words & set(tool["name"].casefold().split("_"))
        and (arguments := arguments_from_text(tool["parameters"], said)) is not None
    )
    if calls:
        return Reply(calls=calls)
    return Reply(
        "I am the offline LLM: no language model is connected, so I can only call tools and "
        f"repeat what you said: {said}"
    )


def call_all_tools(messages: Messages, tools: Tools) -> Reply:
    """Call every tool with arguments of the right types, then answer."""
    if tools and not _tool_outputs(messages):
        calls = ((tool["name"], arguments_from_schema(tool["parameters"])) for tool in tools)
        return Reply(calls=tuple((name, json.dumps(arguments)) for name, arguments in calls))
    return demo(messages, [])


def call_tools_wrongly(messages: Messages, tools: Tools) -> Reply:
    """Call every tool with arguments it does not have, and a tool nobody has, then answer."""
    if tools and not _tool_outputs(messages):
        names = [*(tool["name"] for tool in tools), "no_such_tool"]
        return Reply(calls=tuple((name, '{"no_such_argument": null}') for name in names))
    return demo(messages, [])


def call_tools_endlessly(messages: Messages, tools: Tools) -> Reply:
    """Call every tool again and again, for as long as there are any to call."""
    asked_by_user = [message for message in messages if message["role"] == "user"]
    return call_all_tools(asked_by_user, tools)


def say_nothing(_messages: Messages, _tools: Tools) -> Reply:
    """End the turn without text and without a call."""
    return Reply()


def break_off(_messages: Messages, _tools: Tools) -> Reply:
    """Begin to answer, and be cut off."""
    return Reply("I am the offline LLM, and I was about to", cut=True)


REPLIES: dict[str, Callable[[Messages, Tools], Reply]] = {
    "demo": demo,
    "tools": call_all_tools,
    "wrong-tools": call_tools_wrongly,
    "endless-tools": call_tools_endlessly,
    "empty": say_nothing,
    "cut": break_off,
}


def _tool_outputs(messages: Messages) -> list[tuple[str, str]]:
    """The name and the output of each tool that ran since the user last spoke."""
    names: dict[str, str] = {}
    outputs = []
    for message in messages:
        if message["role"] == "user":
            outputs.clear()
        for call in message.get("tool_calls", []):
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            outputs.append((names.get(message["tool_call_id"], "tool"), message["content"]))
    return outputs


def _quote(outputs: list[tuple[str, str]]) -> Reply:
    quotes = " ".join(f"{name} says: {output.rstrip('.')}." for name, output in outputs)
    return Reply(f"{quotes} (Quoted by the offline LLM; no language model is connected.)")


def _last_words_of_user(messages: Messages) -> str:
    said = [message["content"] for message in messages if message["role"] == "user"]
    if not said:
        return "nothing"
    if isinstance(said[-1], str):
        return said[-1]
    return " ".join(part.get("text", f"[{part['type']}]") for part in said[-1])
