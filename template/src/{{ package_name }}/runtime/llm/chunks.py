"""Reads the chunks of a completion from a response of the LLM."""

import json
from collections.abc import AsyncIterator
from typing import Any

from openai import APIError, AsyncStream

from .fields import Fields, fields_of, first_choice, string


async def read_chunks(stream: AsyncStream[object]) -> AsyncIterator[Fields]:
    """Yield the chunks that contain something, without null fields.

    A server that does not stream sends the whole completion, which counts as one chunk.

    Raises:
        APIError: The server reports an error.
        ValueError: The response is not a chat completion.
    """
    async for data in _whole(stream) if _is_json(stream) else stream:
        if not isinstance(data, dict | None):
            raise ValueError(str(data)[:100])
        chunk = _without_nulls(data or {})
        if error := _error_in(chunk):
            message = string(error.get("message") or error.get("detail") or "no reason given")
            raise APIError(message, stream.response.request, body=error)
        if chunk.get("choices") or chunk.get("usage"):
            yield chunk


def _is_json(stream: AsyncStream[object]) -> bool:
    """Return whether a response is one JSON document instead of events."""
    kind = stream.response.headers.get("content-type", "").lower()
    if "html" in kind:
        raise ValueError("it sent a web page")
    return "json" in kind


async def _whole(stream: AsyncStream[object]) -> AsyncIterator[object]:
    yield json.loads(await stream.response.aread())


def _error_in(chunk: Fields) -> Fields:
    """Return the error that a chunk or its choice reports, or an empty object."""
    error = chunk.get("error") or first_choice(chunk).get("error")
    if isinstance(error, str):
        return {"message": error}
    is_error = "error" in (chunk.get("object"), chunk.get("type")) or "error_code" in chunk
    has_reason = "choices" not in chunk and ("message" in chunk or "detail" in chunk)
    return fields_of(error) or (chunk if is_error or has_reason else {})


def _without_nulls(value: Any) -> Any:
    """Leave out null fields, so that readers of chunks can test for a key."""
    if isinstance(value, dict):
        return {key: _without_nulls(field) for key, field in value.items() if field is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
