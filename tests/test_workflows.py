"""The generated workflows are valid for the services that will run them."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render

WORKFLOWS = {
    "github": (".github/workflows/ci.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
    "azure": ("azure-pipelines.yml", "vendor.azure-pipelines"),
}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("ci", WORKFLOWS)
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


@pytest.mark.parametrize("ci", WORKFLOWS)
def test_every_service_runs_the_same_checks(ci: str, render: Render) -> None:
    workflow = (render(ci=ci) / WORKFLOWS[ci][0]).read_text(encoding="utf-8")
    for command in (
        "uv sync --locked",
        "uv run check-merge-conflict --assume-in-merge",
        "uv run ruff check",
        "uv run ruff format --check",
        "uv run ast-grep scan --config tests/contract/source/sgconfig.yml",
        "uv run ty check",
        "uv run pytest",
    ):
        assert command in workflow
