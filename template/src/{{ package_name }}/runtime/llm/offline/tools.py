"""Checks the tools of a request as OpenAI, Anthropic and Gemini do."""

import re
from collections.abc import Iterator
from typing import Any

NAME_PATTERN = "^[a-zA-Z0-9_-]{1,64}$"
_DESCRIPTION_LENGTH = 1024
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_WITH_SCHEMAS = ("properties", "$defs", "anyOf", "oneOf", "allOf", "prefixItems")
_WITH_SCHEMA = ("items", "additionalProperties")
# Gemini refuses a property with none of these.
_TYPE_KEYS = {"type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"}


def is_tool_name(name: Any) -> bool:
    """Return whether the APIs accept the name of a tool."""
    return isinstance(name, str) and bool(re.fullmatch(NAME_PATTERN, name))


def problems_with_tools(body: dict[str, Any]) -> Iterator[str]:
    """Yield why the APIs refuse a request with these tools."""
    tools = body.get("tools")
    if tools == []:
        yield "Invalid 'tools': the array is empty. Leave the field out."
    if not tools:
        for option in ("tool_choice", "parallel_tool_calls"):
            if option in body:
                yield f"Invalid '{option}': it is only allowed when 'tools' are specified."
    names = set()
    for index, tool in enumerate(tools or []):
        field = f"tools[{index}].function"
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            yield f"Missing required parameter: '{field}'."
            continue
        name, description = str(function.get("name", "")), function.get("description") or ""
        if not is_tool_name(name):
            yield f"Invalid '{field}.name': {name!r} does not match the pattern '{NAME_PATTERN}'."
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
            place = (*context, key, str(name))
            if key == "properties" and isinstance(part, dict) and not part.keys() & _TYPE_KEYS:
                yield f"In context={place}, schema must have a 'type' key."
            yield from _problems_with_schema(part, place)
    for key in _WITH_SCHEMA:
        yield from _problems_with_schema(schema.get(key, True), (*context, key))
