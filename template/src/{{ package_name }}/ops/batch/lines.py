"""Parses JSON lines in the Python processes of Spark."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from .columns import COLUMNS
from .fields import check_unicode, identifier, is_blank, question_text, without_nulls
from .tables import parse_row

PARSED = pa.schema([(column, pa.string()) for column in (*COLUMNS, "problem")])

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class LineParser:
    """Parses JSON lines as the engine local does. Spark would convert values to strings.

    Attributes:
        names: The names of the columns in the input.
    """

    names: Mapping[str, str]

    def __call__(self, batches: Batches) -> Batches:
        for batch in batches:
            rows = [self._parse(line) for line in batch.column("value").to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, PARSED)

    def _parse(self, line: str) -> dict[str, str | None]:
        """Return the fields of a line as strings, or what is wrong with it."""
        try:
            row = parse_row(line.removeprefix("\ufeff"))
            fields = {column: row.get(name) for column, name in self.names.items()}
            row_id = identifier(fields["id"])
            if is_blank(fields["input"]):
                question_text(fields["question"])
            texts = {column: as_text(without_nulls(value)) for column, value in fields.items()}
            check_unicode("question", "".join(filter(None, texts.values())))
        except ValueError as error:
            return {"problem": f"{error}: {line[:100]}"}
        return texts | {"id": row_id}


def as_text(value: object) -> str | None:
    """Return a value as a string: as JSON, unless it is a string already."""
    return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)
