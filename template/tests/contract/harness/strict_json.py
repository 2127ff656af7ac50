"""Finds values that are not strict JSON."""

import math
from collections.abc import Iterator
from typing import Any


def problems_with_json(value: Any, path: str = "") -> Iterator[str]:
    """Yield a problem for each value, such as `custom_outputs.when is a datetime`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield f"{path or 'the answer'} has the key {key!r}, which is not a string"
            yield from problems_with_json(inner, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from problems_with_json(inner, f"{path}[{index}]")
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{path} contains an unpaired surrogate"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value}"
    elif type(value) not in (int, float, bool, type(None)):
        yield f"{path} is a {type(value).__name__}"
