"""Reads tables on this machine: Parquet, JSON lines, CSV and Delta."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from ...runtime.validation import parse_json
from ..project import ProjectError

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".csv": "csv"}

csv.field_size_limit(2**31 - 1)  # by default, 128 KiB

Row = dict[str, Any]


@dataclass(frozen=True)
class ArrowTable:
    """A table that Arrow reads.

    Attributes:
        path: The file or the folder.
        content: The content.
    """

    path: Path
    content: ds.Dataset

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.content.schema.names

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield some columns of each row, without loading the whole table.

        Raises:
            ProjectError: The table cannot be read.
        """
        present = [name for name in columns if name in self.columns]
        try:
            for batch in self.content.to_batches(present, batch_size=1000, batch_readahead=1):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class TextTable:
    """A file with JSON lines or CSV. Arrow would convert dates, and accept an unclosed quote.

    Attributes:
        path: The file.
        parse: Yields the rows of the open file.
    """

    path: Path
    parse: Callable[[Iterable[str]], Iterator[Row]]

    @property
    def columns(self) -> list[str]:
        """The names in all rows, which this reads."""
        return list(dict.fromkeys(name for row in self.rows() for name in row))

    def rows(self, _columns: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the rows, with all their columns.

        Raises:
            ProjectError: The file cannot be read.
        """
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as lines:
                yield from self.parse(lines)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error


def parse_row(line: str) -> Row:
    """Parse a line of a file with JSON lines.

    Raises:
        ValueError: It is not a JSON object.
    """
    row = parse_json(line)
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    return row


def parse_json_lines(lines: Iterable[str]) -> Iterator[Row]:
    """Yield the JSON objects of a file, one per line.

    Raises:
        ValueError: A line is not a JSON object.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield parse_row(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def parse_csv(lines: Iterable[str]) -> Iterator[Row]:
    """Yield the rows of a file with a header; all values are strings.

    Raises:
        ValueError: A row is not valid CSV, or has another number of values than the header.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ValueError("the header has a name twice")
        for values in filter(None, reader):  # lines without text have no values
            if len(values) != len(header):
                raise ValueError(
                    f"line {reader.line_num}: the number of values is {len(values)} instead of "
                    f"{len(header)}"
                )
            yield dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def open_table(path: Path) -> ArrowTable | TextTable:
    """Open a file, a folder of Parquet files, or a Delta table.

    Raises:
        ProjectError: The table does not exist or cannot be read.
    """
    if not path.exists():
        raise ProjectError(
            f"{path} does not exist. Check the path of the input; URLs and tables of a catalog "
            "need Spark on a cluster."
        )
    if (path / "_delta_log").is_dir():
        return ArrowTable(path, _delta_table(path))
    match "parquet" if path.is_dir() else FORMATS.get(path.suffix):
        case "json":
            return TextTable(path, parse_json_lines)
        case "csv":
            return TextTable(path, parse_csv)
        case "parquet":
            return _parquet_table(path)
    raise ProjectError(
        f"{path} is not a table that a batch reads. Use a file that ends in {', '.join(FORMATS)}, "
        "a folder of Parquet files, or a Delta table."
    )


def _parquet_table(path: Path) -> ArrowTable:
    try:
        return ArrowTable(path, ds.dataset(path, format="parquet"))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ProjectError:
    reason = "it is not encoded in UTF-8"
    if not isinstance(error, UnicodeDecodeError):
        # Arrow asks for the format first, and Delta prints a trace.
        reason = str(error).rpartition("?: ")[2].partition("\n")[0].rstrip(".")
    return ProjectError(f"Cannot read {path}: {reason}. Correct the file.")


def _delta_table(path: Path) -> ds.Dataset:
    try:
        from deltalake import DeltaTable, exceptions
    except ImportError as error:
        raise ProjectError(
            "Reading a Delta table needs the package deltalake. Run `uv sync --extra delta`."
        ) from error
    try:
        return DeltaTable(path).to_pyarrow_dataset()
    except (exceptions.DeltaError, pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ProjectError(
            f"Cannot read the Delta table {path}: {reason}. Repair it, or export it to Parquet."
        ) from error
