"""What stands between callers and the agent: limits, a token, and a line in the log each time."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .request_body import RefusedError, checked, read
from .sampling import Sampling

logger = logging.getLogger(__name__)

ROUTES = ("/invocations", "/responses")
# What keeps a balancer such as nginx from holding a stream back until it has ended.
UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass
class Exchange:
    """One request and what became of it; the agent's handlers fill in what only they know."""

    begun: float = field(default_factory=time.monotonic)
    status: int = 0
    first_event: float | None = None  # seconds after it had begun
    trace_id: str = ""  # empty if it is not traced
    # What a failure means to the caller, where the server below says 500 to all.
    failure: int | None = None
    # The server stops, and has waited long enough.
    stopped: bool = False
    # What is to be closed when it is over, whether or not somebody still listens.
    ending: AsyncExitStack = field(default_factory=AsyncExitStack)

    def seconds(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self.begun


current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")


@dataclass
class Guard:
    """An ASGI application around another one, within limits.

    Attributes:
        app: What answers.
        token: The bearer token that callers must bring; none is asked for when it is empty.
        max_requests: How many requests may be under way; more are told to come again.
        max_bytes: How long a request may be.
        max_seconds: How long it may take to arrive.
        sampling: Which requests are traced.
        at_end: Called when the server stops, after the last request.
    """

    app: ASGIApp
    token: str
    max_requests: int
    max_bytes: int
    max_seconds: float
    sampling: Sampling
    at_end: Callable[[], None]
    under_way: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._ending(send))
        elif scope["type"] == "http" and scope["path"] in ROUTES and scope["method"] == "POST":
            await self._answer(scope, receive, send)
        elif scope["path"] == "/health" or self._is_known(scope):
            await self.app(scope, receive, send)
        else:
            await _refuse(self._unknown(), scope, receive, send)

    def _ending(self, send: Send) -> Send:
        async def ending(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await asyncio.to_thread(self.at_end)
            await send(message)

        return ending

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange()
        current_exchange.set(exchange)
        try:
            if not self._is_known(scope):
                raise self._unknown()
            if self.under_way >= self.max_requests:
                raise RefusedError(
                    429,
                    f"{self.max_requests} requests are under way, which is the limit. Try again.",
                    **{"Retry-After": "1"},
                )
            self.under_way += 1
            try:
                body = checked(await read(receive, self.max_bytes, self.max_seconds))
                noting = _noting(exchange, send)
                async with exchange.ending:
                    with self.sampling.request():
                        await self._answer_while_heard(scope, body, receive, noting)
            finally:
                self.under_way -= 1
        except RefusedError as refused:
            await _refuse(refused, scope, receive, _noting(exchange, send))
        finally:
            logger.info(
                "%s %s %s: %.3f s, first event after %s, trace %s",
                scope["method"],
                scope["path"],
                exchange.status or "left",
                exchange.seconds(),
                "-" if exchange.first_event is None else f"{exchange.first_event:.3f} s",
                exchange.trace_id or "none",
            )

    async def _answer_while_heard(
        self, scope: Scope, body: bytes, receive: Receive, send: Send
    ) -> None:
        """Answer, and stop at once when the caller leaves."""
        answering = asyncio.ensure_future(self.app(scope, _replay(body), send))
        leaving = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await answering
        except asyncio.CancelledError:
            current_exchange.get().stopped = True
            raise
        finally:
            leaving.cancel()
            answering.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    def _is_known(self, scope: Scope) -> bool:
        brought = Headers(scope=scope).get("authorization", "")
        expected = f"Bearer {self.token}"
        return not self.token or hmac.compare_digest(brought.encode(), expected.encode())

    def _unknown(self) -> RefusedError:
        return RefusedError(401, "Send the server's token: Authorization: Bearer TOKEN.")


def _noting(exchange: Exchange, send: Send) -> Send:
    """Note the status, or put that of a known failure in its place; let streams flow."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["status"] = exchange.failure or message["status"]
            exchange.status = message["status"]
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/event-stream"):
                headers.update(UNBUFFERED)
        await send(message)

    return noting


def _replay(body: bytes) -> Receive:
    """Give a body that was read already."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # whoever leaves is noticed elsewhere
        raise AssertionError

    return replay


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(refused: RefusedError, scope: Scope, receive: Receive, send: Send) -> None:
    error = {"type": "invalid_request_error", "message": str(refused)}
    answer = JSONResponse({"error": error}, refused.status, refused.headers)
    await answer(scope, receive, send)
