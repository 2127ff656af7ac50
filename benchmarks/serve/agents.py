"""The agent that is measured."""

import subprocess
from pathlib import Path

from benchmarks.environment import ROOT, environment


def make_agent(folder: Path, framework: str = "openai") -> Path:
    """Create an agent from the last commit, and install its environment as in its image."""
    tools = environment()
    copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
    answers = ("--data=project_name=weather-agent", f"--data=framework={framework}")
    subprocess.run([*copy, *answers, str(ROOT), str(folder)], env=tools, check=True)
    sync = ("uv", "sync", "--quiet", "--no-dev", "--compile-bytecode")
    subprocess.run(sync, cwd=folder, env=tools, check=True)
    return folder
