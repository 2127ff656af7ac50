"""Valid arguments for a tool, made from its JSON schema."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

Schema = dict[str, Any]

MAX_CALLS = 8  # per tool
MAX_DEPTH = 4
MAX_ITEMS = 4  # of a list
TEXTS = ("example", "", "Zürich", "東京")
VALUES: dict[str, tuple[Any, ...]] = {
    "string": TEXTS,
    "integer": (1, 0, -1, 7),
    "number": (1.5, 0, -2.5),
    "boolean": (True, False),
    "null": (None,),
    "any": ("example", 1, None),
}
# A name of several words, or a text in quotation marks.
_EXAMPLE = r"[\"'`“][^\"'`”]+[\"'`”]|[^\s,;()]+(?: (?!or )[A-Z][^\s,;()]*)*[^\s,;().]"
# "A city, such as Oslo or New York" has two.
EXAMPLES_IN_TEXT = re.compile(
    rf"(?:such as|e\.g\.,?|for (?:example|instance),?)\s+({_EXAMPLE})(?: or ({_EXAMPLE}))?"
)
FORMATS: dict[str, tuple[str, ...]] = {
    "date": ("2026-01-31", "2024-02-29", "1999-12-31"),
    # LLMs also write times without a zone.
    "date-time": ("2026-01-31T12:00:00Z", "2024-02-29T23:59:59+05:30", "2026-01-31T12:00:00"),
    "time": ("12:00:00Z", "00:00:00Z"),
    "duration": ("P1D", "PT0S"),
    "email": ("someone@example.com",),
    "uri": ("https://example.com",),
    "uuid": ("00000000-0000-4000-8000-000000000000",),
}


def argument_sets(schema: Schema, text: str | None = None) -> list[dict[str, Any]]:
    """Return valid arguments for a schema: first the required ones alone, then all.

    The list is empty if no example is valid for a required argument, such as one with a pattern.

    Args:
        schema: The JSON schema of the arguments.
        text: The only value of texts that may be any text.
    """
    if text is not None:
        schema = _with_text(schema, text)
    return _objects(schema, schema, 0)[:MAX_CALLS]


def single_changes(schema: Schema) -> list[dict[str, Any]]:
    """Return all arguments of a schema, then others that differ from them in one argument."""
    sets = argument_sets(schema)
    first = max(sets, key=len, default={})
    changed = [
        next((first | {name: one[name]} for one in sets if one.get(name, value) != value), first)
        for name, value in first.items()
    ]
    return [first, *(one for one in changed if one != first)][:MAX_CALLS] if sets else []


def values_of_enums(schema: Any) -> Iterator[Any]:
    """Yield the values of all enumerations in a schema."""
    if isinstance(schema, dict):
        yield from schema.get("enum") or []
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else []:
        yield from values_of_enums(part)


def _with_text(schema: Any, text: str) -> Any:
    """Return a schema in which every text that may be any text is this one."""
    if isinstance(schema, list):
        return [_with_text(part, text) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and not schema.keys() & {"enum", "format", "pattern"}:
        return {"const": text}
    return {key: _with_text(part, text) for key, part in schema.items()}


def _objects(schema: Schema, root: Schema, depth: int) -> list[dict[str, Any]]:
    properties = schema.get("properties", {})
    values = {name: list(_values(part, root, depth)) for name, part in properties.items()}
    values = {name: found for name, found in values.items() if found}
    required = schema.get("required", [])
    if not values.keys() >= set(required):  # a model that contains itself, too deep
        return []
    objects = [{name: values[name][0] for name in required}]
    for number in range(max(map(len, values.values()), default=0)):
        # Each argument starts with another of its values, so that different ones meet.
        pairs = enumerate(values.items())
        objects.append({name: one[(number + at) % len(one)] for at, (name, one) in pairs})
    return [one for at, one in enumerate(objects) if one not in objects[:at]]


def _values(schema: Any, root: Schema, depth: int) -> Iterator[Any]:
    """Yield valid values, plain ones first; none if models nest too deeply."""
    if depth > MAX_DEPTH:
        return
    if not isinstance(schema, dict):
        schema = {}
    if "$ref" in schema:
        schema = _referenced(schema["$ref"], root)
    if "const" in schema:
        yield schema["const"]
    elif schema.get("enum"):
        yield from schema["enum"]
    elif parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        for part in parts:
            yield from _values(part, root, depth + 1)
    elif isinstance(kinds := schema.get("type", "any"), list):
        for kind in kinds:
            yield from _values(schema | {"type": kind}, root, depth + 1)
    elif kinds == "object":
        yield from _maps(schema, root, depth + 1)
    elif kinds == "array":
        yield from _lists(schema, root, depth + 1)
    else:
        values = [*_examples(schema), *FORMATS.get(schema.get("format"), VALUES[kinds])]
        for bound in ("minimum", "maximum"):
            values += [schema[bound]] if bound in schema else []
        yield from (value for value in values if _is_valid(value, schema))


def _referenced(reference: str, root: Schema) -> Schema:
    """Return the part of a schema that a reference such as `#/$defs/Room` names."""
    part: Any = root
    for key in reference.removeprefix("#").strip("/").split("/"):
        part = part.get(key, {}) if isinstance(part, dict) else {}
    return part


def _matches(pattern: str, text: str) -> bool:
    """Return whether a text matches; never for a pattern of another syntax, such as Rust's."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def _examples(schema: Schema) -> list[Any]:
    """Return the examples of a schema; those of a text may be in its description."""
    examples = [*schema.get("examples", [])]
    if schema.get("type") == "string" and "format" not in schema:
        found = EXAMPLES_IN_TEXT.findall(schema.get("description", ""))
        examples += [text.strip("\"'`“”") for texts in found for text in texts if text]
    return examples


def _maps(schema: Schema, root: Schema, depth: int) -> Iterator[dict[str, Any]]:
    if "properties" in schema:
        yield from _objects(schema, root, depth)
        return
    for value in islice(_values(schema.get("additionalProperties"), root, depth), 1):
        yield {"example": value}
    yield {}


def _lists(schema: Schema, root: Schema, depth: int) -> Iterator[list[Any]]:
    if "prefixItems" in schema:
        columns = [list(_values(part, root, depth)) for part in schema["prefixItems"]]
        for number in range(max(map(len, columns), default=0) if all(columns) else 0):
            yield [column[number % len(column)] for column in columns]
        return
    items = list(islice(_values(schema.get("items"), root, depth), MAX_ITEMS))
    least, most = schema.get("minItems", 0), schema.get("maxItems", 100)
    for length in (1, 0, len(items)):
        many = [items[at % len(items)] for at in range(max(length, least))] if items else []
        if least <= len(many) <= most:
            yield many


def _is_valid(value: Any, schema: Schema) -> bool:
    if isinstance(value, str):
        is_long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1000)
        return is_long_enough and _matches(schema.get("pattern", ""), value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", value - 1) < value
        and value < schema.get("exclusiveMaximum", value + 1)
        and (not step or value % step == 0)
    )
