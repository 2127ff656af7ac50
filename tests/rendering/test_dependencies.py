"""A generated project declares the packages that it imports, and no others."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render

# Imported by no module: Python's zoneinfo reads tzdata where the system has no time zones.
NOT_IMPORTED = "tzdata"
ANYIO = '    "anyio>=4.5",\n'


def deptry(project: Path) -> subprocess.CompletedProcess[str]:
    """Compare the imports of a project's package with the dependencies that it declares."""
    command = ["deptry", "--no-ansi", f"--per-rule-ignores=DEP002={NOT_IMPORTED}", "src"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(params=["offline:/demo", "databricks:/an-endpoint"])
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project, with and without Databricks' SDK among its dependencies."""
    return render(llm=request.param)


def test_imports_and_dependencies_agree(project: Path) -> None:
    done = deptry(project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("new", "finding"),
    [
        ("", "'anyio' imported but it is a transitive dependency"),
        ('    "anyio>=4.5",\n    "rich>=13.9",\n', "'rich' defined as a dependency but not used"),
    ],
)
def test_a_difference_is_reported(new: str, finding: str, project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(project, folder)
    settings = folder / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    assert ANYIO in text
    settings.write_text(text.replace(ANYIO, new), encoding="utf-8")
    done = deptry(folder)
    assert done.returncode != 0
    assert finding in done.stderr
