"""Generates load: concurrent callers, each of which sends one request after another."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

QUESTION: dict[str, Any] = {"input": [{"role": "user", "content": "Count to twenty."}]}


@dataclass
class Load:
    """What callers measured; all times are in seconds."""

    answers: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    first_deltas: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latencies."""
        return percentile(self.latencies, percent)

    def first_delta(self) -> float | None:
        """Return the median time to the first delta; None if nothing was streamed."""
        return statistics.median(self.first_deltas) if self.first_deltas else None


def percentile(values: list[float], percent: int) -> float:
    """Return the value that this percentage of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def generate(url: str, *, callers: int, seconds: float, stream: bool) -> Load:
    """Send requests for some time, and wait for those that are running at the end."""
    load = Load()
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    started_at = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        asking = (
            _caller(session, url, load, until=started_at + seconds, stream=stream)
            for _ in range(callers)
        )
        await asyncio.gather(*asking)
    load.seconds = time.perf_counter() - started_at
    return load


async def _caller(
    session: aiohttp.ClientSession, url: str, load: Load, *, until: float, stream: bool
) -> None:
    body = QUESTION | {"stream": True} if stream else QUESTION
    while (started_at := time.perf_counter()) < until:
        try:
            async with session.post(url, json=body) as response:
                read = _read(response, load, started_at) if stream else response.read()
                received = await read
                assert response.status == 200, f"{response.status}: {received[:200]!r}"
                assert b"token19" in received, received[:200]
        except (aiohttp.ClientError, AssertionError, TimeoutError) as error:
            load.errors.append(repr(error))
            await asyncio.sleep(0.1)
            continue
        load.answers += 1
        load.latencies.append(time.perf_counter() - started_at)


async def _read(response: aiohttp.ClientResponse, load: Load, started_at: float) -> bytes:
    """Read a stream, and record the time to its first delta."""
    received = b""
    waiting = True
    async for piece in response.content.iter_any():
        received += piece
        if waiting and b"output_text.delta" in received:
            load.first_deltas.append(time.perf_counter() - started_at)
            waiting = False
    return received
