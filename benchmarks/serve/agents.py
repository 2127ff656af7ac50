"""The agent that is measured."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make_agent(folder: Path) -> Path:
    """Make an agent of the last commit, with its environment."""
    copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
    subprocess.run([*copy, "--data=project_name=weather-agent", ROOT, folder], check=True)
    without_ours = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    sync = ("uv", "sync", "--quiet", "--no-dev", "--compile-bytecode")  # as in its image
    subprocess.run(sync, cwd=folder, env=without_ours, check=True)
    return folder
