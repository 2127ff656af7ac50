"""Measures `serve` of an agent of each framework against a server around the framework alone.

Creates the agents from the last commit. Both servers use the same environment and a fake model with
the timing of a real one, and answer in turns, without traces. `share` is the throughput relative to
the framework alone, and `CPU` the additional CPU time per answer.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.environment import ROOT
from benchmarks.frameworks.bare import FRAMEWORKS
from benchmarks.serve.agents import make_agent
from benchmarks.serve.measure import CALLERS_CORE, SERVERS_CORE, measure_load
from benchmarks.serve.servers import Server, running

CALLERS = 64


def servers(framework: str, agent: Path, model: str) -> Iterator[Server]:
    """Yield the server around the framework alone, and that of the agent."""
    variables = {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "AGENT_LLM": "openai:/m",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "MLFLOW_TRACKING_URI": f"sqlite:///{agent.parent}/mlflow.db",
    }
    bare = [str(agent / ".venv/bin/python"), str(Path(__file__).parent / "bare.py"), framework]
    yield Server("bare", bare, agent, variables)
    yield Server(
        "serve", [str(agent / ".venv/bin/weather-agent"), "serve", "--port"], agent, variables
    )


def measure(framework: str, agent: Path, model: str, *, rounds: int, seconds: float) -> None:
    """Print the share and the additional CPU time of each round, whole and streamed."""
    bare, serve = servers(framework, agent, model)
    with running(bare, SERVERS_CORE) as one, running(serve, SERVERS_CORE) as other:
        for stream in (False, True):
            shares, costs = [], []
            for _ in range(rounds):
                alone, served = (
                    measure_load(server, callers=CALLERS, seconds=seconds, stream=stream)
                    for server in (one, other)
                )
                for load, _ in (alone, served):
                    if load.errors:
                        raise SystemExit(f"{framework}: {load.errors[0]}")
                shares.append(served[0].throughput / alone[0].throughput)
                costs.append(served[1] / alone[1] - 1)
            kind = "streamed" if stream else "whole"
            print(
                f"{framework:15}{kind:10}{alone[0].throughput:7.1f} per s"
                f"{statistics.median(shares):7.2f}{statistics.median(costs):+8.0%}"
                f"  ({min(costs):+.0%} to {max(costs):+.0%})",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="per load (default: 8)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(FRAMEWORKS), choices=list(FRAMEWORKS))
    options = parser.parse_args()
    print(f"{'':15}{'':10}{'bare':>13}{'share':>7}{'CPU':>8}")
    os.sched_setaffinity(0, {CALLERS_CORE})
    command = [sys.executable, "-m", "benchmarks.serve.fake_model"]
    with (
        tempfile.TemporaryDirectory() as temporary,
        running(Server("fake model", command, ROOT), CALLERS_CORE) as model,
    ):
        for framework in options.only:
            agent = make_agent(Path(temporary) / framework, framework=framework)
            measure(
                framework,
                agent,
                f"{model.url}/v1",
                rounds=options.rounds,
                seconds=options.seconds,
            )


if __name__ == "__main__":
    main()
