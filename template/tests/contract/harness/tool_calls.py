"""Calls of tools with many valid arguments, and outputs that show a mistake in a tool's code."""

import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .agents import Item
from .nested_data import leaves
from .project import PACKAGE

Schema = dict[str, Any]

MAX_CALLS = 8  # per tool
MAX_DEPTH = 4
MAX_ITEMS = 4  # of a list
EXAMPLE = '"example"'
TEXTS = ("example", "", "Zürich", "東京")
VALUES: dict[str, tuple[Any, ...]] = {
    "string": TEXTS,
    "integer": (1, 0, -1, 7),
    "number": (1.5, 0, -2.5),
    "boolean": (True, False),
    "null": (None,),
    "any": ("example", 1, None),
}
FORMATS: dict[str, tuple[str, ...]] = {
    "date": ("2026-01-31", "2024-02-29", "1999-12-31"),
    "date-time": ("2026-01-31T12:00:00Z", "2024-02-29T23:59:59+05:30"),
    "time": ("12:00:00Z", "00:00:00Z"),
    "duration": ("P1D", "PT0S"),
    "email": ("someone@example.com",),
    "uri": ("https://example.com",),
    "uuid": ("00000000-0000-4000-8000-000000000000",),
}
# The messages of exceptions that only a bug raises, and Python objects instead of their values.
# Others, such as KeyError and ConnectionError, can result from the input or the network.
BUGS = re.compile(
    r"name '\w+' is not defined|cannot access (local|free) variable"
    r"|has no attribute '|No module named|cannot import name|maximum recursion depth"
    r"|can only be used in that same thread"
    r"|no (current|running) event loop|[Ee]vent loop is (closed|already running)"
    r"|(attached|bound) to a different (event )?loop|cannot be called from a running event loop"
    r"|\(\) (missing (\d+|a) ?required|missing required argument|takes .* (positional|arguments?\b)"
    r"|got an unexpected|got multiple values|got some positional-only)|expected at (least|most) \d"
    r"|must be .{1,80}, not (type )?'?(str|int|float|bool|list|dict|tuple|set|bytes|None|datetime)"
    r"|unsupported operand type|can only concatenate|not supported between instances"
    r"|object is not (callable|subscriptable|iterable|an iterator)|cannot be interpreted as an int"
    r"|can't (compare|subtract) |codec can't (en|de)code|is not JSON serializable|unhashable type"
    r"|expected str instance|(argument( \d+)?|indices) must be (str|int|real|an int|a str|integer)"
    r"|Unknown format code|unsupported format string|not (enough|all) arguments (for|converted)"
    r"|changed size during iteration|already executing|reuse already awaited|annot pickle '"
    r"|closed (file|database)|(client|Session) (has been|is|instance, once it has been) closed"
    # What servers lack: a terminal, a main thread, files and packages of this machine
    r"|EOF when reading a line|reading from stdin|Inappropriate ioctl|works? in main thread"
    r"|unsupported locale setting|No time zone found with key|Missing optional dependency"
    r"|`Import \S+` failed|suitable TLS CA certificate bundle|has no \S+ profile configured"
    r"|invalid utf-8 sequence"
    r"|<.{1,200} at 0x[0-9a-f]+>"
)
MISSING_FILE = re.compile(r"No such file or directory|unable to open database file|no such table")
MAX_ERROR = 1000  # characters; longer outputs are texts that may quote such messages


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool and its output."""

    name: str
    arguments: dict[str, Any]
    output: str


def use_replies(name: str, reply: Callable[..., tuple[tuple[str, str], ...]]) -> None:
    """Add a model to the offline LLM that makes tool calls, then answers.

    Args:
        name: The name of the model.
        reply: Returns the calls for the messages and the offered tools, as pairs of name and JSON
            arguments.
    """
    replies = importlib.import_module(f"{PACKAGE}.runtime.llm.offline.replies")

    def call_then_answer(messages: list[Any], tools: list[Any]) -> Any:
        if messages[-1]["role"] != "tool" and (calls := reply(messages, tools)):
            return replies.Reply(calls=calls)
        return replies.demo(messages, [])

    replies.REPLIES[name] = call_then_answer


def with_many_arguments(_messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
    """Call each tool several times, so that each argument has each of its values."""
    return tuple(
        (tool["name"], json.dumps(arguments))
        for tool in tools
        for arguments in argument_sets(tool["parameters"])
    )


def with_first_arguments(
    name: str, _messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call one tool, with its required arguments."""
    calls = {tool["name"]: argument_sets(tool["parameters"])[0] for tool in tools}
    return ((name, json.dumps(calls[name])),) if name in calls else ()


