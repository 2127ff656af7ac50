"""A test without a network."""

import socket
from typing import Any

import pytest


def refuse_connections(patch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines until the test ends."""
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def refuse(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in ("None", "", "localhost", "::1") and not name.startswith("127."):
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
