"""Functions as tools: schemas, calls and the arguments of the offline LLM."""

import asyncio
import threading
from datetime import date
from enum import StrEnum
from functools import lru_cache
from types import FunctionType
from typing import Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel

from tests.conftest import Package


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Room(BaseModel):
    length: float
    width: float


def paint(
    room: Room, color: Color, coats: int = 2, finish: Literal["matt", "gloss"] = "matt"
) -> str:
    """Calculate how much paint a room needs.

    Windows are ignored.

    Args:
        room: The room's size, in meters.
        color: The color of the walls.
        coats: The number of layers.
    """
    liters = room.length * room.width * coats / 10
    return f"{liters:g} l of {finish} {color.value}"


def undocumented(number: int) -> int:
    return number


def fail(reason: str) -> str:
    """Fail."""
    raise RuntimeError(reason)


def leave() -> str:
    """End the process, as the parsers of command lines do."""
    raise SystemExit("usage: leave")


def fail_silently() -> str:
    """Fail."""
    raise KeyError


def parse() -> Room:
    """Validate data that is not an argument."""
    return Room.model_validate({"length": "long", "width": 1})


async def parse_later() -> Room:
    """Validate data that is not an argument."""
    return parse()


async def cancel_a_task() -> str:
    """Wait for a task that is cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(60))
    task.cancel()
    await task
    return "done"


def today() -> date:
    """Return the date."""
    return date(2026, 1, 31)


def measure() -> dict[str, float]:
    """Measure."""
    return {"width": 1.5}


def read_name(*, as_list: bool) -> str | list[str]:
    """Return a name that UTF-8 cannot encode."""
    return ["caf\udce9"] if as_list else "caf\udce9"


async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"{seconds:g} s later"


THREE_CALLS = threading.Barrier(3)


def block() -> str:
    """Block the thread until three calls are running."""
    THREE_CALLS.wait(timeout=20)
    return "Three calls are running."


@pytest.fixture
def toolbox(package: Package) -> Any:
    failing = [fail, fail_silently, leave, parse, parse_later, cancel_a_task]
    functions = [paint, undocumented, *failing, today, measure, read_name, wait, block]
    return package("runtime.toolbox").Toolbox(functions)


def specification(package: Package, function: object) -> dict[str, Any]:
    return package("runtime.toolbox").specification(function)["function"]


def test_specification_has_name_and_docstring(package: Package) -> None:
    tool = specification(package, paint)
    assert tool["name"] == "paint"
    assert tool["description"].startswith("Calculate how much paint a room needs.")
    assert "Windows" in tool["description"]
    assert "Args" not in tool["description"]


def test_parameters_come_from_type_hints_and_docstring(package: Package) -> None:
    parameters = specification(package, paint)["parameters"]
    assert parameters["required"] == ["room", "color"]
    assert parameters["additionalProperties"] is False
    properties = parameters["properties"]
    assert properties["room"]["description"] == "The room's size, in meters."
    assert properties["coats"]["type"] == "integer"
    assert properties["coats"]["description"] == "The number of layers."
    assert properties["finish"]["enum"] == ["matt", "gloss"]
    assert parameters["$defs"]["Color"]["enum"] == ["red", "blue"]


def test_function_with_a_cache_is_described_like_the_function(package: Package) -> None:
    assert specification(package, lru_cache(paint)) == specification(package, paint)


def test_positional_only_parameters_are_an_error(package: Package) -> None:
    def find(city: str, /) -> str:
        return city

    with pytest.raises(ValueError, match="The tool find has positional-only parameters"):
        package("runtime.toolbox").specification(find)


def test_description_without_a_docstring_is_the_name(package: Package) -> None:
    assert specification(package, undocumented)["description"] == "undocumented"


@pytest.mark.parametrize(
    ("name", "arguments", "output"),
    [
        ("paint", '{"room": {"length": 4, "width": 5}, "color": "red"}', "4 l of matt red"),
        ("undocumented", '{"number": 3}', "3"),
        ("today", "{}", '"2026-01-31"'),
        ("today", "", '"2026-01-31"'),
        ("measure", "{}", '{"width":1.5}'),
        ("read_name", '{"as_list": false}', r"caf\udce9"),
        ("read_name", '{"as_list": true}', "Error: read_name failed: Error serializing to JSON"),
        ("wait", '{"seconds": 0.01}', "0.01 s later"),
        ("wait", '{"seconds": "long"}', "Error: invalid arguments for wait: seconds: "),
        ("undocumented", "{}", "Error: invalid arguments for undocumented: number: "),
        ("undocumented", '{"number": "x"}', "Error: invalid arguments for undocumented"),
        ("undocumented", '{"number": 1, "more": 2}', "more: Unexpected keyword argument"),
        ("undocumented", "{'number': 1}", "Error: invalid arguments for undocumented"),
        ("fail", '{"reason": "It rains."}', "Error: fail failed: It rains."),
        ("fail_silently", "{}", "Error: fail_silently failed: KeyError"),
        ("leave", "{}", "Error: leave failed: usage: leave"),
        ("parse", "{}", "Error: parse failed: length: Input should be a valid number"),
        ("parse_later", "{}", "Error: parse_later failed: length: Input should be a valid number"),
        ("cancel_a_task", "{}", "Error: cancel_a_task failed: it was cancelled."),
        ("no_such_tool", "{}", "Error: unknown tool 'no_such_tool'; known tools: paint, "),
    ],
)
def test_output_of_a_call(toolbox: Any, name: str, arguments: str, output: str) -> None:
    assert output in asyncio.run(toolbox.run(name, arguments, max_length=1000))


@pytest.mark.parametrize(
    ("max_length", "output"),
    [(8, "It rains"), (6, "It rai\n[Truncated to 6 of 8 characters.]")],
)
def test_long_output_is_truncated(package: Package, max_length: int, output: str) -> None:
    def report() -> str:
        return "It rains"

    toolbox = package("runtime.toolbox").Toolbox([report])
    assert asyncio.run(toolbox.run("report", "{}", max_length=max_length)) == output


def test_end_of_the_request_cancels_a_tool(toolbox: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(0):
            await toolbox.run("wait", '{"seconds": 60}', max_length=100)

    with pytest.raises(TimeoutError):
        asyncio.run(run())


def test_blocking_functions_run_in_parallel(toolbox: Any) -> None:
    async def run_three() -> list[str]:
        runs = (toolbox.run("block", "{}", max_length=1000) for _ in range(3))
        return await asyncio.gather(*runs)

    assert asyncio.run(run_three()) == ["Three calls are running."] * 3


def test_empty_toolbox_sends_no_options(package: Package) -> None:
    assert package("runtime.toolbox").Toolbox([]).options(may_call=True) == {}


def test_example_tools(package: Package) -> None:
    tools = package("tools")
    assert "Asia/Tokyo" in tools.current_time("tokyo")
    assert "America/New_York" in tools.current_time("New York")
    assert "Europe/Paris" in tools.current_time("Europe/Paris")
    with pytest.raises(ValueError, match="Name a larger city"):
        tools.current_time("Atlantis")
    assert tools.days_between(date(2026, 3, 1), date(2026, 1, 31)) == -29


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("What is it in New York?", {"place": "New York"}),
        ('Take "the moon" instead.', {"place": "the moon"}),
        ("what time is it?", None),
    ],
)
def test_offline_llm_finds_names(
    package: Package, text: str, arguments: dict[str, str] | None
) -> None:
    schema = {"properties": {"place": {"type": "string"}}, "required": ["place"]}
    assert package("runtime.llm.offline.arguments").arguments_from_text(schema, text) == arguments


def test_offline_llm_finds_numbers_dates_and_choices(package: Package) -> None:
    schema = {
        "$defs": {"Color": {"type": "string", "enum": ["red", "blue"]}},
        "properties": {
            "color": {"$ref": "#/$defs/Color"},
            "start": {"type": "string", "format": "date"},
            "count": {"type": "integer"},
            "weight": {"type": "number"},
            "wet": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "required": ["color", "start", "count", "weight", "wet"],
    }
    arguments = package("runtime.llm.offline.arguments").arguments_from_text(
        schema, "Paint 3 Blue walls with 2.5 kg from 2026-01-31 on"
    )
    assert arguments == {
        "color": "blue",
        "start": "2026-01-31",
        "count": 3,
        "weight": 2.5,
        "wet": True,
    }


def test_offline_llm_generates_valid_arguments(package: Package, toolbox: Any) -> None:
    parameters = specification(package, paint)["parameters"]
    arguments = package("runtime.llm.offline.arguments").arguments_from_schema(parameters)
    assert arguments["color"] == "red"
    assert paint(Room(**arguments["room"]), Color(arguments["color"])).endswith("l of matt red")


class Node(BaseModel):
    name: str
    next: "Node | None"


def count_nodes(first: Node) -> int:
    """Count nodes."""
    return 1 if first.next is None else 1 + count_nodes(first.next)


def test_offline_llm_generates_arguments_that_contain_themselves(package: Package) -> None:
    parameters = specification(package, count_nodes)["parameters"]
    arguments = package("runtime.llm.offline.arguments").arguments_from_schema(parameters)
    assert count_nodes(Node.model_validate(arguments["first"])) > 1


class Point(NamedTuple):
    x: float
    y: float


def search(
    words: list[str],
    origin: Point,
    size: tuple[int, str],
    ids: tuple[int, ...],
    rooms: dict[str, list[Room]],
    color: Color | None,
    finish: Literal["matt", 1],
    code: int | str,
    kind: str,
    items: set[int] | None = None,
    **more: float,
) -> str:
    """Search."""
    return f"{words} {origin.x} {size} {ids} {rooms} {color} {finish} {code} {kind} {items}"


def ask_offline(package: Package, *tools: Any) -> str:
    """Offer tools to the offline LLM, which calls all of them, and return their arguments."""

    async def stream() -> str:
        llm = package("runtime.llm").connect("offline:/tools", timeout=1, max_retries=0)
        messages = [{"role": "user", "content": "Hello"}]
        chunks = [chunk async for chunk in llm.stream(messages, tools=tools)]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        return "".join(call["function"]["arguments"] for call in calls)

    return asyncio.run(stream())


@pytest.mark.parametrize("function", [search, paint, undocumented, today])
def test_offline_llm_accepts_the_schemas_of_type_hints(
    package: Package, function: FunctionType
) -> None:
    toolbox = package("runtime.toolbox").Toolbox([function])
    arguments = ask_offline(package, *toolbox.options(may_call=True)["tools"])
    output = asyncio.run(toolbox.run(function.__name__, arguments, max_length=1000))
    assert not output.startswith("Error")


def test_a_tool_does_not_wait_for_other_calls(package: Package) -> None:
    calls = 50
    barrier = threading.Barrier(calls, timeout=30)

    def meet() -> str:
        """Wait for the other calls."""
        barrier.wait()
        return "met"

    toolbox = package("runtime.toolbox").Toolbox([meet])

    async def meet_all() -> list[str]:
        return await asyncio.gather(
            *(toolbox.run("meet", "{}", max_length=1000) for _ in range(calls))
        )

    assert asyncio.run(meet_all()) == ["met"] * calls


def test_tool_without_parameters(package: Package) -> None:
    tool = {"type": "function", "function": {"name": "today"}}
    assert ask_offline(package, tool) == "{}"


def parameters(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ({"name": "größe"}, r"Invalid 'tools\[1\].function.name': 'größe' does not match"),
        ({"name": "<lambda>"}, "'<lambda>' does not match"),
        ({"name": "a" * 65}, "'a+' does not match"),
        ({"name": "paint"}, "Tool names must be unique, but 'paint' is repeated"),
        ({"name": "b", "description": "b" * 1025}, "The description of 'b' has 1025 characters"),
        ({"name": "b", "parameters": {}}, "function 'b': The schema must have the type 'object'"),
        ({"name": "b", "parameters": {"type": "object"}}, "object schema missing properties"),
        ({"name": "b", "parameters": parameters(c="string")}, "'c'.*, 'string' is not a schema"),
        ({"name": "b", "parameters": parameters(c={"type": "str"})}, "'str' is not a type"),
        (
            {"name": "b", "parameters": parameters(c={"anyOf": [{"type": "array"}]})},
            r"\('properties', 'c', 'anyOf', '0'\), array schema missing items",
        ),
        ({}, r"Invalid 'tools\[1\].function.name'"),
        (None, r"Missing required parameter: 'tools\[1\].function'"),
    ],
)
def test_offline_llm_refuses_tools_that_other_llms_refuse(
    package: Package, function: Any, problem: str
) -> None:
    accepted = {"type": "function", "function": specification(package, paint)}
    with pytest.raises(package("runtime.llm").LLMError, match=f"status 400: .*{problem}"):
        ask_offline(package, accepted, {"type": "function", "function": function})
