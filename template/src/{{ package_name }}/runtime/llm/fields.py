"""Reads and joins the fields of chunks, whatever types a server sends."""

from copy import deepcopy
from typing import Any

Fields = dict[str, Any]

# Fields that identify something; a later piece repeats them instead of continuing them.
_REPEATED = {"type", "id", "index", "role", "format"}


def string(value: Any) -> str:
    """Return a field as text: some servers send null, or a number as an id."""
    return "" if value is None else str(value)


def fields_of(value: Any) -> Fields:
    """Return an object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def first_choice(chunk: Fields) -> Fields:
    """Return the first choice of a chunk, or an empty object."""
    choices = chunk.get("choices")
    return fields_of(choices[0]) if isinstance(choices, list) and choices else {}


def merge(fields: Fields, more: Fields) -> None:
    """Add the next piece of some fields: strings and lists continue, other values replace."""
    for name, value in more.items():
        before = fields.get(name)
        if value is None:
            continue
        if isinstance(before, str) and isinstance(value, str) and name not in _REPEATED:
            fields[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            merge(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            for element in value:
                merge_element(before, element)
        else:
            fields[name] = deepcopy(value)


def merge_element(elements: list[Any], element: Any) -> None:
    """Add an element to a list, or continue the last one if it has the same index and type."""
    last = elements[-1] if elements else None
    if isinstance(element, dict) and isinstance(last, dict) and _key(element) == _key(last):
        merge(last, element)
    else:
        elements.append(deepcopy(element))


def _key(fields: Fields) -> tuple[Any, Any]:
    return fields.get("index"), fields.get("type")
