"""Starts the servers to measure, each on its own core, and reads the resources they use."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

STARTUP_SECONDS = 60  # until a server must be healthy


@dataclass(frozen=True)
class Server:
    """A program that listens on the port that is its last argument."""

    name: str
    command: list[str]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: Its address.
        process: The process that was started.
        start: How long it took to answer, in seconds.
    """

    url: str
    process: psutil.Process
    start: float

    def cpu_seconds(self) -> float:
        """Return the seconds of CPU time used so far, including child processes."""
        return sum(sum(one.cpu_times()[:2]) for one in self._processes())

    def memory(self) -> int:
        """Return the resident memory in bytes, including child processes."""
        return sum(one.memory_info().rss for one in self._processes())

    def descriptors(self) -> int:
        """Return the number of open files and sockets, including child processes."""
        return sum(one.num_fds() for one in self._processes())

    def threads(self) -> int:
        """Return the number of threads, including child processes."""
        return sum(one.num_threads() for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(server: Server, core: int) -> Generator[Running]:
    """Run a server on one core until the block ends."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    started_at = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*server.command, str(port)],
            cwd=server.folder,
            env=os.environ | dict(server.variables),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            watched = psutil.Process(process.pid)
            watched.cpu_affinity([core])
            url = f"http://127.0.0.1:{port}"
            while not _healthy(url):
                if process.poll() is not None or time.perf_counter() - started_at > STARTUP_SECONDS:
                    log.seek(0)
                    raise SystemExit(f"{server.name} does not start:\n{log.read().decode()}")
                time.sleep(0.02)
            yield Running(url, watched, time.perf_counter() - started_at)
        finally:
            _stop(process)


def _healthy(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/health").status_code == httpx.codes.OK
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()
