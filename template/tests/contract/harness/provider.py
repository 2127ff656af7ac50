"""A local server in the place of the LLM's provider, for agents with a client of their own.

It passes chat completions to the offline LLM, and translates the Responses API for it.
"""

import asyncio
import importlib
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx

from .network import LONGEST_TIMEOUT
from .project import PACKAGE

HOST = "provider.invalid"  # in requests that the offline LLM gets from this server
KEY = "key-of-the-contract"
USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
EVENT_STREAM = {"content-type": "text/event-stream"}
# The clients of OpenAI and Anthropic state their timeout in this header.
TIMEOUT_HEADER = "x-stainless-read-timeout"


class Provider:
    """A server that answers like the model in AGENT_LLM, whatever model a client requests.

    Attributes:
        address: The address that it listens on.
    """

    def __init__(self) -> None:
        self._conversations: dict[str, list[Any]] = {}  # by the id of their last response
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="provider", daemon=True).start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(start, loop).result()
        self.address = "{}:{}".format(*server.sockets[0].getsockname())

    def variables(self) -> dict[str, str]:
        """Return the environment variables that lead clients to this server."""
        url = f"http://{self.address}"
        return {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_API_KEY": KEY,
            "AZURE_OPENAI_ENDPOINT": url,
            "AZURE_OPENAI_API_KEY": KEY,
            "OPENAI_API_VERSION": "2025-01-01-preview",
            "DATABRICKS_HOST": url,
            "DATABRICKS_TOKEN": KEY,
            # MLflow's client of Databricks repeats requests for minutes.
            "MLFLOW_DEPLOYMENT_PREDICT_TIMEOUT": "1",
            "MLFLOW_DEPLOYMENT_PREDICT_TOTAL_TIMEOUT": "1",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "NO_PROXY": "127.0.0.1",
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, unless the client disconnects earlier."""
        with suppress(Exception):  # the client sees that the connection breaks
            request = await _read(reader)
            answering = asyncio.create_task(self._write(request, writer))
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        writer.close()

    async def _write(self, request: httpx.Request, writer: asyncio.StreamWriter) -> None:
        """Write the response; `offline:/cut` breaks the connection before its end."""
        try:
            response = await self._answer(request)
        except httpx.ReadTimeout:
            response = httpx.Response(504)
        except Exception as error:
            response = httpx.Response(400, json={"error": {"message": str(error)}})
        response.headers.pop("content-length", None)
        response.headers.update(
            {"transfer-encoding": "chunked", "connection": "close", "x-should-retry": "false"}
        )
        lines = (f"{name}: {value}\r\n" for name, value in response.headers.items())
        status = f"HTTP/1.1 {response.status_code} {response.reason_phrase}\r\n"
        writer.write(f"{status}{''.join(lines)}\r\n".encode())
        blocks: Any = response.stream
        async for block in blocks:
            writer.write(b"%x\r\n%b\r\n" % (len(block), block))
            await writer.drain()
        if offline_model() != "cut":
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        if "messages" in body:
            return await _complete(body, request)
        if request.url.path.endswith("/embeddings") or _are_texts(body.get("input")):
            return _embeddings(body)
        if "input" in body and request.url.path.endswith(("/responses", "/invocations")):
            return await self._respond(body, request)
        message = f"The contract has no API for {request.method} {request.url.path}."
        return httpx.Response(404, json={"error": {"message": message}})

    async def _respond(self, body: dict[str, Any], request: httpx.Request) -> httpx.Response:
        """Answer a request of the Responses API with a chat completion."""
        items = body["input"]
        items = [{"role": "user", "content": items}] if isinstance(items, str) else items
        items = [*self._conversations.get(body.get("previous_response_id") or "", []), *items]
        instructions = body.get("instructions")
        system = [{"role": "system", "content": instructions}] if instructions else []
        chat = {
            "messages": _module("runtime.messages").to_messages([*system, *items]),
            "response_format": _response_format((body.get("text") or {}).get("format")),
            "stream": True,
        }
        # Hosted tools, such as `web_search`, are for the provider.
        tools = [one for one in body.get("tools") or [] if one["type"] == "function"]
        if tools:
            chat["tools"] = [
                {"type": "function", "function": {k: v for k, v in one.items() if k != "type"}}
                for one in tools
            ]
            chat["tool_choice"] = body.get("tool_choice") or "auto"
            chat["parallel_tool_calls"] = body.get("parallel_tool_calls")
        completion = await _complete(chat, request)
        if completion.is_error:
            return completion
        writer = _module("server.events").ResponseWriter(body.get("model", ""), usage=USAGE)
        events = self._events(writer, completion, items)
        if body.get("stream"):
            lines = (f"data: {json.dumps(event)}\n\n".encode() async for event in events)
            return httpx.Response(200, headers=EVENT_STREAM, content=lines)
        last = [event async for event in events][-1]
        return httpx.Response(200, json=last["response"])

    async def _events(
        self, writer: Any, completion: httpx.Response, items: list[Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a response, and remember its conversation."""
        yield writer.start()
        async for event in _module("runtime.messages").to_events(_chunks(completion)):
            for one in writer.events_for(event):
                yield one
        end = writer.end()
        self._conversations[end["response"]["id"]] = [*items, *writer.output]
        yield end


def _are_texts(value: Any) -> bool:
    """Return whether a value is a list of texts, which only endpoints of embeddings accept."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _embeddings(body: dict[str, Any]) -> httpx.Response:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vector = [1.0] * body.get("dimensions", 1536)
    data = [{"index": index, "embedding": vector} for index, _ in enumerate(texts)]
    return httpx.Response(200, json={"object": "list", "data": data, "usage": {}})


def _response_format(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the format of a response as chat completions name it."""
    if settings and settings["type"] == "json_schema":
        return {"type": "json_schema", "json_schema": settings}
    return settings


def offline_model() -> str:
    """Return the name of the model in AGENT_LLM, without its provider and dialect."""
    return os.environ["AGENT_LLM"].rpartition(":/")[2].partition("@")[0]


async def _read(reader: asyncio.StreamReader) -> httpx.Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    (method, path, _), *lines = (line.split(" ", 2) for line in head.strip().split("\r\n"))
    headers = {name.rstrip(":"): " ".join(value) for name, *value in lines}
    request = httpx.Request(method, f"http://{HOST}{path}", headers=headers)
    length = int(request.headers.get("content-length", 0))
    content = await reader.readexactly(length)
    return httpx.Request(method, request.url, headers=headers, content=content)


async def _complete(body: dict[str, Any], request: httpx.Request) -> httpx.Response:
    """Return the offline LLM's chat completion."""
    # With `offline:/hang`, do not wait for a timeout that will certainly come.
    has_timeout = float(request.headers.get(TIMEOUT_HEADER, "inf")) <= LONGEST_TIMEOUT
    chat = httpx.Request(
        "POST",
        f"http://{HOST}/chat/completions",
        json=body | {"model": offline_model()},
        extensions={"timeout": {"read": 0.1} if has_timeout else {}},
    )
    transport = _module("runtime.llm.offline").OfflineTransport()
    return await transport.handle_async_request(chat)


async def _chunks(completion: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for event in completion.aiter_raw():
        if event.startswith(b"data: {"):
            yield json.loads(event.removeprefix(b"data: "))


def _module(name: str) -> Any:
    """Import a module of the agent's package; for a loaded model, the copy in the model."""
    return importlib.import_module(f"{PACKAGE}.{name}")
