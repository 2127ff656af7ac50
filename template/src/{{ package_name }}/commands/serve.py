"""Starts the server, after a check of the port that needs no slow import."""

import errno
import socket

from ..ops.project import ProjectError


def run_server(host: str, port: int, *, workers: int, reload: bool) -> None:
    """Serve the agent at an address until SIGTERM or Ctrl+C."""
    with listen(host, port) as listener:
        from ..server import serve

        serve(listener, workers=workers, reload=reload)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ProjectError: The port is in use, or the host is not an address of this machine.
    """
    host = host.strip("[]")  # as in a URL
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it; asyncio sets it only for sockets that it creates itself.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} is in use. Stop the program that uses it, or pass another"
            raise ProjectError(f"{message} --port.") from error
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise ProjectError(
            f"Cannot listen at {host}, port {port}: {reason}. Pass another --host or --port."
        ) from error
