"""Measures each server under each load, in one run."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import ROOT
from benchmarks.serve.agents import make_agent
from benchmarks.serve.load import Load, generate
from benchmarks.serve.servers import Running, Server, running

SERVERS_CORE, CALLERS_CORE = 0, 1


@dataclass(frozen=True)
class Row:
    """The results of one server under one load.

    Attributes:
        server: The name of the server.
        first_start: Seconds until it was healthy at the first start, which creates the store.
        start: Seconds until it was healthy at the second start.
        callers: The number of concurrent callers.
        stream: Whether they requested streams.
        load: Their measurements.
        share: The throughput relative to the bare pass-through under the same load.
        cpu: Seconds of CPU time per answer.
        memory: Bytes in use at the end.
    """

    server: str
    first_start: float
    start: float
    callers: int
    stream: bool
    load: Load
    share: float
    cpu: float
    memory: int


def measure(callers: Sequence[int], seconds: float, only: str = "") -> Iterator[Row]:
    """Measure all servers, each under all loads; the bare pass-through is the first.

    Args:
        callers: The number of concurrent callers of each load.
        seconds: The duration of each load.
        only: A text in the names of the servers to measure, besides the bare pass-through.
    """
    bare: dict[tuple[int, bool], float] = {}
    command = [sys.executable, "-m", "benchmarks.serve.fake_model"]
    with tempfile.TemporaryDirectory() as temporary:
        agent = make_agent(Path(temporary) / "weather-agent")
        os.sched_setaffinity(0, {CALLERS_CORE})
        with running(Server("fake model", command, ROOT), CALLERS_CORE) as model:
            for server in _servers(agent, f"{model.url}/v1"):
                if not bare or only in server.name:
                    yield from _measure(server, callers, seconds, bare)


def _servers(agent: Path, model: str) -> Iterator[Server]:
    """Yield the bare pass-through, then the servers that are compared with it."""
    bare = [sys.executable, "-m", "benchmarks.serve.bare"]
    yield Server("bare pass-through", bare, ROOT, {"MODEL_URL": model})
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none"}
    serve = [str(agent / ".venv/bin/weather-agent"), "serve", "--port"]
    mlflow = [str(agent / ".venv/bin/python"), str(Path(__file__).parent / "mlflow_server.py")]
    for tracing, ratio in (("off", "0"), ("on", "1")):
        store = f"sqlite:///{agent.parent}/{tracing}.db"
        variables = llm | {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACE_SAMPLING_RATIO": ratio,
            "MLFLOW_TRACKING_URI": store,
        }
        yield Server(f"serve, tracing {tracing}", serve, agent, variables)
        yield Server(f"AgentServer, tracing {tracing}", mlflow, agent, variables)


def _measure(
    server: Server,
    callers: Sequence[int],
    seconds: float,
    bare: dict[tuple[int, bool], float],
) -> Iterator[Row]:
    with running(server, SERVERS_CORE) as first:
        pass
    with running(server, SERVERS_CORE) as started:
        for stream in (False, True):
            for number in callers:
                load, cpu = measure_load(started, callers=number, seconds=seconds, stream=stream)
                yield Row(
                    server=server.name,
                    first_start=first.start,
                    start=started.start,
                    callers=number,
                    stream=stream,
                    load=load,
                    share=load.throughput / bare.setdefault((number, stream), load.throughput),
                    cpu=cpu,
                    memory=started.memory(),
                )


def measure_load(
    server: Running, *, callers: int, seconds: float, stream: bool
) -> tuple[Load, float]:
    """Send requests to a server, after a second of warm-up.

    Returns:
        What the callers measured, and the seconds of CPU time per answer.
    """
    url = f"{server.url}/invocations"
    asyncio.run(generate(url, callers=callers, seconds=1, stream=stream))
    before = server.cpu_seconds()
    load = asyncio.run(generate(url, callers=callers, seconds=seconds, stream=stream))
    spent = server.cpu_seconds() - before
    return load, spent / max(load.answers, 1)
