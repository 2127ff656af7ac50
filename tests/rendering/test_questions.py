"""What the template asks, what it refuses, and that it needs no trust."""

import subprocess
from pathlib import Path
from typing import Any

import copier
import pytest

GOOD = {"project_name": "weather-agent"}

REFUSED = {
    "empty name": ({"project_name": ""}, "lower-case words joined by single hyphens"),
    "capitals": ({"project_name": "Weather-Agent"}, "lower-case words joined by single hyphens"),
    "underscore": ({"project_name": "weather_agent"}, "joined by single hyphens"),
    "two hyphens": ({"project_name": "weather--agent"}, "joined by single hyphens"),
    "digit first": ({"project_name": "2weather"}, "lower-case words"),
    "31 characters": ({"project_name": "a" * 31}, "at most 30"),
    "newline": ({"project_name": "weather\n"}, "lower-case words joined by single hyphens"),
    "path": ({"project_name": "../weather"}, "lower-case words joined by single hyphens"),
    "a module of Python": ({"project_name": "calendar"}, "calendar-agent is free"),
    "a library": ({"project_name": "mlflow"}, "mlflow-agent is free"),
    "hyphen in package": (GOOD | {"package_name": "weather-agent"}, "single underscores"),
    "long package": (GOOD | {"package_name": "a" * 31}, "at most 30"),
    "keyword": (GOOD | {"package_name": "class"}, "class_agent is free"),
    "reserved package": (GOOD | {"package_name": "openai"}, "openai_agent is free"),
    "quote": (GOOD | {"description": 'It says "hi".'}, "without double quotes"),
    "long description": (GOOD | {"description": "a" * 91}, "at most 90"),
    "two lines": (GOOD | {"description": "One.\nTwo."}, "one line"),
    "no description": (GOOD | {"description": " "}, "one line"),
    "bare model": (GOOD | {"llm": "gpt-5-mini"}, "offline:/demo, openai:/MODEL"),
    "unknown scheme": (GOOD | {"llm": "bedrock:/x"}, "offline:/demo, openai:/MODEL"),
    "no model": (GOOD | {"llm": "openai:/"}, "offline:/demo, openai:/MODEL"),
    "quote in author": (GOOD | {"license": "MIT", "author": 'A "B"'}, "without double quotes"),
    "unknown CI": (GOOD | {"ci": "jenkins"}, "ci"),
    "unknown licence": (GOOD | {"license": "GPL"}, "license"),
}


def git(folder: Path, command: str) -> str:
    return subprocess.run(
        ["git", *command.split()], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def copy(template: Path, folder: Path, answers: dict[str, Any]) -> None:
    copier.run_copy(str(template), folder, data=answers, defaults=True, unsafe=False, quiet=True)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_answers_are_refused_with_words(case: str, snapshot: Path, tmp_path: Path) -> None:
    answers, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        copy(snapshot, tmp_path / "agent", answers)
    assert not (tmp_path / "agent").exists(), "Something was written all the same."


def test_a_name_is_all_that_is_needed(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="project_name"):
        copy(snapshot, tmp_path / "agent", {})


def test_copy_and_update_need_no_trust(snapshot: Path, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    copy(snapshot, folder, GOOD)
    for command in ("init --quiet", "add --all", "commit --quiet -m First"):
        git(folder, command)
    copier.run_update(folder, defaults=True, unsafe=False, overwrite=True, quiet=True)
    assert git(folder, "status --porcelain") == ""
