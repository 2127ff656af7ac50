"""Sessions of Spark: on this machine, on a Spark Connect server, and on Databricks."""

import os
import socket
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO
from urllib.parse import SplitResult, urlsplit

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as fn

from ..project import ProjectError

DEFAULT_PORT = 15002  # of Spark Connect
CONNECT_TIMEOUT = 10  # seconds
# A batch waits for the LLM, so Java needs to start soon rather than to compile for speed.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def cluster_session(remote: str | None) -> SparkSession:
    """Connect to a Spark Connect server, or return the session of a job on Databricks.

    Raises:
        ProjectError: The server is not reachable, or Databricks Connect is not installed.
    """
    if remote == "databricks":
        return _databricks_session()
    if not remote:
        return SparkSession.builder.getOrCreate()
    if remote.startswith("sc://"):
        _check_reachable(urlsplit(remote))
    return SparkSession.builder.remote(remote).getOrCreate()


def _databricks_session() -> SparkSession:
    try:
        from databricks.connect import DatabricksSession
    except ImportError as error:
        raise ProjectError(
            "--remote databricks needs the package databricks-connect. Install the version of the "
            "cluster's runtime instead of pyspark."
        ) from error
    return DatabricksSession.builder.getOrCreate()


def _check_reachable(url: SplitResult) -> None:
    """Check that a server accepts connections; Spark Connect tries for ten minutes."""
    host, port = url.hostname or "", url.port or DEFAULT_PORT
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ProjectError(
            f"Cannot connect to the Spark Connect server {host}:{port}: {error}. Check --remote."
        ) from error


def local_session() -> SparkSession:
    """Start Spark on this machine.

    Raises:
        ProjectError: Spark does not start.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # for the workers
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # other machines must not connect
    settings = {
        "spark.driver.extraJavaOptions": JAVA_OPTIONS,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",  # errors are raised as well
        "spark.sql.shuffle.partitions": str(local_partition_count()),
    }
    with tempfile.TemporaryFile("w+") as messages:
        try:
            with standard_error_in(messages):
                builder = SparkSession.builder.master(f"local[{local_partition_count()}]")
                return builder.config(map=settings).getOrCreate()
        except (PySparkException, OSError) as error:
            messages.seek(0)
            reason = (messages.read().strip().splitlines() or [str(error)])[-1]
            raise ProjectError(
                f"Spark does not start: {reason}. Check that Java 17 or a newer one is installed."
            ) from error


@contextmanager
def standard_error_in(file: IO[str]) -> Generator[None]:
    """Redirect what this process and its children write to standard error in the block."""
    original = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)


def local_partition_count() -> int:
    """Return how many tasks Spark runs at the same time on this machine."""
    return os.cpu_count() or 1


def partition_count(spark: SparkSession) -> int:
    """Return how many tasks Spark runs at the same time; Spark Connect has no SparkContext."""
    ids = spark.range(10_000).select(fn.spark_partition_id().alias("number"))
    return ids.distinct().count()