def with_data_of_user(
    users: Sequence[str], messages: list[Any], tools: list[Any]
) -> tuple[tuple[str, str], ...]:
    """Call tools with texts that start with the user's name: first those that take the fewest.

    A tool without arguments may return what another one has stored for the previous user.
    """
    text = str(messages)
    names = sorted((user for user in users if user in text), key=text.rfind)
    argument = json.dumps(f"{names[-1]}-argument") if names else EXAMPLE
    sets = {tool["name"]: json.dumps(argument_sets(tool["parameters"])[0]) for tool in tools}
    calls = [(name, arguments.replace(EXAMPLE, argument)) for name, arguments in sets.items()]
    return tuple(sorted(calls, key=lambda call: len(call[1])))


def argument_sets(schema: Schema) -> list[dict[str, Any]]:
    """Return valid arguments for a schema: first the required ones alone, then all."""
    return _objects(schema, schema, 0)[:MAX_CALLS] or [{}]


def _objects(schema: Schema, root: Schema, depth: int) -> list[dict[str, Any]]:
    properties = schema.get("properties", {})
    values = {name: list(_values(part, root, depth)) for name, part in properties.items()}
    values = {name: found for name, found in values.items() if found}
    required = schema.get("required", [])
    if not values.keys() >= set(required):  # a model that contains itself, too deep
        return []
    objects = [{name: values[name][0] for name in required}]
    for number in range(max(map(len, values.values()), default=0)):
        objects.append({name: found[number % len(found)] for name, found in values.items()})
    return [one for at, one in enumerate(objects) if one not in objects[:at]]


def _values(schema: Any, root: Schema, depth: int) -> Iterator[Any]:
    """Yield valid values, plain ones first; none if models nest too deeply."""
    if depth > MAX_DEPTH:
        return
    if not isinstance(schema, dict):
        schema = {}
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
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
        values = [*schema.get("examples", []), *FORMATS.get(schema.get("format"), VALUES[kinds])]
        for bound in ("minimum", "maximum"):
            values += [schema[bound]] if bound in schema else []
        yield from (value for value in values if _is_valid(value, schema))


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
        return is_long_enough and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    step = schema.get("multipleOf")
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", value - 1) < value
        and value < schema.get("exclusiveMaximum", value + 1)
        and (not step or value % step == 0)
    )


def calls_in(items: list[Item]) -> list[ToolCall]:
    """Return the tool calls in an answer that have an output."""
    outputs = {item.get("call_id"): item.get("output") for item in items if "output" in item}
    calls = []
    for item in items:
        if item.get("type") == "function_call" and item.get("call_id") in outputs:
            arguments: Any = {}
            with suppress(TypeError, ValueError):
                arguments = json.loads(item.get("arguments", "{}"))
            output = outputs[item.get("call_id")]
            text = output if isinstance(output, str) else json.dumps(output, default=str)
            calls.append(ToolCall(str(item.get("name")), arguments, text))
    return calls


def broken_calls(calls: list[ToolCall]) -> Iterator[ToolCall]:
    """Yield the calls whose output shows a mistake in the code of the tool."""
    for call in calls:
        others = [one for one in calls if one.name == call.name]
        if len(call.output) <= MAX_ERROR and _is_bug(call, others):
            yield call


def _is_bug(call: ToolCall, others: list[ToolCall]) -> bool:
    if MISSING_FILE.search(call.output):
        # A name that depends on the arguments is the caller's.
        names = {MISSING_FILE.split(one.output)[-1].casefold() for one in others}
        return len(names) == 1 and not any(text in name for name in names for text in _texts(call))
    # An error that repeats a text is about the text, such as the name of an attribute.
    if not BUGS.search(call.output) or any(map(_repeats, others)):
        return False
    if "'NoneType'" not in call.output:
        return True
    # What was not found may be missing data, unless only an omitted argument is None.
    most = max(len(_given(one)) for one in others)
    complete = [one for one in others if len(_given(one)) == most]
    return len(_given(call)) < most and not any("'NoneType'" in one.output for one in complete)


def _given(call: ToolCall) -> set[str]:
    return {name for name, value in call.arguments.items() if value is not None}


def _repeats(call: ToolCall) -> bool:
    """Return whether the output is an error that contains a text of the arguments."""
    if not BUGS.search(call.output):
        return False
    texts = {text.casefold() or "''" for text in TEXTS} & {text or "''" for text in _texts(call)}
    return any(text in call.output.casefold() for text in texts)


def _texts(call: ToolCall) -> list[str]:
    """Return each value of the arguments as a text, in lower case."""
    return [str(leaf).casefold() for leaf in leaves(call.arguments)]
