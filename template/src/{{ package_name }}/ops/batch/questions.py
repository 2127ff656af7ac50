"""The questions of a batch: the rows of a table as requests to the agent."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from ...runtime.validation import describe_validation_error, parse_json
from ..project import ProjectError
from .columns import COLUMN_NAMES
from .fields import check_unicode, identifier, is_blank, question_text, without_nulls


@dataclass(frozen=True)
class Question:
    """A row of the input.

    Attributes:
        id: The id of the row, unique in the input.
        request: The request for the agent.
    """

    id: str
    request: ResponsesAgentRequest


def to_question(row: Mapping[str, Any], names: Mapping[str, str] = COLUMN_NAMES) -> Question:
    """Convert a row to a question; `names` maps the columns of a batch to those of the row.

    Raises:
        ValueError: The row has no id or no question, or is not a valid request.
    """
    fields = {column: row.get(name) for column, name in names.items()}
    row_id = identifier(fields["id"])
    body: dict[str, Any] = {"input": _input(fields["question"], fields["input"])}
    if not is_blank(fields["custom_inputs"]):
        body["custom_inputs"] = _parsed(fields["custom_inputs"], "custom_inputs")
    check_unicode("question", json.dumps(body, ensure_ascii=False))
    try:
        request = ResponsesAgentRequest.model_validate(body)
    except ValidationError as error:
        raise ValueError(describe_validation_error(error)) from error
    if _is_empty(body["input"][-1]):
        raise ValueError("the question is empty")
    return Question(row_id, request)


def _is_empty(item: dict[str, Any]) -> bool:
    """Return whether an item is a message of the user without content."""
    if item.get("role") != "user":
        return False
    content = item.get("content") or ""
    if isinstance(content, str):
        return is_blank(content)
    return all(
        part.get("type", "input_text") == "input_text" and is_blank(part.get("text"))
        for part in content
    )


def _input(question: Any, items: Any) -> Any:
    if not is_blank(items):
        parsed = _parsed(items, "input")
        if not parsed:
            raise ValueError("the input has no items")
        return parsed
    return [{"role": "user", "content": question_text(question)}]


def _parsed(value: Any, column: str) -> Any:
    """Return the value of a column that contains JSON, or nested values.

    Columns with nested values have a null for each field that an item lacks.
    """
    try:
        return parse_json(value if isinstance(value, str) else json.dumps(without_nulls(value)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{column} is invalid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{column} has too many levels of nesting") from error


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
