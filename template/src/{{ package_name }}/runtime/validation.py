"""Checks JSON, tokens and names of models, and describes pydantic's validation errors."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

# Plainer words than pydantic's.
_TEXTS = {
    "dict_type": "Input should be an object",
    "extra_forbidden": "This name is unknown",
    "model_type": "Input should be an object",
}


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: The text is not valid JSON, or an object has a key twice. Other readers ignore
            the first value.
    """
    return json.loads(text, object_pairs_hook=unique_keys)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, as the `object_pairs_hook` of a parser.

    Raises:
        ValueError: A key occurs twice.
    """
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} occurs twice in one object")
        values[key] = value
    return values


def is_token(text: str) -> bool:
    """Return whether a text is visible ASCII without spaces, as a header requires of a token."""
    return re.fullmatch(r"[!-~]*", text) is not None


def is_model_name(text: str) -> bool:
    """Return whether MLflow's registry accepts the name of a model."""
    return bool(text.strip(". ")) and not {"/", ":"} & set(text)


def invalid_fields(error: ValidationError) -> Iterator[tuple[list[str], str]]:
    """Yield the path of each invalid field and what is wrong with it."""
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        text = _TEXTS.get(detail["type"], detail["msg"])
        yield [str(part) for part in detail["loc"]], text.removeprefix("Value error, ")


def describe_validation_error(error: ValidationError) -> str:
    """List the invalid fields, such as `max_rounds: Input should be a valid integer`."""
    lines: list[str] = []
    for path, text in invalid_fields(error):
        # In a union, pydantic adds the names of its functions.
        field = ".".join(part for part in path if "[" not in part)
        lines.append(f"{field or 'value'}: {text}")
    return "; ".join(lines)
