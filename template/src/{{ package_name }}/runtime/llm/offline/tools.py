"""Checks the tools of a request as OpenAI and Anthropic do, with their messages."""

import re
from collections.abc import Iterator
from typing import Any

_NAME = "^[a-zA-Z0-9_-]{1,64}$"
_DESCRIPTION_LENGTH = 1024
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_WITH_SCHEMAS = ("properties", "$defs", "anyOf", "oneOf", "allOf", "prefixItems")
_WITH_SCHEMA = ("items", "additionalProperties")


def problems_with_tools(tools: list[Any]) -> Iterator[str]:
    """Yield why the APIs refuse a request with these tools."""
    names = set()
    for index, tool in enumerate(tools):
        field = f"tools[{index}].function"
        function = tool.get("function")
        if not isinstance(function, dict):
            yield f"Missing required parameter: '{field}'."
            continue
        name, description = str(function.get("name", "")), function.get("description") or ""
        if not re.fullmatch(_NAME, name):
            yield f"Invalid '{field}.name': {name!r} does not match the pattern '{_NAME}'."
        if name in names:
            yield f"Tool names must be unique, but {name!r} is repeated."
        names.add(name)
        if len(description) > _DESCRIPTION_LENGTH:
            yield (
                f"Invalid '{field}.description': The description of {name!r} has "
                f"{len(description)} characters. The maximum length is {_DESCRIPTION_LENGTH}."
            )
        for problem in _problems_with_parameters(function.get("parameters")):
            yield f"Invalid schema for function {name!r}: {problem}"


def _problems_with_parameters(schema: Any) -> Iterator[str]:
    if schema is None:  # a tool without parameters
        return
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "The schema must have the type 'object'."
    elif "properties" not in schema:
        yield "In context=(), object schema missing properties."
    else:
        yield from _problems_with_schema(schema, ())


def _problems_with_schema(schema: Any, context: tuple[str, ...]) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"In context={context}, {schema!r} is not a schema."
        return
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            yield f"In context={context}, {kind!r} is not a type of JSON Schema."
        if kind == "array" and "items" not in schema:
            yield f"In context={context}, array schema missing items."
    for key in _WITH_SCHEMAS:
        parts = schema.get(key, {})
        for name, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
            yield from _problems_with_schema(part, (*context, key, str(name)))
    for key in _WITH_SCHEMA:
        yield from _problems_with_schema(schema.get(key, True), (*context, key))
