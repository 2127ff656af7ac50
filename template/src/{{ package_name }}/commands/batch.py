"""Answers the rows of a table, and shows the progress: `batch`."""

import gc
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..ops.batch.columns import column_names
from ..ops.project import ProjectError

# With Spark, each commit costs seconds.
ROWS_PER_COMMIT = {"local": 500, "spark": 5000}


@dataclass(frozen=True)
class BatchOptions:
    """The arguments of `batch`; `LocalBatch` and `SparkBatch` describe them."""

    source: str
    target: str
    engine: str
    columns: Sequence[str]
    concurrency: int
    rows_per_commit: int | None
    traces_per_second: int
    model_uri: str | None
    remote: str | None

    def shared_arguments(self) -> dict[str, Any]:
        """Return the arguments that both engines share.

        Raises:
            ProjectError: The columns are invalid.
        """
        return {
            "names": column_names(self.columns),
            "concurrency": self.concurrency,
            "rows_per_commit": self.rows_per_commit or ROWS_PER_COMMIT[self.engine],
            "traces_per_second": self.traces_per_second,
        }


def run_batch(options: BatchOptions) -> int:
    """Answer the rows of a table, and print a summary.

    Returns:
        The exit code: 0 if all rows have an answer, 1 if some failed.
    """
    progress = ProgressLine(options.target)
    run = run_with_spark if options.engine == "spark" else run_locally
    try:
        run(options, progress)
    finally:
        progress.finish()
    return int(progress.failed > 0)


def run_locally(options: BatchOptions, progress: "ProgressLine") -> None:
    """Answer the rows in this process."""
    arguments = options.shared_arguments()  # before the imports, which take seconds
    # Imports create no garbage. Without garbage collection they take 25 % less time.
    gc.disable()
    import mlflow

    from ..ops.batch.agent import load_agent
    from ..ops.batch.local import LocalBatch
    from ..ops.store import connect_store

    gc.enable()
    connect_store()
    if not options.traces_per_second:
        mlflow.tracing.disable()
    batch = LocalBatch(Path(options.source), Path(options.target), **arguments)
    batch.run(load_agent(options.model_uri), progress)


def run_with_spark(options: BatchOptions, progress: "ProgressLine") -> None:
    """Answer the rows in the Python processes of Spark."""
    arguments = options.shared_arguments()
    batch = import_spark_batch()(
        options.source,
        options.target,
        **arguments,
        model_uri=options.model_uri,
        remote=options.remote or os.environ.get("SPARK_REMOTE"),
    )
    batch.run(progress)


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
    is_terminal: bool = field(default_factory=lambda: bool(sys.stderr and sys.stderr.isatty()))
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
            start, end = ("\r\x1b[K", "") if self.is_terminal else ("", "\n")
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
        start = "\n" if self.is_terminal and self.answered + self.failed else ""
        click.echo(
            f"{start}{self.answered:,} answered, {self.failed:,} failed in {seconds:.1f} s, "
            f"{self.tokens:,} tokens. The answers are in {self.target}.",
            err=True,
        )
