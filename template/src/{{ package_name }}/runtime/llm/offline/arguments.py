"""Arguments for a tool call, from its JSON schema and the user's text."""

import re
from typing import Any

Schema = dict[str, Any]

_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-])")
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")
# Capitalized words after the first word of the text are most likely a name.
_NAME = re.compile(r"(?<=\s)[A-Z][\w/'-]*(?:\s+[A-Z][\w/'-]*)*")

# The first example in a description: "A city, such as Oslo or New York."
_DESCRIBED = re.compile(
    r"(?:such as|e\.g\.,?|for (?:example|instance),?)\s+"
    r"(?:[\"'`“]([^\"'`”]+)[\"'`”]|([^\s,;()]+(?: (?!or )[A-Z][^\s,;()]*)*[^\s,;().]))"
)

_MAX_DEPTH = 3  # of lists and objects, as a model can contain itself

_EXAMPLES: dict[str, Any] = {
    "string": "example",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "null": None,
}
_EXAMPLES_BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "email": "someone@example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def arguments_from_text(schema: Schema, text: str) -> dict[str, Any] | None:
    """Find the required arguments in a text; each piece of the text is used once.

    Returns:
        The arguments, or None if one of them is not in the text.
    """
    found: dict[str, list[Any]] = {
        "date": _DATE.findall(text),
        "number": [float(number) for number in _NUMBER.findall(text)],
        "string": _QUOTED.findall(text) or _NAME.findall(text),
    }
    arguments = {}
    for name in schema.get("required", []):
        value = _take(_resolve(schema["properties"][name], schema), found, text)
        if value is None:
            return None
        arguments[name] = value
    return arguments


def _take(schema: Schema, found: dict[str, list[Any]], text: str) -> Any:
    if "enum" in schema:
        return next((one for one in schema["enum"] if str(one).casefold() in text.casefold()), None)
    kind, kind_format = schema.get("type", "string"), schema.get("format")
    if kind == "boolean":
        return True
    if kind == "integer":
        return int(found["number"].pop(0)) if found["number"] else None
    candidates = found.get(kind_format or kind, [])
    return candidates.pop(0) if candidates else None


def arguments_from_schema(schema: Schema) -> dict[str, Any]:
    """Return example values of the right types for the required arguments."""
    return _example(schema, schema)


def answer_from_schema(schema: Schema, text: str) -> Any:
    """Return a valid answer with a text as its strings, and one item in each list."""
    return _example(schema, schema, text)


def _example(schema: Schema, root: Schema, text: str | None = None, depth: int = 0) -> Any:
    schema = _resolve(schema, root)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):  # the last alternative is usually null
            return _example(schema[key][-(depth >= _MAX_DEPTH)], root, text, depth)
    if schema.get("type") == "object":
        if depth > 3 * _MAX_DEPTH:  # no alternative ends the recursion, so no example is valid
            return {}
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        return {name: _example(properties[name], root, text, depth + 1) for name in required}
    if "prefixItems" in schema:
        return [_example(part, root, text, depth) for part in schema["prefixItems"]]
    if schema.get("format") in _EXAMPLES_BY_FORMAT:
        return _EXAMPLES_BY_FORMAT[schema["format"]]
    if schema.get("type") == "string" and not text:
        described = _DESCRIBED.search(schema.get("description", ""))
        return (described[1] or described[2]) if described else _EXAMPLES["string"]
    if "minimum" in schema:
        return schema["minimum"]
    if text and schema.get("type") == "string":
        return text
    if text and schema.get("type") == "array" and depth < _MAX_DEPTH:
        return [_example(schema.get("items", {}), root, text, depth + 1)]
    return _EXAMPLES.get(schema.get("type", "string"))


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Resolve a `$ref` to the definitions of the root schema."""
    if "$ref" not in schema:
        return schema
    return root["$defs"][schema["$ref"].rpartition("/")[2]]
