"""Checks `serve` of a generated agent for leaks of memory, descriptors and threads.

Creates an agent from the last commit. Callers request complete and streamed answers in turn, and
disconnect in the middle of every tenth. The fake model is fast: 20 tokens, 1 ms apart.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import aiohttp

from benchmarks.environment import ROOT
from benchmarks.serve.agents import make_agent
from benchmarks.serve.load import QUESTION
from benchmarks.serve.servers import Running, Server, running

SERVER_CORE, CALLERS_CORE = 0, 1
TITLES = f"{'requests':>10}{'MiB':>8}{'descriptors':>13}{'threads':>9}{'seconds':>9}"


async def soak(url: str, numbers: Iterator[int], *, callers: int, requests: int) -> None:
    """Send requests from concurrent callers; the number of a request selects its kind."""
    timeout = aiohttp.ClientTimeout(total=120)
    left = iter(range(requests))
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def caller() -> None:
            for _ in left:
                await ask(session, url, next(numbers))

        await asyncio.gather(*(caller() for _ in range(callers)))


async def ask(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """Request a complete or a streamed answer; disconnect in the middle of every tenth."""
    body = QUESTION | {"stream": number % 2 == 1}
    async with session.post(url, json=body) as response:
        assert response.status == 200, f"{response.status}: {await response.text()}"
        if number % 10 == 9:
            await response.content.readline()
            response.close()
        else:
            assert "token19" in await response.text()


def servers(agent: Path, model: str) -> Iterator[Server]:
    """Yield the server without traces, with the default number of traces, and with all traces."""
    serve = [str(agent / ".venv/bin/weather-agent"), "serve", "--port"]
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none"}
    for number, (name, variables) in enumerate(
        {
            "nothing traced": {"MLFLOW_TRACE_SAMPLING_RATIO": "0"},
            "5 per second traced": {},
            "all traced": {"AGENT_TRACES_PER_SECOND": "1000"},
        }.items()
    ):
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{agent.parent}/{number}.db"}
        yield Server(
            name, serve, agent, {"MLFLOW_DISABLE_TELEMETRY": "true"} | llm | store | variables
        )


def report(server: Server, options: argparse.Namespace) -> None:
    """Send requests to a server, and print a line after each step."""
    numbers = count()
    with running(server, SERVER_CORE) as started:
        print(server.name, line(started, 0, 0), sep="\n", flush=True)
        for done in range(options.step, options.requests + 1, options.step):
            started_at = time.perf_counter()
            url = f"{started.url}/responses"
            asyncio.run(soak(url, numbers, callers=options.callers, requests=options.step))
            print(line(started, done, time.perf_counter() - started_at), flush=True)


def line(server: Running, requests: int, seconds: float) -> str:
    """Return a line of the table."""
    return (
        f"{requests:10,}{server.memory() / 2**20:8.1f}{server.descriptors():13}"
        f"{server.threads():9}{seconds:9.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="per server (default: 5000)")
    parser.add_argument("--step", type=int, default=1000, help="requests per line (default: 1000)")
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument(
        "--only", default="", help="measure only servers with this text in their name"
    )
    options = parser.parse_args()
    fast = {"SECONDS_BETWEEN_TOKENS": "0.001"}
    command = [sys.executable, "-m", "benchmarks.serve.fake_model"]
    with tempfile.TemporaryDirectory() as temporary:
        agent = make_agent(Path(temporary) / "weather-agent")
        print(TITLES)
        with running(Server("fake model", command, ROOT, fast), CALLERS_CORE) as model:
            for server in servers(agent, f"{model.url}/v1"):
                if options.only in server.name:
                    report(server, options)


if __name__ == "__main__":
    main()
