"""Generated projects and this repository declare the packages that they import."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.helpers.template import QUESTIONS, ROOT

# Imported by no module: Python's zoneinfo reads tzdata where the system has no time zones.
NOT_IMPORTED = "tzdata"
# Its owner adds Spark, because uv would download 400 MB to lock it.
NOT_DECLARED = "pyspark|py4j"
PACKAGE = "weather_agent"
# deptry skips all folders named tests by default.
IGNORED = "|".join(
    [
        r"\.venv",
        r"\.uv",
        "benchmarks/frameworks/bare.py",
        "tests/adopting/repositories",
        "tests/clients/programs",
        "tests/contract/variations/agents",
    ]
)
ANYIO = '    "anyio>=4.5",\n'


def deptry(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Compare the imports of a project with the dependencies that it declares."""
    # It shares its namespace with databricks-sdk, and is not installed here.
    modules = (
        "--package-module-name-map=databricks-agents=databricks,openai-agents=agents,"
        "pydantic-ai-slim=pydantic_ai"
    )
    command = ["deptry", "--no-ansi", modules, *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def check_package(project: Path) -> subprocess.CompletedProcess[str]:
    """Check the package, which needs all dependencies of the project."""
    ignored = f"--per-rule-ignores=DEP001={NOT_DECLARED},DEP002={NOT_IMPORTED}"
    return deptry(project, ignored, "src")


def check_tests(project: Path, *folders: str, first_party: str) -> subprocess.CompletedProcess[str]:
    """Check folders that may import development dependencies, too."""
    known = [f"--known-first-party={name}" for name in first_party.split()]
    return deptry(project, "--ignore=DEP002,DEP004", f"--exclude={IGNORED}", *known, *folders)


@pytest.fixture(params=["offline:/demo", "databricks:/an-endpoint"])
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project, with and without Databricks' SDK among its dependencies."""
    return render(llm=request.param)


@pytest.mark.parametrize("framework", QUESTIONS["framework"]["choices"].values())
def test_imports_and_dependencies_of_frameworks_agree(framework: str, render: Render) -> None:
    done = check_package(render(framework=framework))
    assert done.returncode == 0, done.stderr


def test_imports_and_dependencies_agree(project: Path) -> None:
    for done in (check_package(project), check_tests(project, "tests", first_party=PACKAGE)):
        assert done.returncode == 0, done.stderr


def test_imports_of_this_repository_are_declared() -> None:
    folders = ("tests", "benchmarks", "docs", "hooks")
    done = check_tests(ROOT, *folders, first_party="tests benchmarks docs")
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
    done = check_package(folder)
    assert done.returncode != 0
    assert finding in done.stderr


def test_an_undeclared_import_of_a_test_is_reported(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(project, folder)
    (folder / "tests/test_more.py").write_text("import numpy\n", encoding="utf-8")
    done = check_tests(folder, "tests", first_party=PACKAGE)
    assert done.returncode != 0
    assert "'numpy' imported but it is a transitive dependency" in done.stderr
