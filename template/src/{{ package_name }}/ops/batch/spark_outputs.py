"""Where Spark writes the answers: a folder of this machine, or a table of a cluster."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession

from ..project import ProjectError
from .output import forget_failures

TYPES = "id string, answer string, output string, error string, attempts int, seconds double, "
TYPES += "input_tokens bigint, output_tokens bigint, trace_id string, status string"
TABLE_NAME = re.compile(r"[^\s./`]+(\.[^\s./`]+){0,2}")


class SparkOutput(Protocol):
    """The output of a batch, which is also its checkpoint."""

    @property
    def spark(self) -> SparkSession:
        """The session."""

    def answers(self) -> DataFrame:
        """Return the rows of earlier runs."""

    def forget_failures(self) -> None:
        """Delete the failed rows of earlier runs, which are repeated."""

    def append(self, answers: DataFrame) -> None:
        """Add rows; a reader sees all of them or nothing."""


@dataclass(frozen=True)
class SparkFolder:
    """A folder of Parquet files, as the engine local writes them.

    Attributes:
        spark: The session.
        path: The folder.
    """

    spark: SparkSession
    path: Path

    def answers(self) -> DataFrame:
        """Return the rows of earlier runs."""
        return self.spark.read.schema(TYPES).parquet(str(self.path))

    def forget_failures(self) -> None:
        """Delete the failed rows of earlier runs, which are repeated."""
        forget_failures(self.path)

    def append(self, answers: DataFrame) -> None:
        """Add rows; Spark moves its files into the folder when all of them are complete."""
        answers.write.mode("append").partitionBy("status").parquet(str(self.path))


@dataclass(frozen=True)
class SparkTable:
    """A table in the catalog of a cluster.

    Attributes:
        spark: The session.
        name: The name of the table, such as `main.support.answers`.
    """

    spark: SparkSession
    name: str

    def answers(self) -> DataFrame:
        """Return the rows of earlier runs."""
        if not self.spark.catalog.tableExists(self._quoted):
            return self.spark.createDataFrame([], TYPES)
        table = self.spark.table(self._quoted)
        if missing := {"id", "status"} - set(table.columns):
            raise ProjectError(
                f"The table {self.name} has no column {sorted(missing)[0]!r}, so it is not the "
                "output of a batch. Choose another output."
            )
        # Spark adds what a killed run has left to the next write of a table of Parquet files. Let
        # it do so now, so that these rows count as answered.
        self.append(self.spark.createDataFrame([], TYPES))
        return self.spark.table(self._quoted)

    def forget_failures(self) -> None:
        """Delete the failed rows of earlier runs, which are repeated."""
        if not self.spark.catalog.tableExists(self._quoted):
            return
        try:
            self.spark.sql(f"DELETE FROM {self._quoted} WHERE status = 'failed'").collect()
        except PySparkException as error:
            # Tables of Parquet files can only drop a partition.
            if "UNSUPPORTED" not in (error.getCondition() or ""):
                raise
            self.spark.sql(
                f"ALTER TABLE {self._quoted} DROP IF EXISTS PARTITION (status = 'failed')"
            ).collect()

    def append(self, answers: DataFrame) -> None:
        """Add rows."""
        answers.write.mode("append").partitionBy("status").saveAsTable(self._quoted)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Refuse other runs in the block, with a table that only one of them can create.

        Raises:
            ProjectError: Another run writes to the table, or a run was killed.
        """
        lock = f"{self.name}_lock"
        try:
            self.spark.sql(f"CREATE TABLE {quoted(lock)} (run STRING)").collect()
        except AnalysisException as error:
            if "ALREADY_EXISTS" not in (error.getCondition() or ""):
                raise
            raise ProjectError(
                f"Another batch writes to {self.name}. Wait until it ends. If it was killed, run "
                f"`DROP TABLE {lock}` when its Spark job has ended."
            ) from error
        try:
            yield
        finally:
            self.spark.sql(f"DROP TABLE IF EXISTS {quoted(lock)}").collect()

    @property
    def _quoted(self) -> str:
        return quoted(self.name)


def quoted(name: str) -> str:
    """Return the name of a table for SQL.

    Raises:
        ProjectError: It is not the name of a table.
    """
    if not TABLE_NAME.fullmatch(name):
        raise ProjectError(
            f"{name!r} is not the name of a table. On a cluster, the output is a table, such as "
            "main.support.answers."
        )
    return ".".join(f"`{part}`" for part in name.split("."))
