"""Checks the tools of a request as OpenAI, Anthropic and Gemini do."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

NAME_PATTERN = "^[a-zA-Z0-9_-]{1,64}$"
_KEY_PATTERN = "^[a-zA-Z0-9_.-]{1,64}$"  # of parameters, for Anthropic
_DESCRIPTION_LENGTH = 1024
_MAX_TOOLS = 128
_FIELDS = ("name", "description", "parameters", "strict")
_OTHER_SCHEMA_FIELDS = ("input_schema", "inputSchema", "args_schema", "json_schema")
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_SCHEMA_GROUP_KEYS = ("properties", "$defs", "anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMA_KEYS = ("items", "additionalProperties")
_COMBINATIONS = ("anyOf", "oneOf", "allOf", "enum", "not")
# What the values of these keys must be; OpenAI refuses other values, Gemini an empty list.
_VALUES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("required", "enum"), (list,)),
    **dict.fromkeys(("minimum", "maximum", "minLength", "maxLength"), (int, float)),
    **dict.fromkeys(("minItems", "maxItems", "multipleOf"), (int, float)),
    **dict.fromkeys(("description", "title", "pattern", "format"), (str, type(None))),
}
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
    if isinstance(tools, list) and len(tools) > _MAX_TOOLS:
        yield f"Invalid 'tools': the maximum length is {_MAX_TOOLS}, but it has {len(tools)} items."
    names = set()
    for index, tool in enumerate(tools or []):
        field = f"tools[{index}].function"
        if isinstance(tool, dict) and "type" not in tool:
            yield f"Missing required parameter: 'tools[{index}].type'."
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            yield f"Missing required parameter: '{field}'."
            continue
        name, description = str(function.get("name", "")), function.get("description") or ""
        for unknown in (field for field in function if _is_misnamed(field)):
            yield f"Unknown parameter: '{field}.{unknown}'. A function has {', '.join(_FIELDS)}."
        if not is_tool_name(name):
            yield f"Invalid '{field}.name': {name!r} does not match the pattern '{NAME_PATTERN}'."
        if name in names:
            yield f"Tool names must be unique, but {name!r} is repeated."
        names.add(name)
        if not isinstance(description, str):
            kind = type(description).__name__
            yield f"Invalid '{field}.description': expected a string, got {kind}."
        elif len(description) > _DESCRIPTION_LENGTH:
            yield (
                f"Invalid '{field}.description': The description of {name!r} has "
                f"{len(description)} characters. The maximum length is {_DESCRIPTION_LENGTH}."
            )
        parameters = function.get("parameters")
        problems = list(_problems_with_parameters(parameters))
        if function.get("strict") and not problems:
            problems = list(problems_with_strict_schema(parameters, ()))
        yield from (f"Invalid schema for function {name!r}: {problem}" for problem in problems)


def _is_misnamed(field: str) -> bool:
    """Return whether a field of a function is meant for another one; gateways have their own."""
    return field not in _FIELDS and bool(
        field in _OTHER_SCHEMA_FIELDS or get_close_matches(field, _FIELDS, cutoff=0.8)
    )


def _problems_with_parameters(schema: Any) -> Iterator[str]:
    if schema is None:  # a tool without parameters
        return
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "The schema must have the type 'object'."
    elif "properties" not in schema:
        yield "In context=(), object schema missing properties."
    elif combined := [key for key in _COMBINATIONS if key in schema]:
        yield f"The schema must not have {combined[0]!r} at the top level."
    else:
        for key in schema["properties"]:
            if not re.fullmatch(_KEY_PATTERN, str(key)):
                yield f"The parameter {key!r} does not match the pattern '{_KEY_PATTERN}'."
        yield from _problems_with_schema(schema, (), schema)


def _problems_with_schema(schema: Any, context: tuple[str, ...], root: Any) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield f"In context={context}, {schema!r} is not a schema."
        return
    yield from _problems_with_values(schema, context, root)
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            yield f"In context={context}, {kind!r} is not a type of JSON Schema."
        if kind == "array" and "items" not in schema:
            yield f"In context={context}, array schema missing items."
    for key in _SCHEMA_GROUP_KEYS:
        parts = schema.get(key, {})
        for name, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
            place = (*context, key, str(name))
            if key == "properties" and isinstance(part, dict) and not part.keys() & _TYPE_KEYS:
                yield f"In context={place}, schema must have a 'type' key."
            yield from _problems_with_schema(part, place, root)
    for key in _SCHEMA_KEYS:
        yield from _problems_with_schema(schema.get(key, True), (*context, key), root)


def _problems_with_values(
    schema: dict[str, Any], context: tuple[str, ...], root: Any
) -> Iterator[str]:
    for key, kinds in _VALUES.items():
        value = schema.get(key)
        if key in schema and (not isinstance(value, kinds) or isinstance(value, bool)):
            expected = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            yield f"In context={context}, {key!r} is {value!r}, not of type {expected}."
    if schema.get("enum") == []:
        yield f"In context={context}, 'enum' is empty."
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list) and isinstance(properties, dict):
        for name in required:
            if name not in properties:
                yield f"In context={context}, the required property {name!r} is not defined."
    reference = schema.get("$ref")
    if isinstance(reference, str) and not _is_defined(reference, root):
        yield f"In context={context}, {reference!r} was not found in the schema."


def _is_defined(reference: str, root: Any) -> bool:
    """Return whether a reference such as `#/$defs/Stay` leads to a part of the schema."""
    for name in reference.split("/")[1:]:
        root = root.get(name) if isinstance(root, dict) else None
    return root is not None


def problems_with_strict_schema(schema: Any, context: tuple[str, ...]) -> Iterator[str]:
    """Yield why OpenAI refuses a schema with `strict`."""
    if not isinstance(schema, dict):
        return
    if "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield f"In context={context}, 'additionalProperties' must be false in a strict schema."
        missing = [one for one in schema["properties"] if one not in schema.get("required", [])]
        if missing:
            yield f"In context={context}, 'required' lacks {missing[0]!r} in a strict schema."
    for key in (*_SCHEMA_GROUP_KEYS, "items"):
        parts = schema.get(key, {})
        if key == "items":
            parts = [parts] if parts else []
        for name, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
            yield from problems_with_strict_schema(part, (*context, key, str(name)))
