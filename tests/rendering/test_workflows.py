"""The generated CI workflows: valid for their service, the same checks, the first check works."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.helpers.template import ROOT
from tests.rendering.workflows import (
    CHECKS,
    RELEASES,
    WORKFLOWS,
    caches_packages,
    commands,
    exceptions,
    first_check,
    release_steps,
    versions,
    workflow,
)
from tests.updates.projects import ANSWERS, Repository

MARKED = "<<<<<<< {mine}\none\n=======\nanother\n>>>>>>> {theirs}\n"


@pytest.fixture(params=WORKFLOWS)
def ci(request: pytest.FixtureRequest) -> str:
    """The name of a service."""
    return request.param


@pytest.fixture
def repository(ci: str, render: Render, tmp_path: Path) -> Repository:
    """A project with the workflow of that service, which the test may change."""
    repository = Repository(tmp_path / "weather-agent")
    shutil.copytree(render(ci=ci), repository.folder)
    repository.git("init", "--quiet")
    repository.commit()
    return repository


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("files", [CHECKS, RELEASES])
def test_workflow_matches_the_schema_of_its_service(
    files: dict[str, str], ci: str, render: Render
) -> None:
    name, schema = files[ci], WORKFLOWS[ci][1]
    options = ["--builtin-schema", schema]
    if ci == "azure":
        # Its schema uses Python's regular expressions, and allows only strings as values.
        options += ["--regex-variant", "python", "--data-transform", "azure-pipelines"]
    done = run("check-jsonschema", *options, render(ci=ci) / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_rejects_a_misspelled_key(render: Render, tmp_path: Path) -> None:
    workflow = (render(ci="github") / WORKFLOWS["github"][0]).read_text(encoding="utf-8")
    misspelled = tmp_path / "ci.yml"
    misspelled.write_text(workflow.replace("runs-on:", "run-on:"), encoding="utf-8")
    schema = WORKFLOWS["github"][1]
    assert run("check-jsonschema", "--builtin-schema", schema, misspelled).returncode != 0


def test_github_workflows_pass_the_security_audit(render: Render) -> None:
    folders = (render(ci="github") / ".github", ROOT / ".github")
    done = run("zizmor", "--offline", "--persona", "pedantic", *folders)
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_and_ci_use_one_uv_and_one_python(ci: str, render: Render) -> None:
    dockerfile = (render(ci=ci) / "Dockerfile").read_text(encoding="utf-8")
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim ", dockerfile, re.MULTILINE)
    (uv,) = re.findall(r"^RUN pip install .*uv==([\d.]+)$", dockerfile, re.MULTILINE)
    assert versions(ci, render(ci=ci)) == (uv, python)
    release = (render(ci=ci) / RELEASES[ci]).read_text(encoding="utf-8")
    assert uv in release
    assert set(re.findall(r"\b3\.\d+\b", release)) == {python}


def test_this_repository_uses_the_uv_and_the_python_of_its_agents(render: Render) -> None:
    uv, python = versions("github", render(ci="github"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"UV_VERSION := {uv}\n" in makefile
    workflow = (ROOT / WORKFLOWS["github"][0]).read_text(encoding="utf-8")
    assert f'version: "{uv}"\n' in workflow
    assert f'python-version: "{python}"\n' in workflow


def test_packages_are_cached(ci: str, render: Render) -> None:
    assert caches_packages(ci, render(ci=ci))


def test_every_service_runs_the_same_checks(ci: str, render: Render) -> None:
    found = commands(ci, render(ci=ci))
    assert found[0] == commands("github", render(ci="github"))[0]
    assert found[1:] == [
        "uv sync --locked",
        "uv run ruff check" + " --output-format=github" * (ci == "github"),
        "uv run ruff format --check",
        "uv run ast-grep scan --config tests/contract/source/sgconfig.yml"
        + " --format github" * (ci == "github")
        + " src",
        "uv run ty check",
        "uv run pytest",
    ]


def test_github_checks_pull_requests_and_the_main_branch(render: Render) -> None:
    found = workflow("github", render(ci="github"))
    assert found[True] == {"push": {"branches": ["main"]}, "pull_request": None}
    assert found["permissions"] == {"contents": "read"}
    group = "${{ github.workflow }}-${{ github.ref }}"
    assert found["concurrency"] == {"group": group, "cancel-in-progress": True}
    assert found["jobs"]["check"]["timeout-minutes"] == 15


def test_gitlab_checks_merge_requests_and_the_default_branch(render: Render) -> None:
    check = workflow("gitlab", render(ci="gitlab"))["check"]
    assert check["rules"] == [
        {"if": '$CI_PIPELINE_SOURCE == "merge_request_event"'},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"},
    ]
    assert check["timeout"] == "15 minutes"
    # GitLab caches only folders of the project, which may be on another volume than packages.
    assert check["variables"] == {"UV_CACHE_DIR": ".uv-cache", "UV_LINK_MODE": "copy"}


def test_azure_checks_pull_requests_and_the_main_branch(render: Render) -> None:
    found = workflow("azure", render(ci="azure"))
    assert (found["trigger"], found["pr"]) == (["main"], ["main"])
    assert found["pool"] == {"vmImage": "ubuntu-latest"}  # the scripts need its shell
    (job,) = found["jobs"]
    assert job["timeoutInMinutes"] == "15"
    assert job["steps"][0] == {"checkout": "self"}


def test_github_checks_and_releases_with_the_same_actions(render: Render) -> None:
    jobs = workflow("github", render(ci="github"))["jobs"] | parsed("github", render)["jobs"]
    checkouts, uv = zip(*(actions(jobs[name]) for name in ("check", "dev")), strict=True)
    for checkout in checkouts:
        assert checkout["with"] == {"persist-credentials": False}  # of the commit of the run
    assert "actions/checkout@" in checkouts[0]["uses"]
    for action in (checkouts, uv):
        assert len({step["uses"] for step in action}) == 1


@pytest.mark.parametrize("files", [CHECKS, RELEASES])
def test_no_step_is_left_out_and_every_failure_counts(
    files: dict[str, str], ci: str, render: Render
) -> None:
    """Only the evaluation is published after a failure, too.

    An evaluation that is repeated until it passes would prove nothing.
    """
    found = list(exceptions(ci, yaml.safe_load((render(ci=ci) / files[ci]).read_text("utf-8"))))
    assert found == [("condition", "succeededOrFailed()")] * (files[ci] == RELEASES["azure"])


def test_every_service_releases_with_the_same_commands(ci: str, render: Render) -> None:
    for llm in ("offline:/demo", "databricks:/an-endpoint"):
        project = render(ci=ci, llm=llm)
        commands = [step["command"] for step in release_steps(ci, project)]
        junit = " --junit evaluation/junit.xml" * (ci != "github")
        assert [command for command in commands if not command.startswith("pip install uv==")] == [
            "uv sync --locked --extra deploy",
            f"uv run weather-agent release{junit}",
        ]


def test_releases_log_in_without_a_secret(ci: str, render: Render) -> None:
    types = {"github": "github-oidc", "gitlab": "env-oidc", "azure": "azure-devops-oidc"}
    project = render(ci=ci)
    step = release_steps(ci, project)[-1]
    assert step["env"]["DATABRICKS_AUTH_TYPE"] == types[ci]
    text = (project / RELEASES[ci]).read_text(encoding="utf-8")
    assert not re.search(r"secrets\.|DATABRICKS_TOKEN|CLIENT_SECRET", text)


def test_releases_pass_what_the_login_and_the_agent_need(ci: str, render: Render) -> None:
    variables = {
        "github": {
            name: f"${{{{ vars.{name} }}}}"
            for name in ("DATABRICKS_HOST", "DATABRICKS_CLIENT_ID", "AGENT_MODEL_NAME")
        },
        "gitlab": {},  # it passes the variables of the environment, and the group, by itself
        "azure": {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"},
    }
    key = {
        "github": {"OPENAI_API_KEY": "${{ secrets.OPENAI_API_KEY }}"},
        "gitlab": {},
        "azure": {"OPENAI_API_KEY": "$(OPENAI_API_KEY)"},
    }
    for llm, more in (("offline:/demo", {}), ("openai:/gpt-5-mini", key[ci])):
        env = release_steps(ci, render(ci=ci, llm=llm))[-1]["env"]
        assert env.pop("DATABRICKS_AUTH_TYPE").endswith("oidc")
        assert env == {"MLFLOW_TRACKING_URI": "databricks"} | variables[ci] | more


def test_github_releases_a_tag_to_dev_and_then_to_prod(render: Render) -> None:
    release = parsed("github", render)
    assert release[True] == {"push": {"tags": ["v*"]}}  # `on` is true in YAML 1.1
    assert release["concurrency"] == {"group": "release", "cancel-in-progress": False}
    assert release["permissions"] == {}
    dev, prod = release["jobs"]["dev"], release["jobs"]["prod"]
    assert (dev["environment"], prod["environment"], prod["needs"]) == ("dev", "prod", "dev")
    assert dev["steps"] == prod["steps"]
    for job in (dev, prod):
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
        assert job["timeout-minutes"] == 120
    (setup,) = (step for step in dev["steps"] if "setup-uv" in str(step))
    assert setup["with"]["enable-cache"] is False  # others could write to it


def test_gitlab_releases_a_tag_to_dev_and_by_hand_to_prod(render: Render) -> None:
    release = parsed("gitlab", render)
    dev, prod = release["release to dev"], release["release to prod"]
    tag = {"if": "$CI_COMMIT_TAG =~ /^v/"}
    assert dev == {"extends": ".release", "environment": "dev", "rules": [tag]}
    assert prod == {
        "extends": ".release",
        "environment": "prod",
        "needs": ["release to dev"],
        "rules": [tag | {"when": "manual"}],
    }
    shared = release[".release"]
    assert shared["id_tokens"] == {"DATABRICKS_OIDC_TOKEN": {"aud": "$DATABRICKS_HOST"}}
    assert (shared["resource_group"], shared["timeout"]) == ("release", "2 hours")
    assert shared["stage"] == "deploy"
    junit = "evaluation/junit.xml"
    assert shared["artifacts"] == {"when": "always", "reports": {"junit": junit}}


def test_azure_releases_a_tag_to_dev_and_then_to_prod(render: Render) -> None:
    """Stages run in their order. A deployment waits for the checks of its environment."""
    release = parsed("azure", render)
    assert release["trigger"] == {"tags": {"include": ["v*"]}}
    assert release["pr"] == "none"
    assert release["pool"] == {"vmImage": "ubuntu-latest"}
    ((loop, (stage,)),) = release["stages"][0].items()
    assert loop == "${{ each target in split('dev,prod', ',') }}"
    (job,) = stage["jobs"]
    assert (stage["stage"], job["environment"]) == ("${{ target }}", "${{ target }}")
    assert job["variables"] == [{"group": "weather-agent-${{ target }}"}]
    assert job["timeoutInMinutes"] == "120"
    checkout, *_, publish = job["strategy"]["runOnce"]["deploy"]["steps"]
    assert checkout == {"checkout": "self"}
    assert publish["condition"] == "succeededOrFailed()"
    assert publish["inputs"] == {"testResultsFiles": "evaluation/junit.xml"}


def actions(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of a job of GitHub that use an action."""
    return [step for step in job["steps"] if "uses" in step]


