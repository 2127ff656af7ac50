"""The output of a batch: a folder of Parquet files, which is also its checkpoint.

Answered and failed rows are in the folders `status=answered` and `status=failed`, as Spark writes
them with `partitionBy("status")`. Readers of the folder get the column `status`, and each id once.
"""

import re
import shutil
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ..project import ProjectError
from .answers import Answer

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("answer", pa.string()),
        ("output", pa.string()),
        ("error", pa.string()),
        ("attempts", pa.int32()),
        ("seconds", pa.float64()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("trace_id", pa.string()),
    ]
)
ANSWERED, FAILED = "status=answered", "status=failed"
UNFINISHED = "_temporary"  # the files of tasks, which Spark moves when all tasks have ended


@contextmanager
def open_output(folder: Path) -> Generator[None]:
    """Create the folder, and refuse other runs in the block.

    The operating system releases the lock when the process ends, however it ends.

    Raises:
        ProjectError: Another run uses the folder, or it cannot be written.
    """
    check_output(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(
            f"Cannot create {folder}: {error.strerror}. Choose another output."
        ) from error
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(closing(sqlite3.connect(folder / "_lock", timeout=0)))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise ProjectError(
                    f"Cannot write to {folder}: {error}. Make room, or choose another output."
                ) from error
            raise ProjectError(
                f"Another batch writes to {folder}. Wait until it ends, or choose another output."
            ) from error
        delete(folder / UNFINISHED)  # Spark would add the files of a killed run to its next write
        yield


def check_output(folder: Path) -> None:
    """Check that a folder has only files of a batch, because readers would read others as answers.

    Raises:
        ProjectError: The folder is a file or a URL, or contains other files.
    """
    if re.match(r"\w{2,}:/", str(folder)):
        raise ProjectError(f"{folder} is a URL. Choose a folder of this machine as the output.")
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{folder} is a file. Choose another output.")
    names = (path.name for path in folder.glob("*"))
    if other := next((name for name in names if not name.startswith(("_", ".", "status="))), None):
        raise ProjectError(
            f"{folder} contains {other!r}, which a batch did not write. Choose another output."
        )


def check_separate(source: Path, folder: Path) -> None:
    """Check that the output is not in the folder of the input.

    Otherwise, the next run would read answers as questions.

    Raises:
        ProjectError: The output is in the folder of the input.
    """
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise ProjectError(f"{folder} is in the folder of the input. Choose another output.")


def answered_ids(folder: Path) -> set[str]:
    """Return the ids with an answer.

    Raises:
        ProjectError: The folder contains files that a batch did not write.
    """
    if not (folder / ANSWERED).is_dir():
        return set()
    try:
        table = ds.dataset(folder / ANSWERED, SCHEMA, format="parquet").to_table(columns=["id"])
    except (pa.ArrowException, OSError) as error:
        raise ProjectError(
            f"{folder} contains files that a batch did not write: {error}. Choose another output."
        ) from error
    return set(table.column("id").to_pylist())


def forget_failures(folder: Path) -> None:
    """Delete the failed rows of earlier runs, which are repeated.

    Raises:
        ProjectError: They cannot be deleted, so readers would see them beside the new answers.
    """
    delete(folder / FAILED)


def delete(folder: Path) -> None:
    """Delete a folder, if it exists.

    Raises:
        ProjectError: It cannot be deleted.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ProjectError(
            f"Cannot delete {folder}: {error.strerror or error}. Check the permissions of "
            "the folder, or choose another output."
        ) from error


def commit(folder: Path, answers: Iterable[Answer], name: str) -> None:
    """Add answers to the folder; a reader sees all of a file or nothing.

    An interrupted commit can be repeated, because its files have the same names.

    Args:
        folder: The folder of the output.
        answers: The answers.
        name: A name that no other commit has.

    Raises:
        ProjectError: The files cannot be written.
    """
    by_status: dict[str, list[dict[str, object]]] = {}
    for one in answers:
        row = one.as_row()
        by_status.setdefault(f"status={row.pop('status')}", []).append(row)
    for status, rows in sorted(by_status.items()):  # answers first: the disk may become full
        target = folder / status
        hidden = target / f"_{name}.parquet.tmp"
        try:
            target.mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), hidden)
            hidden.replace(target / f"part-{name}.parquet")
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise ProjectError(
                f"Cannot write to {folder}: {error.strerror or error}. Make room or choose another "
                "output, and run the command again: it continues where it stopped."
            ) from error
