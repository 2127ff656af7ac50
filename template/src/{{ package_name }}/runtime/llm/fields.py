"""Reads and joins the fields of chunks, whatever types a server sends."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

Fields = dict[str, Any]

# Fields that identify something; a later piece repeats them instead of continuing them.
_REPEATED = {"type", "id", "index", "role", "format", "channel"}


def string(value: Any) -> str:
    """Return a field as text: some servers send null, or a number as an id."""
    return "" if value is None else str(value)


def fields_of(value: Any) -> Fields:
    """Return an object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def choices_of(chunk: Fields) -> list[Fields]:
    """Return the choices of a chunk; Copilot sends the text and the calls of an answer in two."""
    choices = chunk.get("choices")
    return [*map(fields_of, choices)] if isinstance(choices, list) else []


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
    """Add an element to a list, or continue the one with the same index, type and id.

    Only the last one is continued if there is no index.
    """
    if isinstance(element, dict):
        candidates = elements if "index" in element else elements[-1:]
        for candidate in filter(None, map(fields_of, reversed(candidates))):
            if _is_continued(candidate, element):
                merge(candidate, element)
                return
    elements.append(deepcopy(element))


def _is_continued(fields: Fields, more: Fields) -> bool:
    ids = {string(each.get("id")) for each in (fields, more)} - {""}
    return len(ids) < 2 and all(fields.get(name) == more.get(name) for name in ("index", "type"))


def is_cumulative(texts: Sequence[str]) -> bool:
    """Return whether each text starts with the one before: some servers send all text so far."""
    return len(texts) > 1 and all(more.startswith(text) for text, more in pairwise(texts))


def is_repeated(texts: Sequence[str]) -> bool:
    """Return whether a server sent its whole text again, in each chunk or in the last one.

    A model may repeat a token, or continue `ha` with `haha`; these have few different characters.
    """
    before = texts[-2] if is_cumulative(texts) else "".join(texts[:-1])
    return len({*texts}) > 1 and len({*before}) > 2 and texts[-1].startswith(before)
