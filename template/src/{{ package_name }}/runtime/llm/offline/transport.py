"""An HTTP transport that answers chat-completions requests without a network."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx

from .dialects import DIALECTS, missing_in_turns
from .replies import REPLIES, Reply, reply_to
from .requests import problem_with_length, problems_with_request

# Tests let it report other numbers.
USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class OfflineTransport(httpx.AsyncBaseTransport):
    """Answers `POST …/chat/completions`, streaming or not."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        model, _, dialect = body["model"].partition("@")
        if model == "hang":
            return await _hang(request)
        if model == "fail":
            return _error(500, "The offline LLM fails on request.")
        if model not in REPLIES:
            known = ", ".join([*REPLIES, "fail", "hang"])
            return _error(404, f"The offline LLM has no model {model!r}; its models: {known}.")
        if dialect and dialect not in DIALECTS:
            known = ", ".join(DIALECTS)
            return _error(404, f"The offline LLM has no dialect {dialect!r}; it has {known}.")
        for problem in problems_with_request(body):
            return _error(400, problem)
        if problem := problem_with_length(body["messages"]):
            return _error(400, problem, "context_length_exceeded")
        if missing := missing_in_turns(dialect, body["messages"]):
            return _error(400, missing)
        reply = reply_to(body, model, _offered_tools(body))
        if body.get("stream"):
            headers = {"content-type": "text/event-stream"}
            content = _one_by_one(request, _events(body, reply), reply)
            return httpx.Response(200, headers=headers, content=content)
        if reply.stalled:
            return await _hang(request)
        content = json.dumps(_completion(model, reply)).encode()
        if reply.cut:
            content = content[: len(content) // 2]
        return httpx.Response(200, headers={"content-type": "application/json"}, content=content)


def _error(status: int, message: str, code: str | None = None) -> httpx.Response:
    headers = {"retry-after-ms": "1"}  # this server is never busy
    return httpx.Response(
        status, headers=headers, json={"error": {"message": message, "code": code}}
    )


async def _hang(request: httpx.Request) -> httpx.Response:
    """Send nothing until the client's timeout, as a socket would."""
    seconds = request.extensions.get("timeout", {}).get("read")
    await asyncio.sleep(3600 if seconds is None else seconds)
    raise httpx.ReadTimeout("The offline LLM hangs on request.", request=request)


def _offered_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    if body.get("tool_choice") == "none":
        return []
    uncalled = os.environ.get("AGENT_UNCALLED_TOOLS", "").split(",")
    functions = [tool["function"] for tool in body.get("tools") or []]
    functions = [one for one in functions if one.get("name") not in uncalled]
    default = {"type": "object", "properties": {}}
    return [one | {"parameters": one.get("parameters") or default} for one in functions]


def _envelope(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _tool_calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for name, arguments in reply.calls
    ]


def _completion(model: str, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = _tool_calls(reply)
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    return {**_envelope("chat.completion", model), "choices": [choice], "usage": USAGE}


def _finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


async def _one_by_one(
    request: httpx.Request, events: Iterator[bytes], reply: Reply
) -> AsyncIterator[bytes]:
    for event in events:
        yield event
        await asyncio.sleep(0)  # as a socket would, let other requests run
    if reply.stalled:
        await _hang(request)


def _events(body: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    """Yield the chunks of a reply as server-sent events: a word each, and two per tool call."""
    envelope = _envelope("chat.completion.chunk", body["model"])
    _, _, dialect = body["model"].partition("@")
    if dialect:  # some providers send events without content
        yield b": ping\n\ndata: null\n\n"
        yield _event({**envelope, "choices": None})
        deltas = DIALECTS[dialect](reply.text, _tool_calls(reply))
    else:
        deltas = _deltas(reply)
    for delta in deltas:
        yield _event({**envelope, "choices": [{"index": 0, "delta": delta}]})
    if reply.cut or reply.stalled:
        return
    finish = {"index": 0, "delta": {}, "finish_reason": _finish_reason(reply)}
    yield _event({**envelope, "choices": [finish]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**envelope, "choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None}
    for word in re.findall(r"\S+\s*", reply.text):
        yield {"content": word}
    for index, call in enumerate(_tool_calls(reply)):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        half = len(arguments) // 2
        head = {**call, "function": {"name": name, "arguments": arguments[:half]}}
        tail = {"function": {"arguments": arguments[half:]}}
        yield {"tool_calls": [{"index": index, **head}]}
        yield {"tool_calls": [{"index": index, **tail}]}
