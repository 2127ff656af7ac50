"""Reads the chunks of a completion from a response of the LLM."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
from anyio import move_on_after
from openai import APIError, AsyncStream

from .completion import finish_reason
from .fields import Fields, choices_of, fields_of

_END = "[DONE]"


async def read_chunks(stream: AsyncStream[object]) -> AsyncIterator[Fields]:
    """Yield the chunks that contain something, without null fields.

    A server that does not stream sends the whole completion, which counts as one chunk. Some
    servers send no finish reason if the model stops by itself, only the end marker.

    Raises:
        APIError: The server reports an error.
        ValueError: The response is not a chat completion.
    """
    reason = ""
    async for data in _whole(stream) if _is_json(stream) else _events(stream):
        if data == _END:
            data = None if reason else {"choices": [{"finish_reason": "stop"}]}
        if not isinstance(data, dict | None):
            raise ValueError(str(data)[:100])
        chunk: Fields = data or {}
        if error := _error_in(chunk):
            raise APIError("no reason given", stream.response.request, body=error)
        reason = finish_reason(chunk) or reason
        if chunk.get("choices") or chunk.get("usage"):
            yield chunk


def _is_json(stream: AsyncStream[object]) -> bool:
    """Return whether a response is one JSON document instead of events."""
    kind = stream.response.headers.get("content-type", "").lower()
    if "html" in kind:
        raise ValueError("it sent a web page")
    return "json" in kind


async def _whole(stream: AsyncStream[object]) -> AsyncIterator[Any]:
    yield _parse(await stream.response.aread())


async def _events(stream: AsyncStream[object]) -> AsyncIterator[Any]:
    """Yield the JSON of each event.

    The client's own reader fails on an event without data, and skips an error that is not an event.
    """
    data: list[bytes] = []
    kind = b""
    lines = _lines(stream.response.aiter_bytes())
    async for line in lines:
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.strip()
        elif name == b"error":  # llama.cpp until September 2025
            yield {"error": _parse(value)}
        elif line.startswith(b"{"):  # gateways pass on the JSON of servers that do not stream
            decoder = json.JSONDecoder(object_hook=_without_nulls)
            yield decoder.raw_decode(line.decode())[0]
        elif not line:
            event = b"\n".join(data).strip()
            data.clear()
            if event == _END.encode():
                yield _END
                break
            if event:
                is_text = kind == b"error" and not event.startswith(b"{")
                yield {"error": event.decode()} if is_text else _parse(event)
    # A connection is used again if its response was read to the end.
    with suppress(httpx.HTTPError), move_on_after(0.1):
        async for _ in lines:
            pass


async def _lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a stream of bytes, without white space around them."""
    parts: list[bytes] = []
    async for block in blocks:
        *ends, start = block.split(b"\n")
        for end in ends:
            yield b"".join([*parts, end]).strip()
            parts.clear()
        parts.append(start)
    yield b"".join(parts).strip()


def _error_in(chunk: Fields) -> Fields:
    """Return the error that a chunk or a choice in it reports, or an empty object."""
    errors = (part.get("error") for part in (chunk, *choices_of(chunk)))
    error = next(filter(None, errors), None)
    if isinstance(error, str):
        return {"message": error}
    is_error = "error" in (chunk.get("object"), chunk.get("type")) or "error_code" in chunk
    has_reason = "choices" not in chunk and ("message" in chunk or "detail" in chunk)
    return fields_of(error) or (chunk if is_error or has_reason else {})


def _without_nulls(fields: Fields) -> Fields:
    """Leave out null fields, so that readers of chunks can test for a key."""
    return {name: value for name, value in fields.items() if value is not None}


def _parse(data: bytes) -> Any:
    return json.loads(data, object_hook=_without_nulls if b"null" in data else None)
