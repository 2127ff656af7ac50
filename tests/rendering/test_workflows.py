"""The generated workflows are valid for their services, and what they check first works."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.rendering.workflows import WORKFLOWS, commands, first_check
from tests.updates.projects import ANSWERS, Repository

MARKED = "<<<<<<< {mine}\none\n=======\nanother\n>>>>>>> {theirs}\n"


@pytest.fixture(params=WORKFLOWS)
def ci(request: pytest.FixtureRequest) -> str:
    """One of the services."""
    return request.param


@pytest.fixture
def repository(ci: str, render: Render, tmp_path: Path) -> Repository:
    """A project with the checks of that service, to be changed at will."""
    repository = Repository(tmp_path / "weather-agent")
    shutil.copytree(render(ci=ci), repository.folder)
    repository.git("init", "--quiet")
    repository.commit()
    return repository


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def test_the_schema_of_the_service_accepts_it(ci: str, render: Render) -> None:
    name, schema = WORKFLOWS[ci]
    options = ["--builtin-schema", schema]
    if ci == "azure":
        # Its schema is written in Python's dialect of regular expressions, and knows only strings.
        options += ["--regex-variant", "python", "--data-transform", "azure-pipelines"]
    done = run("check-jsonschema", *options, render(ci=ci) / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_notices_a_slip(render: Render, tmp_path: Path) -> None:
    workflow = (render(ci="github") / WORKFLOWS["github"][0]).read_text(encoding="utf-8")
    slip = tmp_path / "ci.yml"
    slip.write_text(workflow.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert run("check-jsonschema", "--builtin-schema", WORKFLOWS["github"][1], slip).returncode


def test_the_github_workflow_is_safe(render: Render) -> None:
    done = run("zizmor", "--offline", "--persona", "pedantic", render(ci="github") / ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_service_runs_the_same_checks(ci: str, render: Render) -> None:
    found = commands(ci, render(ci=ci))
    assert found[0] == commands("github", render(ci="github"))[0]
    assert found[1].endswith("install uv")
    assert found[2:] == [
        "uv sync --locked",
        "uv run ruff check" + " --output-format=github" * (ci == "github"),
        "uv run ruff format --check",
        "uv run ast-grep scan --config tests/contract/source/sgconfig.yml"
        + " --format github" * (ci == "github")
        + " src",
        "uv run ty check",
        "uv run pytest",
    ]


def test_the_first_check_passes_where_nothing_is_left(ci: str, repository: Repository) -> None:
    repository.append("README.md", "\nWeather\n=======\n")
    done = first_check(ci, repository.folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("file", ["pyproject.toml", "src/weather_agent/tools.py", "README.md"])
def test_it_shows_conflict_markers_and_the_way_out(
    file: str, ci: str, repository: Repository
) -> None:
    line = len(repository.read(file).splitlines()) + 1
    repository.append(file, MARKED.format(mine="before updating", theirs="after updating"))
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert done.stdout.splitlines()[:2] == [
        f"{file}:{line}:<<<<<<< before updating",
        f"{file}:{line + 4}:>>>>>>> after updating",
    ]
    assert "resolve the conflicts" in done.stdout


def test_it_shows_the_markers_of_a_merge_as_well(ci: str, repository: Repository) -> None:
    repository.append("README.md", MARKED.format(mine="HEAD", theirs="feature"))
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert "<<<<<<< HEAD" in done.stdout


def test_it_shows_an_update_that_did_not_run(ci: str, repository: Repository) -> None:
    """Renovate writes this line, and commits it even when Copier failed."""
    repository.append(ANSWERS, "\n#copier updated")
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert ":#copier updated\n" in done.stdout
    assert "uvx copier update" in done.stdout


def test_it_looks_at_the_agents_folder_of_a_larger_repository(
    ci: str, repository: Repository
) -> None:
    repository.write("agents/notes.md", MARKED.format(mine="HEAD", theirs="feature"))
    agent = repository.folder / "agents" / "weather-agent"
    shutil.copytree(
        repository.folder, agent, ignore=shutil.ignore_patterns(".git", "agents"), symlinks=True
    )
    repository.commit()
    assert first_check(ci, agent).returncode == 0
    repository.append("agents/weather-agent/README.md", "<<<<<<< HEAD\n")
    done = first_check(ci, agent)
    assert done.returncode != 0
    assert done.stdout.startswith("README.md:")


def test_it_fails_where_git_cannot_look(ci: str, repository: Repository) -> None:
    shutil.rmtree(repository.folder / ".git")
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert "not a git repository" in done.stderr
