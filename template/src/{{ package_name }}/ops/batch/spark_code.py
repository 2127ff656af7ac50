"""Runs the package in the Python processes of Spark, which may lack it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pyarrow as pa
from pyspark.sql import SparkSession

from ..project import PACKAGE

FOLDER = "agent-code"  # on the workers, below the folder for files of Spark

Batches = Iterator[pa.RecordBatch]


def send_code(spark: SparkSession) -> None:
    """Send the package to the workers of a cluster."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "agent.zip"
        with ZipFile(archive, "w") as file:
            for path in PACKAGE.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    file.write(path, path.relative_to(PACKAGE.parent))
        spark.addArtifacts(f"{archive}#{FOLDER}", archive=True)


def in_worker(class_path: str, *arguments: object) -> Callable[[Batches], Batches]:
    """Return a function that calls a class of this folder in a worker.

    Spark sends nested functions with their code, so a worker can receive it without the package.

    Args:
        class_path: The module and the class, such as `worker.RowChecker`.
        arguments: The arguments of the class, without objects of the package.
    """
    module, _, class_name = f"{__package__}.{class_path}".rpartition(".")
    folder = FOLDER

    def call(batches: Batches) -> Batches:
        import sys
        from importlib import import_module
        from pathlib import Path

        from pyspark import SparkFiles

        code = Path(SparkFiles.getRootDirectory()) / folder
        if code.is_dir() and str(code) not in sys.path:
            sys.path.insert(0, str(code))
        return getattr(import_module(module), class_name)(*arguments)(batches)

    return call
