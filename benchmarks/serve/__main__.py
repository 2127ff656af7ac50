"""Measures `serve` of a generated agent against a bare pass-through, in one run.

Makes an agent of the last commit. The model behind all servers is fake and takes the time of a real
one: 20 tokens, 20 ms apart. Each server has one core for itself; the model and the callers have
another. `share` is what the bare pass-through did in the same run with as many callers, as 1.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serve.agents import ROOT, make_agent
from benchmarks.serve.load import Load, generate
from benchmarks.serve.servers import Running, Server, running

SERVERS_CORE, CALLERS_CORE = 0, 1
TITLES = f"{'':30}{'per s':>7}{'share':>7}{'p50':>7}{'p95':>7}{'first':>7}{'CPU':>8}{'MiB':>6}"


@dataclass(frozen=True)
class Measured:
    """What one server did under one load: CPU seconds an answer, and bytes at the end."""

    load: Load
    cpu: float
    memory: int


def measure(server: Running, *, callers: int, seconds: float, stream: bool) -> Measured:
    """Let callers ask a server, after a second that does not count."""
    url = f"{server.url}/invocations"
    asyncio.run(generate(url, callers=callers, seconds=1, stream=stream))
    before = server.processor_time()
    load = asyncio.run(generate(url, callers=callers, seconds=seconds, stream=stream))
    spent = server.processor_time() - before
    return Measured(load, spent / max(load.answers, 1), server.memory())


def servers(agent: Path, model: str) -> Iterator[Server]:
    """The bare pass-through first, then what is measured against it."""
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


def report(
    server: Server, options: argparse.Namespace, bare: dict[tuple[int, bool], float]
) -> None:
    """Measure a server under every load, and print a line for each."""
    with running(server, SERVERS_CORE) as first:  # which may have a store to make
        pass
    with running(server, SERVERS_CORE) as started:
        begins = f"healthy after {first.start:.1f} s, then after {started.start:.1f} s"
        print(f"{server.name}, {begins}", flush=True)
        for stream in (False, True):
            for callers in options.callers:
                done = measure(started, callers=callers, seconds=options.seconds, stream=stream)
                share = done.load.throughput / bare.setdefault(
                    (callers, stream), done.load.throughput
                )
                print(line(done, share, callers=callers, stream=stream), flush=True)


def line(done: Measured, share: float, *, callers: int, stream: bool) -> str:
    """A line of the table; times in milliseconds."""
    load, first = done.load, done.load.first_delta()
    return (
        f"  {callers:2} callers, {'streamed' if stream else 'whole':15}"
        f"{load.throughput:9.1f}{share:7.2f}"
        f"{load.percentile(50) * 1000:7.0f}{load.percentile(95) * 1000:7.0f}"
        f"{'' if first is None else f'{first * 1000:.0f}':>7}"
        f"{done.cpu * 1000:8.2f}{done.memory / 2**20:6.0f}"
        f"{f'  {len(load.errors)} errors: {load.errors[0]}' if load.errors else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="of each load (default: 8)")
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--only", default="", help="measure servers of this name alone")
    options = parser.parse_args()
    model = Server("fake model", [sys.executable, "-m", "benchmarks.serve.fake_model"], ROOT)
    bare: dict[tuple[int, bool], float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        agent = make_agent(Path(temporary) / "weather-agent")
        os.sched_setaffinity(0, {CALLERS_CORE})
        print(TITLES)
        with running(model, CALLERS_CORE) as answering:
            for server in servers(agent, f"{answering.url}/v1"):
                if not bare or options.only in server.name:
                    report(server, options, bare)


if __name__ == "__main__":
    main()
