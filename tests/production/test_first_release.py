"""A new user follows the pages from an empty folder to a champion that answers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.agents import clean_environment
from tests.helpers.fake_workspace import fake_workspace
from tests.production.deployer import ENDPOINT, MODEL
from tests.server.serving import Served

pytestmark = pytest.mark.proof

COMMIT = ("git init --quiet", "uv sync --quiet --extra deploy", "git add --all")


def console_commands(page: Path, heading: str) -> list[str]:
    """Return the commands of the first console block under a heading."""
    section = page.read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block, heading
    return block[1].splitlines()


def test_the_commands_of_the_pages_release_a_new_agent(
    default_project: Path, tracking: Served, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    quick = console_commands(folder / "README.md", "Quick start")
    release = console_commands(folder / "docs" / "production.md", "The first release")
    steps = [line.split()[3] for line in release]
    assert steps == ["verify", "evaluate", "register", "deploy", "deploy", "promote"]
    with fake_workspace(tracking.url) as workspace:
        workspace.state.upstreams[""] = served.url
        # Without an account, as in the quick start, and then with a workspace in .env.
        run_all(quick, folder)
        variables = "".join(f"{name}={value}\n" for name, value in workspace.variables.items())
        (folder / ".env").write_text(variables, encoding="utf-8")
        run_all([*COMMIT, "git commit --quiet --message Start"], folder)
        outputs = run_all(release, folder)
        assert outputs[3].endswith("Nothing was changed\n")
        assert "The endpoint answered the input example" in outputs[4]
        assert outputs[5].endswith("weather-agent: Version 1 answers.\n")
        assert workspace.state.models[MODEL].aliases == {"challenger": "1", "champion": "1"}
        assert workspace.state.endpoints[ENDPOINT].answering == {"1": 100}
        assert outputs[2].endswith("its evaluation is passed\n")


def run_all(commands: list[str], folder: Path) -> list[str]:
    """Run commands that must succeed in a shell, and return what each printed."""
    outputs = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    return outputs
