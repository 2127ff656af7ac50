"""Plain functions as tools: their schemas, and what becomes of a call."""

import asyncio
import threading
from datetime import date
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.conftest import Package


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Room(BaseModel):
    length: float
    width: float


def paint(
    room: Room, colour: Colour, coats: int = 2, finish: Literal["matt", "gloss"] = "matt"
) -> str:
    """Work out how much paint a room needs.

    It knows nothing of windows.

    Args:
        room: The room's size, in metres.
        colour: What it will look like.
        coats: How many layers.
    """
    litres = room.length * room.width * coats / 10
    return f"{litres:g} l of {finish} {colour.value}"


def undocumented(number: int) -> int:
    return number


def fail(reason: str) -> str:
    """Fail."""
    raise RuntimeError(reason)


def fail_silently() -> str:
    """Fail."""
    raise KeyError


def today() -> date:
    """Say what day it is."""
    return date(2026, 1, 31)


def measure() -> dict[str, float]:
    """Measure."""
    return {"width": 1.5}


async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"{seconds:g} s later"


THREE = threading.Barrier(3)


def block() -> str:
    """Wait until three are here, and let nobody else do anything meanwhile."""
    THREE.wait(timeout=20)
    return "All are here."


@pytest.fixture
def toolbox(package: Package) -> Any:
    functions = [paint, undocumented, fail, fail_silently, today, measure, wait, block]
    return package("toolbox").Toolbox(functions)


def specification(package: Package, function: object) -> dict[str, Any]:
    return package("toolbox").specification(function)["function"]


def test_name_and_description_come_from_the_function(package: Package) -> None:
    tool = specification(package, paint)
    assert tool["name"] == "paint"
    assert tool["description"].startswith("Work out how much paint a room needs.")
    assert "windows" in tool["description"]
    assert "Args" not in tool["description"]


def test_arguments_come_from_type_hints_and_docstring(package: Package) -> None:
    parameters = specification(package, paint)["parameters"]
    assert parameters["required"] == ["room", "colour"]
    assert parameters["additionalProperties"] is False
    properties = parameters["properties"]
    assert properties["room"]["description"] == "The room's size, in metres."
    assert properties["coats"]["type"] == "integer"
    assert properties["coats"]["description"] == "How many layers."
    assert properties["finish"]["enum"] == ["matt", "gloss"]
    assert parameters["$defs"]["Colour"]["enum"] == ["red", "blue"]


def test_a_function_without_a_docstring_is_described_by_its_name(package: Package) -> None:
    assert specification(package, undocumented)["description"] == "undocumented"


@pytest.mark.parametrize(
    ("name", "arguments", "output"),
    [
        ("paint", '{"room": {"length": 4, "width": 5}, "colour": "red"}', "4 l of matt red"),
        ("undocumented", '{"number": 3}', "3"),
        ("today", "{}", '"2026-01-31"'),
        ("today", "", '"2026-01-31"'),
        ("measure", "{}", '{"width":1.5}'),
        ("wait", '{"seconds": 0.01}', "0.01 s later"),
        ("wait", '{"seconds": "long"}', "Error: wait was called with wrong arguments: seconds: "),
        ("undocumented", "{}", "Error: undocumented was called with wrong arguments: number: "),
        ("undocumented", '{"number": "x"}', "Error: undocumented was called with wrong arguments"),
        ("undocumented", '{"number": 1, "more": 2}', "more: Unexpected keyword argument"),
        ("undocumented", "{'number': 1}", "Error: undocumented was called with wrong arguments"),
        ("fail", '{"reason": "It rains."}', "Error: fail failed: It rains."),
        ("fail_silently", "{}", "Error: fail_silently failed: KeyError"),
        ("no_such_tool", "{}", "Error: there is no tool 'no_such_tool'; there are paint, "),
    ],
)
def test_what_becomes_of_a_call(toolbox: Any, name: str, arguments: str, output: str) -> None:
    assert output in asyncio.run(toolbox.run(name, arguments))


def test_a_function_that_blocks_holds_nobody_up(toolbox: Any) -> None:
    async def three_at_once() -> list[str]:
        return await asyncio.gather(*(toolbox.run("block", "{}") for _ in range(3)))

    assert asyncio.run(three_at_once()) == ["All are here."] * 3


def test_without_tools_the_model_is_told_of_none(package: Package) -> None:
    assert package("toolbox").Toolbox([]).options(may_call=True) == {}


def test_the_example_tools(package: Package) -> None:
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
def test_the_offline_llm_finds_names(
    package: Package, text: str, arguments: dict[str, str] | None
) -> None:
    schema = {"properties": {"place": {"type": "string"}}, "required": ["place"]}
    assert package("offline_llm.arguments").arguments_from_text(schema, text) == arguments


def test_the_offline_llm_finds_figures_dates_and_choices(package: Package) -> None:
    schema = {
        "$defs": {"Colour": {"type": "string", "enum": ["red", "blue"]}},
        "properties": {
            "colour": {"$ref": "#/$defs/Colour"},
            "start": {"type": "string", "format": "date"},
            "count": {"type": "integer"},
            "weight": {"type": "number"},
            "wet": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "required": ["colour", "start", "count", "weight", "wet"],
    }
    found = package("offline_llm.arguments").arguments_from_text(
        schema, "Paint 3 Blue walls with 2.5 kg from 2026-01-31 on"
    )
    assert found == {
        "colour": "blue",
        "start": "2026-01-31",
        "count": 3,
        "weight": 2.5,
        "wet": True,
    }


def test_the_offline_llm_makes_up_arguments_that_a_schema_accepts(
    package: Package, toolbox: Any
) -> None:
    parameters = specification(package, paint)["parameters"]
    made_up = package("offline_llm.arguments").arguments_from_schema(parameters)
    assert made_up["colour"] == "red"
    assert paint(Room(**made_up["room"]), Colour(made_up["colour"])).endswith("l of matt red")
