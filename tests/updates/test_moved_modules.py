"""`verify` knows where each module has moved."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.template import ROOT, TEMPLATE
from tests.updates.projects import MOVED_FILES

HARNESS: dict[str, Any] = runpy.run_path(
    str(TEMPLATE / "tests" / "contract" / "harness" / "moved_modules.py")
)
moved_module: Callable[[str, str], str | None] = HARNESS["moved_module"]
PACKAGE = TEMPLATE / "src" / "{{ package_name }}"
# The old name still works, since the folder exports the functions.
UNCHANGED = {"server"}


def moved_modules() -> set[str]:
    """Return the modules that v0.5.0 moved, or the packages that contained them."""
    folder = "src/PACKAGE/"
    moves = yaml.safe_load((ROOT / MOVED_FILES).read_text(encoding="utf-8"))["v0.5.0"]
    modules = {Path(old).relative_to(folder) for old in moves if old.startswith(folder)}
    return {module.parts[0].removesuffix(".py") for module in modules if module.suffix == ".py"}


def exists(module: str) -> bool:
    """Return whether a module or a package is part of the template."""
    path = PACKAGE / module.replace(".", "/")
    candidates = (f"{path}.py", f"{path}.py.jinja", f"{path}/__init__.py")
    return any(Path(candidate).is_file() for candidate in candidates)


def test_all_moved_modules_are_known() -> None:
    assert HARNESS["MOVED_MODULES"].keys() == moved_modules() - UNCHANGED


def test_all_new_modules_exist() -> None:
    new_names = {name for names in HARNESS["MOVED_MODULES"].values() for name in names}
    assert {name for name in new_names if not exists(name)} == set()


def test_all_old_modules_are_in_the_changelog() -> None:
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    table = page[page.index("### New import names") : page.index("## 0.4.0")]
    names = HARNESS["MOVED_MODULES"].keys() - {"ask", "cli", "report", "verify"}
    assert {name for name in names if f"`weather_agent.{name}" not in table} == set()


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "ModuleNotFoundError: No module named 'weather_agent.logs'",
            "`weather_agent.logs` has moved to `weather_agent.ops.log_filters`.",
        ),
        (
            "No module named 'weather_agent.conversation'",
            "`weather_agent.conversation` has moved to `weather_agent.runtime.messages` and "
            "`weather_agent.runtime.items`.",
        ),
        ("No module named 'weather_agent.forecast'", None),
        ("No module named 'other.logs'", None),
        ("No module named 'logs'", None),
        ("No such file or directory: 'logs'", None),
    ],
)
def test_the_error_names_the_new_module(message: str, sentence: str | None) -> None:
    assert moved_module(message, "weather_agent") == sentence
