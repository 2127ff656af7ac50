"""Reads tables on this machine: Parquet, JSON lines, CSV and Delta."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds

from ...runtime.validation import parse_json
from ..project import ProjectError

FORMATS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".csv": "csv"}

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
class JsonLines:
    """A file with a JSON object per line. Arrow would read some texts in it as dates.

    Attributes:
        path: The file.
    """

    path: Path

    @property
    def columns(self) -> list[str]:
        """The keys of the first object."""
        return list(next(self.rows(), {}))

    def rows(self, _columns: Sequence[str] = ()) -> Iterator[Row]:
        """Yield the objects.

        Raises:
            ProjectError: The file cannot be read.
        """
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _numbered_row(line, number)
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


def _numbered_row(line: str, number: int) -> Row:
    try:
        return parse_row(line)
    except ValueError as error:
        raise ValueError(f"line {number} is invalid: {error}") from error


def open_table(path: Path, texts: Sequence[str]) -> ArrowTable | JsonLines:
    """Open a file, a folder of Parquet files, or a Delta table.

    Args:
        path: The file or folder.
        texts: The columns of CSV files that contain texts, even if all of them look like numbers.

    Raises:
        ProjectError: The table does not exist or cannot be read.
    """
    if not path.exists():
        raise ProjectError(f"{path} does not exist. Check the path of the input.")
    if (path / "_delta_log").is_dir():
        return ArrowTable(path, _delta_table(path))
    match "parquet" if path.is_dir() else FORMATS.get(path.suffix):
        case "json":
            return JsonLines(path)
        case "csv":
            options = pa.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
            newlines = pa.csv.ParseOptions(newlines_in_values=True)
            return _arrow_table(path, ds.CsvFileFormat(newlines, convert_options=options))
        case "parquet":
            return _arrow_table(path, "parquet")
    raise ProjectError(
        f"{path} is not a table that a batch reads. Use a file that ends in {', '.join(FORMATS)}, "
        "a folder of Parquet files, or a Delta table."
    )


def _arrow_table(path: Path, file_format: ds.FileFormat | str) -> ArrowTable:
    try:
        return ArrowTable(path, ds.dataset(path, format=file_format))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ProjectError:
    return ProjectError(f"Cannot read {path}: {error}. Correct the file.")


def _delta_table(path: Path) -> ds.Dataset:
    try:
        from deltalake import DeltaTable
    except ImportError as error:
        raise ProjectError(
            "Reading a Delta table needs the package deltalake. Run `uv sync --extra delta`."
        ) from error
    return DeltaTable(path).to_pyarrow_dataset()
