"""Answers a table with Spark: on this machine, over Spark Connect, or as a job on Databricks.

Only the modules `spark*.py` import pyspark. They use nothing that Spark Connect or serverless
compute lacks, such as a SparkContext.
"""

import os
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as fn

from ..project import ProjectError
from .answers import MAX_FAILURES, REQUEST_ERROR, UnusableLLMError
from .output import check_separate, open_output
from .progress import Progress
from .spark_code import in_worker, send_code
from .spark_inputs import read_questions
from .spark_outputs import TYPES, SparkFolder, SparkOutput, SparkTable, quoted
from .spark_sessions import (
    cluster_session,
    local_partition_count,
    local_session,
    partition_count,
)

# What the workers of a cluster get from the environment here; they have their own credentials.
SHARED_VARIABLES = (
    "AGENT_LLM",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
)
CHECKED_TYPES = "id string, problem string"
# The last line of a traceback, and what Spark says with the name of a condition.
_PYTHON_ERROR = re.compile(r"^(?:[\w.]*\.)?(\w+(?:Error|Exception): .*)", re.MULTILINE)
_CONDITION = re.compile(r"(\[[A-Z_.]+\] .*?)\.?\s*(?:SQLSTATE: \w+)?$", re.MULTILINE)


@dataclass(frozen=True)
class SparkBatch:
    """A batch on Spark.

    Attributes:
        source: The path of a file or a folder, or the name of a table.
        target: The folder of the output; on a cluster, the name of a table.
        names: The names of the columns in the input.
        concurrency: How many rows are answered at the same time, on all workers together.
        rows_per_commit: About how many answers are stored at once.
        traces_per_second: The number of rows per second to trace, on all workers together.
        model_uri: The model to ask; by default the agent in the package.
        remote: The URL of a Spark Connect server, or `databricks` for Databricks Connect.
    """

    source: str
    target: str
    names: Mapping[str, str]
    concurrency: int
    rows_per_commit: int
    traces_per_second: int = 1
    model_uri: str | None = None
    remote: str | None = None

    def run(self, progress: Progress) -> None:
        """Answer all rows without an answer in the output.

        Raises:
            ProjectError: The input is invalid, the output is not usable, or the LLM fails.
        """
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        try:
            with self.open_output() as output:
                self.answer(output, progress)
        except (PySparkException, Py4JJavaError) as error:
            raise ProjectError(f"Spark failed: {reason_of(error)}.") from error

    @contextmanager
    def open_output(self) -> Generator[SparkOutput]:
        """Start Spark, and refuse other runs with the same output in the block."""
        if self.is_on_cluster:
            quoted(self.target)  # before Spark starts, which takes seconds
            table = SparkTable(cluster_session(self.remote), self.target)
            with table.locked():
                yield table
        else:
            check_separate(Path(self.source), Path(self.target))
            with open_output(Path(self.target)):
                yield SparkFolder(local_session(), Path(self.target))

    @property
    def is_on_cluster(self) -> bool:
        """Whether the workers may be on other machines."""
        return bool(self.remote) or "DATABRICKS_RUNTIME_VERSION" in os.environ

    def answer(self, output: SparkOutput, progress: Progress) -> None:
        """Answer the rows slice by slice. The hash of its id selects the slice of a row."""
        spark = output.spark
        if self.remote:
            send_code(spark)
        questions = read_questions(spark, self.source, self.names, is_on_cluster=self.is_on_cluster)
        done = output.answers().filter("status = 'answered'")
        tasks = partition_count(spark) if self.is_on_cluster else local_partition_count()
        partitions = min(tasks, self.concurrency)
        check = in_worker("worker.RowChecker", *self.agent_arguments)
        checked = questions.repartition(partitions).mapInArrow(check, CHECKED_TYPES)
        rows, answered = count_questions(checked, done)
        progress.start(rows=rows, answered=answered)
        output.forget_failures()
        missing = questions.join(done, "id", "left_anti")
        answer = in_worker("worker.RowAnswerer", *self.limits(partitions), *self.agent_arguments)
        left = rows - answered
        slices = -(-left // self.rows_per_commit)
        for number in range(slices):
            part = missing.filter(fn.pmod(fn.xxhash64("id"), fn.lit(slices)) == number)
            counts = Observation()
            answers = part.repartition(partitions).mapInArrow(answer, TYPES)
            output.append(answers.observe(counts, *count_columns()))
            left -= report(counts.get, progress)
        if left > 0:
            raise ProjectError(
                f"{left:,} rows have no answer, because the LLM failed too often. Run the command "
                "again: it continues where it stopped."
            )

    def limits(self, partitions: int) -> tuple[int, float]:
        """Return how many rows of a partition are answered at once, and traced per second."""
        traces = self.traces_per_second / partitions if self.uses_store else 0
        return self.concurrency // partitions, traces

    @property
    def agent_arguments(self) -> tuple[object, ...]:
        """What a worker needs to load the agent."""
        variables = {name: os.environ[name] for name in SHARED_VARIABLES if name in os.environ}
        return self.model_uri, self.uses_store, variables

    @property
    def uses_store(self) -> bool:
        """Whether the workers use MLflow's store."""
        return not self.is_on_cluster or "MLFLOW_TRACKING_URI" in os.environ


def count_questions(checked: DataFrame, answered: DataFrame) -> tuple[int, int]:
    """Check all rows in one job, which also loads the agent in the workers.

    Args:
        checked: The id of each row, and what is wrong with it.
        answered: The answers of earlier runs.

    Returns:
        The number of rows, and how many of them have an answer.

    Raises:
        ProjectError: A row is invalid, or has the id of another one.
    """
    done = answered.select("id", fn.lit(1).alias("done")).distinct()
    counts = {"rows": "*", "done": "done"}
    columns = [fn.count(column).alias(name) for name, column in counts.items()]
    columns += [fn.countDistinct("id").alias("ids"), fn.min("problem").alias("problem")]
    found = checked.join(done, "id", "left").agg(*columns).first()
    if not found or not found["rows"]:
        raise ProjectError("The input has no rows.")
    if found["problem"]:
        raise ProjectError(f"{found['problem']}. Correct it.")
    if found["ids"] < found["rows"]:
        raise ProjectError(
            f"The input has {found['rows']:,} rows, but {found['ids']:,} ids. Give each row an id "
            "of its own."
        )
    return found["rows"], found["done"]


def count_columns() -> list[Column]:
    """Return what to count while answers are written."""
    status, tokens = fn.col("status"), fn.col("input_tokens") + fn.col("output_tokens")
    return [
        fn.count_if(status == "answered").alias("answered"),
        fn.count_if(status == "failed").alias("failed"),
        fn.count_if(fn.col("error").startswith(f"{REQUEST_ERROR}: ")).alias("invalid"),
        fn.coalesce(fn.sum(tokens), fn.lit(0)).alias("tokens"),
        fn.max("error").alias("error"),
    ]


def report(counts: Mapping[str, Any], progress: Progress) -> int:
    """Report the counts of a slice, and return its number of rows.

    Raises:
        UnusableLLMError: Many valid questions failed, and none was answered.
    """
    answered, failed = counts.get("answered", 0), counts.get("failed", 0)
    progress.add(answered=answered, failed=failed, tokens=counts.get("tokens", 0))
    failures = failed - counts.get("invalid", 0)
    if failures >= MAX_FAILURES and not answered:
        raise UnusableLLMError(failures, counts["error"])
    return answered + failed


def reason_of(error: Exception) -> str:
    """Return the error of a worker, or what Spark says, without tracebacks."""
    text = str(error).strip()
    if raised := _PYTHON_ERROR.findall(text):
        return raised[-1].rstrip(".")
    condition = _CONDITION.search(text)
    return (condition[1] if condition else text.partition("\n")[0]).rstrip(".")
