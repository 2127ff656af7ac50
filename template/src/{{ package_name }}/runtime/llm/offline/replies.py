"""The answers of the offline LLM, one function per model."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .arguments import answer_from_schema, arguments_from_schema, arguments_from_text
from .fields import in_fields, is_reminder, without_markers

# With one call per completion, an agent may stop after a few completions.
_MAX_SINGLE_CALLS = 3

Messages = list[dict[str, Any]]
Tools = list[dict[str, Any]]


@dataclass(frozen=True)
class Reply:
    """One turn of the assistant: text, or tool calls as pairs of name and JSON arguments.

    A stream that is cut breaks before its end; one that is stalled sends nothing more.
    """

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    stalled: bool = False


def demo(messages: Messages, tools: Tools) -> Reply:
    """Quote tool outputs, or call the tools that match, or repeat the user's text."""
    if outputs := _tool_outputs(messages):
        return _quote(outputs)
    text = _last_user_text(messages)
    words = set(re.findall(r"\w+", text.casefold()))
    calls = tuple(
        (tool["name"], json.dumps(arguments))
        for tool in tools
        if words & set(tool["name"].casefold().split("_"))
        and (arguments := arguments_from_text(tool["parameters"], text)) is not None
    )
    if calls:
        return Reply(calls=calls)
    return Reply(
        "I am the offline LLM: no language model is connected, so I can only call tools and "
        f"repeat what you said: {text}"
    )


def call_all_tools(messages: Messages, tools: Tools) -> Reply:
    """Call every tool with valid arguments, then answer."""
    if tools and not _tool_outputs(messages):
        calls = ((tool["name"], arguments_from_schema(tool["parameters"])) for tool in tools)
        return Reply(calls=tuple((name, json.dumps(arguments)) for name, arguments in calls))
    return demo(messages, [])


def call_tools_with_invalid_arguments(messages: Messages, tools: Tools) -> Reply:
    """Call every tool with invalid arguments, and an unknown tool, then answer."""
    if tools and not _tool_outputs(messages):
        names = [*(tool["name"] for tool in tools), "no_such_tool"]
        return Reply(calls=tuple((name, '{"no_such_argument": null}') for name in names))
    return demo(messages, [])


def call_tools_endlessly(messages: Messages, tools: Tools) -> Reply:
    """Call every tool in every round that offers tools."""
    without_outputs = [message for message in messages if message["role"] == "user"]
    return call_all_tools(without_outputs, tools)


def return_nothing(_messages: Messages, _tools: Tools) -> Reply:
    """Return neither text nor a tool call."""
    return Reply()


def stop_early(_messages: Messages, _tools: Tools) -> Reply:
    """Start an answer without finishing it."""
    return Reply("I am the offline LLM, and I was about to", cut=True)


def stall(_messages: Messages, _tools: Tools) -> Reply:
    """Start an answer, and send nothing more."""
    return Reply("I am the offline LLM, and I was about to", stalled=True)


REPLIES: dict[str, Callable[[Messages, Tools], Reply]] = {
    "demo": demo,
    "tools": call_all_tools,
    "wrong-tools": call_tools_with_invalid_arguments,
    "endless-tools": call_tools_endlessly,
    "empty": return_nothing,
    "cut": stop_early,
    "stall": stall,
}


def reply_to(body: dict[str, Any], model: str, tools: Tools) -> Reply:
    """Return a model's reply, with one tool call or as JSON if the request asks for it."""
    messages = [one for one in body["messages"] if not _is_reminder(one)]
    reply = REPLIES[model](messages, tools)
    if body.get("parallel_tool_calls") is False:
        reply = _one_call(REPLIES[model], messages, tools) or replace(reply, calls=reply.calls[:1])
    if reply.text:
        text = _formatted(reply.text, body.get("response_format") or {}, messages)
        return replace(reply, text=text)
    return reply


def _one_call(answer: Callable[..., Reply], messages: Messages, tools: Tools) -> Reply | None:
    """Return the next of the calls that a model would make at once; None after a few of them."""
    users = [at for at, message in enumerate(messages, 1) if message["role"] == "user"]
    start = users[-1] if users else len(messages)
    done = sum(message["role"] == "tool" for message in messages[start:])
    calls = answer(messages[:start], tools).calls[:_MAX_SINGLE_CALLS][done : done + 1]
    return Reply(calls=calls) if calls else None


def _formatted(text: str, response_format: dict[str, Any], messages: Messages) -> str:
    """Return a text in a response format: JSON with a schema, or the fields in a prompt."""
    kind = response_format.get("type", "text")
    prompt = " ".join(_text(one) for one in messages if one["role"] == "system")
    if kind == "json_schema":
        return json.dumps(answer_from_schema(response_format["json_schema"]["schema"], text))
    if kind == "json_object":
        fields = re.findall(r"[`\"'](\w+)[`\"']", prompt)
        return json.dumps(dict.fromkeys(fields or ["answer"], text))
    return in_fields(text, prompt)


def _tool_outputs(messages: Messages) -> list[tuple[str, str]]:
    """Return name and output of each tool call since the last user message."""
    names: dict[str, str] = {}
    outputs = []
    for message in messages:
        if message["role"] == "user":
            outputs.clear()
        for call in message.get("tool_calls", []):
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool":
            outputs.append((names.get(message["tool_call_id"], "tool"), _text(message)))
    return outputs


def _quote(outputs: list[tuple[str, str]]) -> Reply:
    quotes = " ".join(f"{name} says: {output.rstrip('.')}." for name, output in outputs)
    return Reply(f"{quotes} (Quoted by the offline LLM; no language model is connected.)")


def _last_user_text(messages: Messages) -> str:
    texts = [_text(message) for message in messages if message["role"] == "user"]
    return without_markers(texts[-1]) if texts else "nothing"


def _is_reminder(message: dict[str, Any]) -> bool:
    return message["role"] == "user" and is_reminder(_text(message))


def _text(message: dict[str, Any]) -> str:
    """Return the text of a message; its content may be a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", f"[{part['type']}]") for part in content)
