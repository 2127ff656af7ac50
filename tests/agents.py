"""Agents made from the template, and running commands in them."""

import os
import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MLFLOW_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")


@dataclass(frozen=True)
class Agent:
    """A generated repository with its environment installed."""

    folder: Path

    @property
    def package(self) -> Path:
        """The folder of the agent's Python package."""
        (package,) = (path.parent for path in self.folder.glob("src/*/agent.py"))
        return package

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the agent's environment; what it returns is for the test to judge."""
        return subprocess.run(
            ["uv", "run", "--no-sync", *command],
            cwd=self.folder,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def check(self, *command: str, **environment: str) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def patched(self, name: str, old: str, new: str) -> Generator[None]:
        """Replace a piece of a file for the length of a block.

        Args:
            name: The file, relative to the repository, or to the package when it is there.
            old: What stands there now, exactly once.
            new: What stands there instead.
        """
        path = self.package / name if (self.package / name).exists() else self.folder / name
        original = path.read_text(encoding="utf-8")
        assert original.count(old) == 1, f"{old!r} stands {original.count(old)} times in {path}."
        path.write_text(original.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(original, encoding="utf-8")


def clean_environment() -> dict[str, str]:
    """The variables of this process without MLflow's: setting its store here sets one of them."""
    return {name: value for name, value in os.environ.items() if name not in MLFLOW_VARIABLES}


def install(folder: Path) -> Agent:
    """Make a rendered project a repository, and install its environment."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["uv", "sync", "--quiet"], cwd=folder, check=True)
    return Agent(folder)


def rules_of(project: Path) -> set[str]:
    """The names of all rules of a project's contract."""
    contract = project / "tests" / "contract"
    sources = (path.read_text(encoding="utf-8") for path in contract.glob("test_*.py"))
    names = {name for source in sources for name in re.findall(r'@rule\(\s*"([\w-]+)"', source)}
    return names | {path.stem for path in contract.glob("source/rules/*.yml")}
