"""A minimal pass-through server: forwards the question to the model, and its text to the caller.

MODEL_URL=http://127.0.0.1:PORT/v1 python -m benchmarks.serve.bare PORT
"""

import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

MODEL = web.AppKey("model", aiohttp.ClientSession)


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a request of the Responses API."""
    body = await request.json()
    payload = {"model": "m", "messages": body["input"], "stream": bool(body.get("stream"))}
    url = f"{os.environ['MODEL_URL']}/chat/completions"
    async with request.app[MODEL].post(url, json=payload) as completion:
        if not payload["stream"]:
            text = (await completion.json())["choices"][0]["message"]["content"]
            return web.json_response({"object": "response", "output": [message(text)]})
        return await pass_on(request, completion)


async def pass_on(request: web.Request, completion: aiohttp.ClientResponse) -> web.StreamResponse:
    """Forward the model's stream as deltas."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    words = []
    async for line in completion.content:
        if line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"].get("content")
            if delta:
                words.append(delta)
                event = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": delta}
                await response.write(f"data: {json.dumps(event)}\n\n".encode())
    done = {"type": "response.output_item.done", "item": message("".join(words))}
    await response.write(f"data: {json.dumps(done)}\n\ndata: [DONE]\n\n".encode())
    return response


def message(text: str) -> dict[str, Any]:
    """Return an output item."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


async def client(app: web.Application) -> AsyncIterator[None]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        app[MODEL] = session
        yield


async def health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "healthy"})


def main() -> None:
    app = web.Application()
    app.cleanup_ctx.append(client)
    app.router.add_post("/invocations", answer)
    app.router.add_get("/health", health)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
