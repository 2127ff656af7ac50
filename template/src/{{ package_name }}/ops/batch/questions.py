"""The questions of a batch: the rows of a table as requests to the agent."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from ...runtime.validation import describe_validation_error, parse_json
from ..project import ProjectError

# The columns that a batch reads; `question` or `input` is required.
COLUMNS = ("id", "question", "input", "custom_inputs")
COLUMN_NAMES = {column: column for column in COLUMNS}


@dataclass(frozen=True)
class Question:
    """A row of the input.

    Attributes:
        id: The id of the row, unique in the input.
        request: The request for the agent.
    """

    id: str
    request: ResponsesAgentRequest


def column_names(pairs: Iterable[str]) -> dict[str, str]:
    """Return the name in the input of each column, from pairs such as `question=text`.

    Raises:
        ProjectError: A pair is invalid, or names an unknown column.
    """
    names = dict(COLUMN_NAMES)
    for pair in pairs:
        column, separator, name = pair.partition("=")
        if column not in names or not separator or not name:
            raise ProjectError(
                f"--columns {pair!r} is invalid. Write COLUMN=NAME, where COLUMN is one of "
                f"{', '.join(COLUMNS)}."
            )
        names[column] = name
    return names


def check_columns(names: Mapping[str, str], available: Iterable[str]) -> None:
    """Check that an input has the columns that a batch requires.

    Raises:
        ProjectError: It lacks the ids or the questions.
    """
    available = set(available)
    if not available:
        raise ProjectError("The input has no rows.")
    if names["id"] not in available or not {names["question"], names["input"]} & available:
        raise ProjectError(
            f"The input has the columns {', '.join(sorted(available))}. It needs {names['id']!r}, "
            f"and {names['question']!r} or {names['input']!r}. Map other names with --columns, "
            "such as --columns question=text."
        )


def to_question(row: Mapping[str, Any], names: Mapping[str, str] = COLUMN_NAMES) -> Question:
    """Convert a row to a question; `names` maps the columns of a batch to those of the row.

    Raises:
        ValueError: The row has no id or no question, or is not a valid request.
    """
    fields = {column: row.get(name) for column, name in names.items()}
    identifier = _identifier(fields["id"])
    body: dict[str, Any] = {"input": _input(fields["question"], fields["input"])}
    if not is_blank(fields["custom_inputs"]):
        body["custom_inputs"] = _parsed(fields["custom_inputs"], "custom_inputs")
    try:
        return Question(identifier, ResponsesAgentRequest.model_validate(body))
    except ValidationError as error:
        raise ValueError(describe_validation_error(error)) from error


def is_blank(value: Any) -> bool:
    """Return whether a field is empty; CSV files have empty texts instead of nulls."""
    return value is None or (isinstance(value, str) and not value.strip())


def _identifier(value: Any) -> str:
    if is_blank(value):
        raise ValueError("the id is missing")
    # The engines would write other types differently, such as 1e10 and true.
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"the id {value!r} is not a text or an integer")
    return str(value)


def _input(question: Any, items: Any) -> Any:
    if not is_blank(items):
        parsed = _parsed(items, "input")
        if not parsed:
            raise ValueError("the input has no items")
        return parsed
    if is_blank(question):
        raise ValueError("the question is empty")
    return [{"role": "user", "content": str(question)}]


def _parsed(value: Any, column: str) -> Any:
    """Return the value of a column that contains JSON, or nested values.

    Columns with nested values have a null for each field that an item lacks.
    """
    try:
        return parse_json(value if isinstance(value, str) else json.dumps(without_nulls(value)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column} is invalid JSON: {error}") from error


def without_nulls(value: Any) -> Any:
    """Return nested values without the fields that are null."""
    match value:
        case dict():
            return {key: without_nulls(one) for key, one in value.items() if one is not None}
        case list():
            return [without_nulls(one) for one in value]
    return value


def check_questions(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Iterator[str]:
    """Check all rows, and yield the ids.

    Raises:
        ProjectError: A row is invalid, or has the id of another one.
    """
    ids: set[str] = set()
    for number, row in enumerate(rows, start=1):
        try:
            question = to_question(row, names)
        except ValueError as error:
            raise ProjectError(f"Row {number} of the input: {error}. Correct it.") from error
        if question.id in ids:
            raise ProjectError(
                f"Row {number} of the input has the id {question.id!r}, as an earlier row. Give "
                "each row an id of its own."
            )
        ids.add(question.id)
        yield question.id
