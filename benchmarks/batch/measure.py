"""Measures the ways to answer the rows of a table."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.batch.plain import LOOP_ROWS
from benchmarks.environment import environment
from benchmarks.serve.agents import make_agent

LOOP = f"loop, from {LOOP_ROWS} rows"


@dataclass(frozen=True)
class Result:
    """How long it takes to answer all rows.

    Attributes:
        way: What answers them.
        seconds: The duration.
    """

    way: str
    seconds: float


@dataclass(frozen=True)
class Bench:
    """An agent, and a folder for its tables.

    Attributes:
        agent: The folder of the agent.
        folder: The folder for inputs and outputs.
        variables: The environment variables, which select the fake model.
        options: The options of `batch`.
        concurrency: How many rows are answered at the same time.
    """

    agent: Path
    folder: Path
    variables: Mapping[str, str]
    options: list[str]
    concurrency: int

    def measure(self, rows: int, engines: list[str]) -> Iterator[Result]:
        """Answer a table in all ways, one after another.

        Args:
            rows: The number of rows.
            engines: The engines of `batch` to measure.
        """
        source = self.folder / f"{rows}.parquet"
        write_questions(source, rows)
        plain = [self.program("python"), str(Path(__file__).parent / "plain.py"), str(source)]
        target = self.folder / f"{rows}-plain.parquet"
        yield Result(LOOP, rows * float(self.run([*plain, str(target)])))
        started_at = time.perf_counter()
        self.run([*plain, str(target), str(self.concurrency)])
        yield Result("plain asyncio", time.perf_counter() - started_at)
        for engine in engines:
            yield from self.batch(source, rows, engine)

    def batch(self, source: Path, rows: int, engine: str) -> Iterator[Result]:
        """Answer a table with `batch`, and yield the times of the process and of its rows.

        The second time is from the arrival of the line with the number of rows on standard error,
        which `batch` prints before the first row, to the arrival of the summary, its last line.
        """
        target = self.folder / f"{source.stem}-{engine}"
        command = [self.program("weather-agent"), "batch", str(source), str(target)]
        command += ["--engine", engine, "--concurrency", str(self.concurrency), *self.options]
        started_at = time.perf_counter()
        with subprocess.Popen(
            command, cwd=self.agent, env=self.environment(), stderr=subprocess.PIPE, text=True
        ) as process:
            lines = [(time.perf_counter(), line) for line in process.stderr or ()]
        seconds = time.perf_counter() - started_at
        arrivals = [at for at, line in lines if line.startswith(f"{rows:,} rows, 0 of them")]
        if process.returncode or not arrivals or f"{rows:,} answered, 0 failed" not in lines[-1][1]:
            raise SystemExit("".join(line for _, line in lines))
        yield Result(f"batch, {engine}", seconds)
        yield Result("  without its start", lines[-1][0] - arrivals[0])

    def run(self, command: list[str]) -> str:
        """Run a command, which must succeed, and return its output."""
        return subprocess.run(
            command,
            cwd=self.agent,
            env=self.environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def environment(self) -> dict[str, str]:
        """Return the variables of all commands."""
        return environment() | dict(self.variables)

    def program(self, name: str) -> str:
        """Return the path of a program in the environment of the agent."""
        return str(self.agent / ".venv/bin" / name)


def prepare(folder: Path, model: str, options: list[str], concurrency: int, spark: bool) -> Bench:
    """Create an agent and its store, which takes a few seconds once, and is not measured."""
    agent = make_agent(folder / "weather-agent")
    if spark:
        add = ("uv", "add", "--quiet", "--optional=spark", "pyspark[connect]>=4,<5")
        subprocess.run(add, cwd=agent, env=environment(), check=True)
        sync = ("uv", "sync", "--quiet", "--no-dev", "--extra=spark", "--compile-bytecode")
        subprocess.run(sync, cwd=agent, env=environment(), check=True)
    variables = {
        "AGENT_LLM": "openai:/m",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": model,
    }
    bench = Bench(agent, folder, variables, options, concurrency)
    write_questions(folder / "1.parquet", 1)
    for _ in bench.batch(folder / "1.parquet", 1, "local"):
        pass
    return bench


def write_questions(path: Path, rows: int) -> None:
    """Write a table with questions."""
    questions = [f"Count to twenty. This is row {number}." for number in range(rows)]
    pq.write_table(pa.table({"id": range(rows), "question": questions}), path)
