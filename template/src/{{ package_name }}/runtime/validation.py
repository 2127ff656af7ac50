"""Checks tokens, and describes pydantic's validation errors."""

import re
from collections.abc import Iterator

from pydantic import ValidationError


def is_token(text: str) -> bool:
    """Return whether a header can contain a text: ASCII without spaces and line breaks."""
    return re.fullmatch(r"[!-~]*", text) is not None


def invalid_fields(error: ValidationError) -> Iterator[tuple[list[str], str]]:
    """Yield the path of each invalid field and what is wrong with it."""
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        is_object = detail["type"] in ("dict_type", "model_type")
        text = "Input should be an object" if is_object else detail["msg"]
        yield [str(part) for part in detail["loc"]], text.removeprefix("Value error, ")


def describe_validation_error(error: ValidationError) -> str:
    """List the invalid fields, such as `max_rounds: Input should be a valid integer`."""
    return "; ".join(f"{'.'.join(path) or 'value'}: {text}" for path, text in invalid_fields(error))
