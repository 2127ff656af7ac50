"""What in an answer is no JSON as all languages read it."""

import math
from collections.abc import Iterator
from typing import Any


def problems_with_json(value: Any, where: str = "") -> Iterator[str]:
    """Say what is no strict JSON, and where: `custom_outputs.when is a datetime`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield f"{where or 'the answer'} has the key {key!r}, which is no text"
            yield from problems_with_json(inner, f"{where}.{key}".removeprefix("."))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from problems_with_json(inner, f"{where}[{index}]")
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{where} holds half a character, which is no Unicode text"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {value}"
    elif type(value) not in (int, float, bool, type(None)):
        yield f"{where} is a {type(value).__name__}"
