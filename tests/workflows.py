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


def first_check(ci: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run the first command, in the service's shell; it needs no environment."""
    shell = (*_SHELLS[ci], "-c", commands(ci, project)[0])
    return subprocess.run(shell, cwd=project, capture_output=True, text=True, check=False)
