"""Sends server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

# Proxies such as nginx buffer a stream without this header.
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

_encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class EventStreamResponse(StreamingResponse):
    """Sends server-sent events, and comments while there are none.

    The body iterator is closed when the response ends, however it ends.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str], keep_alive_seconds: float) -> None:
        super().__init__(events, headers=STREAM_HEADERS)
        self.events = events
        self.keep_alive_seconds = keep_alive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.events), keep_alive(send, self.keep_alive_seconds) as send:
            await self.stream_response(send)


@asynccontextmanager
async def keep_alive(send: Send, seconds: float) -> AsyncGenerator[Send]:
    """Send a comment when nothing else was sent for some seconds, so that proxies stay connected.

    Yields:
        The function to send messages with.
    """
    last_sent = float("inf")  # until the response starts

    async def recording_send(message: Message) -> None:
        nonlocal last_sent
        last_sent = float("inf")  # no comment while a slow client delays another message
        await send(message)
        last_sent = time.monotonic() if message.get("more_body", True) else float("inf")

    async def send_comments() -> None:
        while True:
            await asyncio.sleep(min(seconds, max(seconds - (time.monotonic() - last_sent), 0.01)))
            if time.monotonic() - last_sent >= seconds:
                comment = b": keep-alive\n\n"
                await recording_send(
                    {"type": "http.response.body", "body": comment, "more_body": True}
                )

    comments = asyncio.ensure_future(send_comments())
    try:
        yield recording_send
    finally:
        comments.cancel()


def encode(events: Iterable[dict[str, Any] | str]) -> str:
    """Encode events as server-sent events, each before the iterator continues.

    Raises:
        TypeError: An event contains a value that JSON does not have.
        ValueError: An event contains a number that JSON does not have.
    """
    return "".join(
        f"data: {event if isinstance(event, str) else _encoder.encode(event)}\n\n"
        for event in events
    )
