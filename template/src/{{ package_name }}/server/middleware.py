"""ASGI middleware around the agent: access log, authentication, limits and disconnects."""

import asyncio
import hmac
import logging
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError
from .state import path_of, state_of

logger = logging.getLogger(__name__)

# A client that stops reading would otherwise hold its place in the concurrency limit forever.
SEND_TIMEOUT_SECONDS = 60


@dataclass
class AccessLog:
    """Logs one line per request to the given paths."""

    app: ASGIApp
    paths: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) not in self.paths:
            await self.app(scope, receive, send)
            return
        state = state_of(scope)

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, recording_send)
        except Exception:
            state.status = state.status or 500  # the outermost middleware of Starlette sends it
            raise
        finally:
            logger.info(
                "%s %s %s in %.3f s, first event %s, trace %s",
                scope["method"],
                scope["path"],
                state.status or "disconnected",
                state.seconds(),
                "-" if state.first_event is None else f"{state.first_event:.3f} s",
                state.trace_id or "-",
            )


@dataclass
class Authentication:
    """Requires a bearer token, except for the open paths.

    Attributes:
        app: The application.
        token: The token; empty to accept all requests.
        open_paths: Paths that need no token.
    """

    app: ASGIApp
    token: str
    open_paths: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_allowed(scope):
            error = ApiError(
                401,
                "Send the server's token: `Authorization: Bearer TOKEN`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await error.response()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        if not self.token or path_of(scope) in self.open_paths:
            return True
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        is_correct = hmac.compare_digest(token.lstrip(" ").encode(), self.token.encode())
        return is_correct and scheme.lower() == "bearer"


@dataclass
class ConcurrencyLimit:
    """Limits the number of concurrent requests; others get status 429."""

    app: ASGIApp
    max_requests: int
    in_flight: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.in_flight >= self.max_requests:
            message = f"The server is at its limit of concurrent requests ({self.max_requests})."
            raise ApiError(429, f"{message} Try again.", headers={"Retry-After": "1"})
        self.in_flight += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.in_flight -= 1


@dataclass
class RequestBody:
    """Reads the request body into the state of the request, within limits."""

    app: ASGIApp
    max_bytes: int
    timeout_seconds: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoding = Headers(scope=scope).get("content-encoding", "").lower().removeprefix("x-")
        if encoding not in ("", "identity", "gzip"):
            raise ApiError(415, "The server accepts request bodies with the encoding gzip or none.")
        try:
            async with asyncio.timeout(self.timeout_seconds):
                body = await self._read(receive)
            if body is None:
                return  # nobody reads a response
            state_of(scope).body = self._unzip(body) if encoding == "gzip" else body
        except TimeoutError as error:
            message = f"The request body took longer than {self.timeout_seconds:g} s to arrive."
            raise ApiError(408, f"{message} Try again.") from error
        await self.app(scope, receive, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, or None if the client disconnected before its end."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.max_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return bytes(body)

    def _unzip(self, body: bytes) -> bytes:
        """Decompress a body, up to the limit."""
        decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16 selects gzip
        try:
            unzipped = decompressor.decompress(body, self.max_bytes + 1)
        except zlib.error as error:
            raise ApiError(400, "The request body is not valid gzip.") from error
        if len(unzipped) > self.max_bytes:
            raise self._too_large()
        if not decompressor.eof:
            raise ApiError(400, "The request body is not valid gzip: its end is missing.")
        if decompressor.unused_data:
            raise ApiError(400, "The request body has more than one gzip member. Send it as one.")
        return unzipped

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The request body is larger than {self.max_bytes:,} bytes.")


@dataclass
class CancelOnDisconnect:
    """Cancels the application when the client disconnects or stops reading, or the server stops.

    The request body must have been received: from then on, the only message is the disconnect.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        disconnect = asyncio.ensure_future(_wait_for_disconnect(receive))
        call_later = asyncio.get_running_loop().call_later

        async def limited_send(message: Message) -> None:
            timeout = call_later(SEND_TIMEOUT_SECONDS, disconnect.cancel)
            try:
                await send(message)
            finally:
                timeout.cancel()

        answer = asyncio.ensure_future(self.app(scope, receive, limited_send))
        try:
            await asyncio.wait({answer, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
            else:
                state.status = None
        except asyncio.CancelledError:
            state.is_stopping = True
            answer.cancel()
            await asyncio.wait({answer})
            if state.status is None:  # otherwise uvicorn would log an error after the response
                raise
        finally:
            disconnect.cancel()
            answer.cancel()
            await asyncio.gather(answer, disconnect, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
