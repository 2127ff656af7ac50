"""The rule about files: how it reads .dockerignore, and which files it ignores."""

import runpy

import pytest

from tests.contract.breakages.changes import Patch, new_file
from tests.contract.workbench import Workbench
from tests.helpers.template import TEMPLATE

DATA = "src/agent/data/cities.csv"


@pytest.mark.parametrize(
    ("lines", "ignored"),
    [
        ([], False),
        (["*"], True),
        (["*", "!src"], False),
        (["*", "!/src/"], False),
        (["*", "!src/agent/*.py"], True),
        (["src/*/data"], True),
        (["src/*.csv"], False),
        (["src/**/*.csv"], True),
        (["**/*.csv"], True),
        (["**/data/**"], True),
        (["*.csv"], False),
        (["data"], False),
        (["./src/agent/data/"], True),
        (["src/agent/data/c?ties.[a-c]sv"], True),
        (["# src", "", "  src/agent/data  ", "! src/agent/data/cities.csv"], False),
        (["!src/agent/data", "src/agent/data"], True),
        (["src/agent/data/cities_csv", "src/agent/dat"], False),
    ],
)
def test_patterns_of_dockerignore(lines: list[str], ignored: bool) -> None:
    file = TEMPLATE / "tests/contract/harness/dockerignore.py"
    assert runpy.run_path(str(file))["is_ignored"](DATA, lines) == ignored


def test_files_that_no_developer_writes(workbench: Workbench) -> None:
    patches = [
        new_file("src/weather_agent/.cache", "x"),
        new_file("src/weather_agent/stale.pyc", "x"),
        Patch(".gitignore", ".venv/\n", ".venv/\n.cache\n"),
        new_file("src/weather_agent/cities.csv", "Oslo\n"),
    ]
    with workbench.agent.changed(patches):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "passed", finding.found


def test_a_wheel_that_needs_other_packages_is_not_built(workbench: Workbench) -> None:
    old, new = 'requires = ["hatchling>=1.26"]', 'requires = ["hatchling", "no-such-plugin"]'
    with workbench.agent.patched("pyproject.toml", old, new):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "passed", finding.found


def test_a_wheel_that_cannot_be_built(workbench: Workbench) -> None:
    with workbench.agent.patched("pyproject.toml", 'readme = "README.md"', 'readme = "READ.md"'):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "failed"
    assert finding.found == "The wheel cannot be built: Readme file does not exist: READ.md."
