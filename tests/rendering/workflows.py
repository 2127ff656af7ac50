"""The generated workflows: where they are, and their steps, run as the services run them."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = {
    "github": (".github/workflows/ci.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
    "azure": ("azure-pipelines.yml", "vendor.azure-pipelines"),
}
_SHELLS = {
    "github": ("bash", "-e"),
    "gitlab": ("bash", "-e", "-o", "pipefail"),
    "azure": ("bash",),
}


def commands(ci: str, project: Path) -> list[str]:
    """What a service runs, in this order; a command may have several lines."""
    text = (project / WORKFLOWS[ci][0]).read_text(encoding="utf-8")
    workflow: dict[str, Any] = yaml.safe_load(text)
    if ci == "gitlab":
        return workflow["check"]["before_script"] + workflow["check"]["script"]
    if ci == "github":
        return [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    return [step["script"] for step in workflow["jobs"][0]["steps"] if "script" in step]


def run_as(ci: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the shell of a service."""
    shell = (*_SHELLS[ci], "-c", command)
    return subprocess.run(shell, cwd=folder, capture_output=True, text=True, check=False)


def first_check(ci: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run the first command; it needs no environment."""
    return run_as(ci, commands(ci, project)[0], project)
