"""The rendered files for combinations of answers."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.conftest import Render
from tests.helpers.template import TEMPLATE, tracked_files
from tests.rendering.combinations import label, pairwise

COMBINATIONS = pairwise()


@pytest.fixture(scope="module")
def projects(render: Render) -> list[Path]:
    """A rendered project for each combination."""
    return [render(**answers) for answers in COMBINATIONS]


@pytest.fixture(params=COMBINATIONS, ids=label)
def combination(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def project(combination: dict[str, Any], render: Render) -> Path:
    return render(**combination)


def text_files(project: Path) -> dict[str, str]:
    """Return every file of a rendered project with its text."""
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in project.rglob("*")
        if path.is_file() and not {".git", ".venv"} & set(path.relative_to(project).parts)
    }


def test_no_jinja_remains(project: Path) -> None:
    for name, text in text_files(project).items():
        if name.endswith(".j2"):  # a template of the agent
            continue
        without_workflow_syntax = re.sub(r"\$\{\{.*?\}\}", "", text)
        assert not re.search(r"{{ |{%|{#| }}", without_workflow_syntax + name), name


def test_files_end_in_one_newline_without_trailing_spaces(project: Path) -> None:
    for name, text in text_files(project).items():
        if text and "LICENSE" not in name:
            assert text.endswith("\n"), name
            assert not text.endswith("\n\n"), name
            assert not re.search(r"[ \t]$", text, re.MULTILINE), name
            assert "\n\n\n\n" not in text, name


def test_data_files_parse(project: Path) -> None:
    tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    for path in project.rglob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    for path in project.rglob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8")), path


def test_answers_appear_in_the_project(combination: dict[str, Any], project: Path) -> None:
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["name"] == combination["project_name"]
    assert metadata["description"] == combination.get("description", metadata["description"])
    assert metadata.get("license", "none") == combination["license"]
    assert (project / "LICENSE").exists() == (combination["license"] != "none")
    if "author" in combination:
        assert metadata["authors"] == [{"name": combination["author"]}]
    (config,) = project.glob("src/*/config.yml")
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["llm"] == combination["llm"]
    package = combination.get("package_name", combination["project_name"].replace("-", "_"))
    assert config.parent.name == package


@pytest.mark.parametrize(
    ("ci", "file"),
    [
        ("github", ".github/workflows/ci.yml"),
        ("gitlab", ".gitlab-ci.yml"),
        ("azure", "azure-pipelines.yml"),
        ("github", ".github/workflows/release.yml"),
        ("azure", "azure-release.yml"),
    ],
)
def test_only_the_chosen_ci_is_rendered(ci: str, file: str, render: Render) -> None:
    assert (render(ci=ci) / file).is_file()
    for other in {"github", "gitlab", "azure", "none"} - {ci}:
        assert not (render(ci=other) / file).exists()
        assert file not in (render(ci=other) / "README.md").read_text(encoding="utf-8")
    assert not (render(ci="none") / ".github").exists()


def test_git_ignores_no_rendered_file(project: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    tracked = {path.as_posix() for path in tracked_files(project)}
    assert tracked == text_files(project).keys()


@pytest.mark.parametrize("command", ["ruff check --no-cache", "ruff format --check --no-cache"])
def test_ruff_passes_for_every_combination(command: str, projects: list[Path]) -> None:
    done = subprocess.run([*command.split(), *projects], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Only names differ between the Python files of combinations, so `make test` checks the defaults and
# the longest names: see tests/commands/test_compatibility.py. tests/frameworks has the frameworks,
# which are not installed here.
@pytest.mark.proof
def test_ty_passes_for_every_combination(render: Render) -> None:
    for answers in pairwise():
        project = render(**(answers | {"framework": "openai"}))
        done = subprocess.run(
            ["ty", "check", "--error-on-warning"], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{project}:\n{done.stdout}\n{done.stderr}"


def test_files_of_the_package_are_short(default_project: Path) -> None:
    lengths = {
        path.relative_to(default_project).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in default_project.glob("src/**/*.py")
    }
    assert lengths.pop("src/weather_agent/agent.py") <= 90
    assert {name: length for name, length in lengths.items() if length > 250} == {}


def test_rendering_twice_gives_the_same_files(
    render: Render, tmp_path: Path, snapshot: Path
) -> None:
    copier.run_copy(str(snapshot), tmp_path, data={"project_name": "weather-agent"}, defaults=True)
    first, second = text_files(render()), text_files(tmp_path)
    assert first == second


def test_every_template_file_is_rendered_somewhere(projects: list[Path]) -> None:
    rendered = {name.rpartition("/")[2] for project in projects for name in text_files(project)}
    for path in TEMPLATE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            name = re.sub(r"{%.*?%}|\.jinja$", "", path.name)
            assert name in rendered or "{{" in name, path
