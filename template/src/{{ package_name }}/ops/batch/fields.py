"""The values of a row. Parsing lines on Spark uses this module without the agent and MLflow."""

from typing import Any


def is_blank(value: Any) -> bool:
    """Return whether a field is empty; CSV files have empty strings instead of nulls."""
    return value is None or (isinstance(value, str) and not value.strip())


def identifier(value: Any) -> str:
    """Return the id of a row as a string.

    Raises:
        ValueError: It is missing, or neither a string nor an integer.
    """
    if is_blank(value):
        raise ValueError("the id is missing")
    # The engines would write other types differently, such as 1e10 and true.
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"the id {value!r} must be a string or an integer")
    check_unicode("id", str(value))
    return str(value)


def check_unicode(field: str, text: str) -> None:
    """Refuse halves of surrogate pairs: JSON can contain them, and the output cannot.

    Raises:
        ValueError: The text contains one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the {field} contains invalid Unicode") from error


def valid_text(text: str) -> str:
    """Replace halves of surrogate pairs, which UTF-8 and Parquet cannot represent."""
    return text.encode(errors="backslashreplace").decode()


def without_nulls(value: Any) -> Any:
    """Return nested values without the fields that are null."""
    match value:
        case dict():
            return {key: without_nulls(one) for key, one in value.items() if one is not None}
        case list():
            return [without_nulls(one) for one in value]
    return value


def question_text(value: Any) -> str:
    """Return the question of a row.

    Raises:
        ValueError: It is empty, or not a string.
    """
    if is_blank(value):
        raise ValueError("the question is empty")
    if not isinstance(value, str):
        raise ValueError(f"the question {value!r} must be a string")
    return value
