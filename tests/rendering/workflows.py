"""The generated CI workflows: their files, their tools, and their steps run as in the service."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The file of each service, and its JSON schema in check-jsonschema.
WORKFLOWS = {
    "github": (".github/workflows/ci.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
    "azure": ("azure-pipelines.yml", "vendor.azure-pipelines"),
}
# The file with the checks of each service, and the file that releases a tag.
CHECKS = {ci: file for ci, (file, _) in WORKFLOWS.items()}
RELEASES = {
    "github": ".github/workflows/release.yml",
    "gitlab": ".gitlab-ci.yml",
    "azure": "azure-release.yml",
}
# Settings with which a step or job is left out, runs without those before, may fail or is repeated.
_EXCEPTIONS = {
    "github": {"if", "continue-on-error"},
    "gitlab": {"allow_failure", "retry"},
    "azure": {"condition", "continueOnError", "dependsOn", "enabled", "retryCountOnTaskFailure"},
}
_SHELLS = {
    "github": ("bash", "-e"),
    "gitlab": ("bash", "-e", "-o", "pipefail"),
    "azure": ("bash",),
}
_INSTALL_UV = re.compile(r"pip install uv==(\S+)")


def release_steps(ci: str, project: Path) -> list[dict[str, Any]]:
    """Return the steps of the release to dev, each with its `command` and its variables `env`."""
    found = yaml.safe_load((project / RELEASES[ci]).read_text(encoding="utf-8"))
    if ci == "gitlab":
        job = found[".release"]
        return [{"command": command, "env": job["variables"]} for command in job["script"]]
    if ci == "github":
        steps = found["jobs"]["dev"]["steps"]
    else:
        ((stages,),) = (stage.values() for stage in found["stages"])
        steps = stages[0]["jobs"][0]["strategy"]["runOnce"]["deploy"]["steps"]
    commands = [(step.get("run", step.get("script")), step.get("env", {})) for step in steps]
    return [{"command": command, "env": env} for command, env in commands if command]


def workflow(ci: str, project: Path) -> dict[Any, Any]:
    """Return the workflow of a service, parsed."""
    return yaml.safe_load((project / WORKFLOWS[ci][0]).read_text(encoding="utf-8"))


def exceptions(ci: str, found: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings at any depth of a workflow that leave out, repeat or excuse steps."""
    if isinstance(found, dict):
        yield from ((name, found[name]) for name in found if name in _EXCEPTIONS[ci])
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    for value in values:
        yield from exceptions(ci, value)


def commands(ci: str, project: Path) -> list[str]:
    """Return the commands of a workflow, in order, without the one that installs uv."""
    found = workflow(ci, project)
    if ci == "gitlab":
        every = found["check"]["before_script"] + found["check"]["script"]
    else:
        steps = found["jobs"]["check" if ci == "github" else 0]["steps"]
        every = [step.get("run", step.get("script")) for step in steps]
    return [command for command in every if command and not _INSTALL_UV.match(command)]


def versions(ci: str, project: Path) -> tuple[str, str]:
    """Return the versions of uv and Python that a workflow installs."""
    found = workflow(ci, project)
    if ci == "github":
        (setup,) = (step for step in found["jobs"]["check"]["steps"] if "setup-uv" in str(step))
        return setup["with"]["version"], setup["with"]["python-version"]
    (uv,) = set(_INSTALL_UV.findall(str(found).replace("'", " ")))
    if ci == "gitlab":
        return uv, found["check"]["image"].removeprefix("python:")
    (python,) = (step for step in found["jobs"][0]["steps"] if "UsePythonVersion" in str(step))
    return uv, python["inputs"]["versionSpec"]


def caches_packages(ci: str, project: Path) -> bool:
    """Return whether a workflow keeps uv's cache between runs, by the content of `uv.lock`."""
    found = workflow(ci, project)
    if ci == "github":
        (setup,) = (step for step in found["jobs"]["check"]["steps"] if "setup-uv" in str(step))
        return setup["with"]["enable-cache"]
    if ci == "gitlab":
        check = found["check"]
        same = check["cache"]["paths"] == [check["variables"]["UV_CACHE_DIR"]]
        return same and check["cache"]["key"]["files"] == ["uv.lock"]
    steps = [step.get("script", step.get("task")) for step in found["jobs"][0]["steps"]]
    position = steps.index("Cache@2")
    inputs = found["jobs"][0]["steps"][position]["inputs"]
    same = inputs == {"key": 'uv | "$(Agent.OS)" | uv.lock', "path": "$(UV_CACHE_DIR)"}
    return same and position < steps.index("uv sync --locked")


def run_as(
    ci: str, command: str, folder: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the shell of a service."""
    shell = (*_SHELLS[ci], "-c", command)
    return subprocess.run(shell, cwd=folder, env=env, capture_output=True, text=True, check=False)


def first_check(ci: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run the first command of a workflow, which needs no environment."""
    return run_as(ci, commands(ci, project)[0], project)
