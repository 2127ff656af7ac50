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


def moved_files(folder: str) -> set[str]:
    """Return the modules that v0.5.0 moved out of a folder, or the packages that contained them."""
    moves = yaml.safe_load((ROOT / MOVED_FILES).read_text(encoding="utf-8"))["v0.5.0"]
    modules = {Path(old).relative_to(folder) for old in moves if old.startswith(folder)}
    return {module.parts[0].removesuffix(".py") for module in modules if module.suffix == ".py"}


def exists(folder: Path, module: str) -> bool:
    """Return whether a module or a package is part of the template."""
    path = folder / module.replace(".", "/")
    candidates = (f"{path}.py", f"{path}.py.jinja", f"{path}/__init__.py")
    return any(Path(candidate).is_file() for candidate in candidates)


def test_all_moved_modules_are_known() -> None:
    assert HARNESS["MOVED_MODULES"].keys() == moved_files("src/PACKAGE/") - UNCHANGED
    assert HARNESS["MOVED_HELPERS"].keys() == moved_files("tests/contract/")


def test_all_new_modules_exist() -> None:
    contract = TEMPLATE / "tests" / "contract"
    tables = ((HARNESS["MOVED_MODULES"], PACKAGE), (HARNESS["MOVED_HELPERS"], contract))
    missing = {
        name
        for table, folder in tables
        for names in table.values()
        for name in names
        if not exists(folder, name)
    }
    assert missing == set()


def test_all_old_modules_are_in_the_docs() -> None:
    page = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")
    names = HARNESS["MOVED_MODULES"].keys() - {"cli", "report", "verify"}
    assert {name for name in names if f"`weather_agent.{name}`" not in page} == set()


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
        (
            "No module named 'tests.contract.subject'",
            "`tests.contract.subject` has moved to `tests.contract.harness.agents`.",
        ),
        ("No module named 'weather_agent.forecast'", None),
        ("No module named 'other.logs'", None),
        ("No module named 'logs'", None),
        ("No such file or directory: 'logs'", None),
    ],
)
def test_the_error_names_the_new_module(message: str, sentence: str | None) -> None:
    assert moved_module(message, "weather_agent") == sentence
