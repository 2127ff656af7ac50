"""Agents made from the template, and running commands in them."""

import os
import re
import subprocess
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.breakages.changes import Patch


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
    def patched(self, file: str, old: str | None, new: str) -> Generator[None]:
        """Replace a piece of a file, or add a file, for the length of a block.

        Args:
            file: The file, relative to the package when it is there, else to the repository.
            old: What stands there now, exactly once; None for a file that is not there.
            new: What stands there instead.
        """
        path = self.package / file if (self.package / file).exists() else self.folder / file
        original = None if old is None else path.read_text(encoding="utf-8")
        if original is None or old is None:
            assert not path.exists(), f"{path} is there already."
            path.write_text(new, encoding="utf-8")
        else:
            assert original.count(old) == 1, f"{old!r} stands {original.count(old)}x in {path}."
            path.write_text(original.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            if original is None:
                path.unlink()
            else:
                path.write_text(original, encoding="utf-8")

    @contextmanager
    def changed(self, patches: Iterable[Patch]) -> Generator[None]:
        """Apply several patches, one after the other, for the length of a block."""
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(self.patched(patch.file, patch.old, patch.new))
            yield


def clean_environment() -> dict[str, str]:
    """The variables of this process without those of MLflow that its own tests have set."""
    kept = "MLFLOW_DISABLE_TELEMETRY"
    return {
        name: value
        for name, value in os.environ.items()
        if name == kept or not name.startswith("MLFLOW_")
    }


def install(folder: Path) -> Agent:
    """Make a rendered project a repository, and install its environment."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["uv", "sync", "--quiet"], cwd=folder, check=True)
    return Agent(folder)


def parts_of_rules(project: Path) -> dict[str, str]:
    """The part of a project's contract that each rule belongs to, such as `answers` or `source`."""
    contract = project / "tests" / "contract"
    parts = {
        name: path.stem.removeprefix("test_")
        for path in sorted(contract.glob("test_*.py"))
        for name in re.findall(r'rule\(\s*"([\w-]+)"', path.read_text(encoding="utf-8"))
    }
    return parts | {path.stem: "source" for path in contract.glob("source/rules/*.yml")}


def rules_of(project: Path) -> set[str]:
    """The names of all rules of a project's contract."""
    return set(parts_of_rules(project))
