"""Answers the rows of a table, and shows the progress: `batch`."""

import gc
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from ..ops.batch.columns import column_names
from ..ops.project import ProjectError

# With Spark, each commit costs seconds.
ROWS_PER_COMMIT = {"local": 500, "spark": 5000}


@dataclass(frozen=True)
class BatchOptions:
    """The options of `batch`; `LocalBatch` and `SparkBatch` describe them."""

    concurrency: int
    rows_per_commit: int | None
    traces_per_second: int
    columns: Sequence[str]
    model_uri: str | None
    remote: str | None

    def limits(self, default_rows_per_commit: int) -> tuple[int, int, int]:
        """Return the numbers that both engines need, in their order."""
        rows_per_commit = self.rows_per_commit or default_rows_per_commit
        return self.concurrency, rows_per_commit, self.traces_per_second


def run_batch(source: str, target: str, engine: str, options: BatchOptions) -> int:
    """Answer the rows of a table, and print a summary.

    Returns:
        The exit code: 0 if all rows have an answer, 1 if some failed.
    """
    progress = ProgressLine(target)
    names = column_names(options.columns)
    run = run_with_spark if engine == "spark" else run_locally
    try:
        run(source, target, names, options, progress)
    finally:
        progress.finish()
    return int(progress.failed > 0)


def run_locally(
    source: str,
    target: str,
    names: Mapping[str, str],
    options: BatchOptions,
    progress: "ProgressLine",
) -> None:
    """Answer the rows in this process."""
    # These imports take seconds, and Spark needs them only in its workers. They create no garbage,
    # and take a quarter less time without searches for it.
    gc.disable()
    import mlflow

    from ..ops.batch.agent import load_agent
    from ..ops.batch.local import LocalBatch
    from ..ops.store import connect_store

    gc.enable()
    connect_store()
    if not options.traces_per_second:
        mlflow.tracing.disable()
    agent = load_agent(options.model_uri)
    limits = options.limits(ROWS_PER_COMMIT["local"])
    LocalBatch(Path(source), Path(target), names, *limits).run(agent, progress)


def run_with_spark(
    source: str,
    target: str,
    names: Mapping[str, str],
    options: BatchOptions,
    progress: "ProgressLine",
) -> None:
    """Answer the rows in the Python processes of Spark."""
    spark_batch = import_spark_batch()
    limits = options.limits(ROWS_PER_COMMIT["spark"])
    remote = options.remote or os.environ.get("SPARK_REMOTE")
    spark_batch(source, target, names, *limits, options.model_uri, remote).run(progress)


def import_spark_batch() -> type:
    """Return `SparkBatch`, which needs an extra.

    Raises:
        ProjectError: The extra is not installed.
    """
    try:
        from ..ops.batch.spark import SparkBatch
    except ImportError as error:
        raise ProjectError(
            "The engine spark needs the package pyspark. Run `uv add --optional spark "
            "'pyspark[connect]>=4,<5'`, which downloads 400 MB."
        ) from error
    return SparkBatch


@dataclass
class ProgressLine:
    """A line on standard error with the rate, the errors, the tokens and the time that is left.

    Attributes:
        target: Where the answers are.
    """

    target: str
    rows: int | None = None
    left: int = 0
    answered: int = 0
    failed: int = 0
    tokens: int = 0
    started_at: float = field(default_factory=time.monotonic)

    def start(self, *, rows: int, answered: int) -> None:
        """Show how many rows there are, and how many an earlier run has answered."""
        self.rows, self.left = rows, rows - answered
        self.started_at = time.monotonic()
        click.echo(f"{rows:,} rows, {answered:,} of them answered before.", err=True)

    def add(self, *, answered: int, failed: int, tokens: int) -> None:
        """Count rows whose answers are stored."""
        self.answered += answered
        self.failed += failed
        self.tokens += tokens
        self.left -= answered + failed
        if answered + failed:
            is_terminal = sys.stderr.isatty()
            start, end = ("\r\x1b[K", "") if is_terminal else ("", "\n")
            click.echo(f"{start}{self}{end}", err=True, nl=False)

    def __str__(self) -> str:
        done = self.answered + self.failed
        seconds = max(time.monotonic() - self.started_at, 0.001)
        minutes, seconds_left = divmod(round(self.left * seconds / max(done, 1)), 60)
        return (
            f"{done:,} rows, {done / seconds:,.1f} per second, {self.failed:,} failed, "
            f"{self.tokens:,} tokens, {minutes}:{seconds_left:02} left"
        )

    def finish(self) -> None:
        """Print the summary, unless the batch did not start."""
        if self.rows is None:
            return
        seconds = time.monotonic() - self.started_at
        start = "\n" if sys.stderr.isatty() and self.answered + self.failed else ""
        click.echo(
            f"{start}{self.answered:,} answered, {self.failed:,} failed in {seconds:.1f} s, "
            f"{self.tokens:,} tokens. The answers are in {self.target}.",
            err=True,
        )
