"""Removes the network from a test, or shortens the timeouts of clients."""

import socket
import sys
from typing import Any

import httpx
import pytest

# The default of the clients of OpenAI and Anthropic.
LONGEST_TIMEOUT = 600
AIOHTTP_LIMITS = ("total", "connect", "sock_read", "sock_connect")


def refuse_connections(patch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines until the test ends."""
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def refuse(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not is_local(name):
            raise ConnectionRefusedError(f"This test refuses connections, such as to {name}.")

    def connect_locally(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            refuse(address[0])
        connect(self, address)

    def resolve_locally(host: Any, *arguments: Any, **options: Any) -> Any:
        refuse(host)
        return getaddrinfo(host, *arguments, **options)

    patch.setattr(socket.socket, "connect", connect_locally)
    patch.setattr(socket, "getaddrinfo", resolve_locally)


def is_local(host: str) -> bool:
    """Return whether a host is this machine."""
    return host in ("None", "", "localhost", "::1") or host.startswith("127.")


def reject_logins(patch: pytest.MonkeyPatch) -> None:
    """Let other machines answer HTTPX with status 401 until the test ends."""
    send, send_async = (
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
    )

    def reject(self: Any, request: httpx.Request) -> httpx.Response:
        return send(self, request) if is_local(request.url.host) else httpx.Response(401)

    async def reject_async(self: Any, request: httpx.Request) -> httpx.Response:
        if is_local(request.url.host):
            return await send_async(self, request)
        return httpx.Response(401)

    patch.setattr(httpx.HTTPTransport, "handle_request", reject)
    patch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", reject_async)


def shorten_timeouts(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Shorten the timeouts of clients until the test ends.

    Timeouts above `LONGEST_TIMEOUT` stay as they are, so that a test notices them.
    """
    settimeout = socket.socket.settimeout
    send = httpx.AsyncClient.send

    def shorter(timeout: float | None) -> float | None:
        return min(timeout, seconds) if timeout and timeout <= LONGEST_TIMEOUT else timeout

    def set_shorter(self: socket.socket, timeout: float | None) -> None:
        settimeout(self, shorter(timeout))

    async def send_shorter(self: Any, request: httpx.Request, **options: Any) -> httpx.Response:
        timeouts = request.extensions.get("timeout", {}).items()
        shorter_ones = {name: shorter(value) for name, value in timeouts}
        request.extensions = {**request.extensions, "timeout": shorter_ones}
        return await send(self, request, **options)

    if aiohttp := sys.modules.get("aiohttp"):
        request = vars(aiohttp.ClientSession)["_request"]

        async def request_shorter(self: Any, *arguments: Any, **options: Any) -> Any:
            timeout = options.get("timeout") or self.timeout
            if isinstance(timeout, aiohttp.ClientTimeout):
                limits = {name: shorter(getattr(timeout, name)) for name in AIOHTTP_LIMITS}
                options["timeout"] = aiohttp.ClientTimeout(**limits)
            return await request(self, *arguments, **options)

        patch.setattr(aiohttp.ClientSession, "_request", request_shorter)
    patch.setattr(socket.socket, "settimeout", set_shorter)
    patch.setattr(httpx.AsyncClient, "send", send_shorter)