def parsed(ci: str, render: Render) -> dict[Any, Any]:
    """Return the workflow of a service that releases."""
    return yaml.safe_load((render(ci=ci) / RELEASES[ci]).read_text(encoding="utf-8"))


def test_first_check_ignores_a_line_of_equal_signs(ci: str, repository: Repository) -> None:
    repository.append("README.md", "\nWeather\n=======\n")
    done = first_check(ci, repository.folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("file", ["pyproject.toml", "src/weather_agent/tools.py", "README.md"])
def test_first_check_reports_conflict_markers_and_a_fix(
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


def test_first_check_reports_the_markers_of_a_merge(ci: str, repository: Repository) -> None:
    repository.append("README.md", MARKED.format(mine="HEAD", theirs="feature"))
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert "<<<<<<< HEAD" in done.stdout


def test_first_check_reports_a_failed_update(ci: str, repository: Repository) -> None:
    """Renovate writes and commits this line even if Copier failed."""
    repository.append(ANSWERS, "\n#copier updated")
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert ":#copier updated\n" in done.stdout
    assert "docs/updating.md shows what to do" in done.stdout


def test_first_check_covers_only_the_agent_in_a_larger_repository(
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


def test_first_check_fails_outside_a_repository(ci: str, repository: Repository) -> None:
    shutil.rmtree(repository.folder / ".git")
    done = first_check(ci, repository.folder)
    assert done.returncode != 0
    assert "not a git repository" in done.stderr
