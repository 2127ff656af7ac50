"""Callers that ask one after the other, for as long as the measurement lasts."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

QUESTION: dict[str, Any] = {"input": [{"role": "user", "content": "Count to twenty."}]}


@dataclass
class Load:
    """What callers saw: all times in seconds."""

    answers: int = 0
    errors: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    first_deltas: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def percentile(self, percent: int) -> float:
        """A percentile of the latencies."""
        return percentile(self.latencies, percent)

    def first_delta(self) -> float | None:
        """The median time to the first delta; None when nothing was streamed."""
        return statistics.median(self.first_deltas) if self.first_deltas else None


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def generate(url: str, *, callers: int, seconds: float, stream: bool) -> Load:
    """Let callers ask an agent for some time; what is under way at the end is waited for."""
    load = Load()
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    begun = time.perf_counter()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        asking = (
            _caller(session, url, load, until=begun + seconds, stream=stream)
            for _ in range(callers)
        )
        await asyncio.gather(*asking)
    load.seconds = time.perf_counter() - begun
    return load


async def _caller(
    session: aiohttp.ClientSession, url: str, load: Load, *, until: float, stream: bool
) -> None:
    body = QUESTION | {"stream": True} if stream else QUESTION
    while (begun := time.perf_counter()) < until:
        try:
            async with session.post(url, json=body) as response:
                whole = await _read(response, load, begun) if stream else await response.read()
                assert response.status == 200, f"{response.status}: {whole[:200]!r}"
                assert b"token19" in whole, whole[:200]
        except (aiohttp.ClientError, AssertionError, TimeoutError) as error:
            load.errors.append(repr(error))
            await asyncio.sleep(0.1)
            continue
        load.answers += 1
        load.latencies.append(time.perf_counter() - begun)


async def _read(response: aiohttp.ClientResponse, load: Load, begun: float) -> bytes:
    """Read a stream, and note when the first delta came."""
    whole = b""
    waiting = True
    async for piece in response.content.iter_any():
        whole += piece
        if waiting and b"output_text.delta" in whole:
            load.first_deltas.append(time.perf_counter() - begun)
            waiting = False
    return whole
