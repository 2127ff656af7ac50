"""A model's HTTP API with the timing of a real one: by default 20 tokens, 20 ms apart.

A complete answer takes as long as a streamed one. Tokens are due at fixed times, so slow sending
does not delay the following ones.

SECONDS_BETWEEN_TOKENS=0.02 python -m benchmarks.serve.fake_model PORT
"""

import asyncio
import json
import os
import sys
from typing import Any

from aiohttp import web

TOKENS = [f"token{number} " for number in range(20)]
GAP = float(os.environ.get("SECONDS_BETWEEN_TOKENS", "0.02"))
USAGE = {"prompt_tokens": 5, "completion_tokens": len(TOKENS), "total_tokens": 5 + len(TOKENS)}


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Return a server-sent event of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"choices": [choice]})


def event(fields: dict[str, Any]) -> bytes:
    """Return a server-sent event with the fields that all events have."""
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(envelope | fields)}\n\n".encode()


async def complete(request: web.Request) -> web.StreamResponse:
    """Answer a chat-completions request, complete or token by token."""
    body = await request.json()
    if not body.get("stream"):
        await asyncio.sleep(GAP * len(TOKENS))
        message = {"role": "assistant", "content": "".join(TOKENS)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
        return web.json_response(answer | {"choices": [choice], "usage": USAGE})
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    clock = asyncio.get_running_loop().time
    started_at = clock()
    for number, token in enumerate(TOKENS, start=1):
        await asyncio.sleep(started_at + number * GAP - clock())
        await response.write(chunk({"role": "assistant", "content": token}))
    await response.write(chunk({}, "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        await response.write(event({"choices": [], "usage": USAGE}))
    await response.write(b"data: [DONE]\n\n")
    return response


async def health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "healthy"})


def main() -> None:
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/v1/chat/completions", complete)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
