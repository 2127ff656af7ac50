"""The template's questions and their validators."""

from pathlib import Path
from typing import Any

import copier
import pytest

GOOD = {"project_name": "weather-agent"}

INVALID = {
    "empty name": ({"project_name": ""}, "lowercase words separated by single hyphens"),
    "capitals": ({"project_name": "Weather-Agent"}, "lowercase words separated by single hyphens"),
    "underscore": ({"project_name": "weather_agent"}, "separated by single hyphens"),
    "two hyphens": ({"project_name": "weather--agent"}, "separated by single hyphens"),
    "digit first": ({"project_name": "2weather"}, "lowercase words"),
    "31 characters": ({"project_name": "a" * 31}, "at most 30"),
    "newline": ({"project_name": "weather\n"}, "lowercase words separated by single hyphens"),
    "path": ({"project_name": "../weather"}, "lowercase words separated by single hyphens"),
    "a module of Python": ({"project_name": "calendar"}, "use calendar-agent"),
    "a library": ({"project_name": "mlflow"}, "use mlflow-agent"),
    "hyphen in package": (GOOD | {"package_name": "weather-agent"}, "single underscores"),
    "long package": (GOOD | {"package_name": "a" * 31}, "at most 30"),
    "keyword": (GOOD | {"package_name": "class"}, "use class_agent"),
    "reserved package": (GOOD | {"package_name": "openai"}, "use openai_agent"),
    "quote": (GOOD | {"description": 'It says "hi".'}, "without double quotes"),
    "long description": (GOOD | {"description": "a" * 91}, "at most 90"),
    "two lines": (GOOD | {"description": "One.\nTwo."}, "one line"),
    "control character": (GOOD | {"description": "\x1b[31mRed."}, "control characters"),
    "next line": (GOOD | {"description": "One.\x85Two."}, "control characters"),
    "no description": (GOOD | {"description": " "}, "one line"),
    "bare model": (GOOD | {"llm": "gpt-5-mini"}, "offline:/demo, openai:/MODEL"),
    "unknown scheme": (GOOD | {"llm": "bedrock:/x"}, "offline:/demo, openai:/MODEL"),
    "no model": (GOOD | {"llm": "openai:/"}, "offline:/demo, openai:/MODEL"),
    "quote in author": (GOOD | {"license": "MIT", "author": 'A "B"'}, "without double quotes"),
    "bell in author": (GOOD | {"license": "MIT", "author": "A\x07B"}, "control characters"),
    "unknown CI": (GOOD | {"ci": "jenkins"}, "ci"),
    "unknown license": (GOOD | {"license": "GPL"}, "license"),
}


def copy(template: Path, folder: Path, answers: dict[str, Any]) -> None:
    copier.run_copy(str(template), folder, data=answers, defaults=True, unsafe=False, quiet=True)


@pytest.mark.parametrize("case", INVALID)
def test_invalid_answers_are_rejected_with_a_message(
    case: str, snapshot: Path, tmp_path: Path
) -> None:
    answers, words = INVALID[case]
    with pytest.raises(ValueError, match=words):
        copy(snapshot, tmp_path / "agent", answers)
    assert not (tmp_path / "agent").exists(), "Copier wrote files despite the error."


def test_the_name_is_the_only_required_answer(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="project_name"):
        copy(snapshot, tmp_path / "agent", {})
