"""Agents made from the template: installing them, changing their files, running commands."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.breakages.changes import Patch


@dataclass(frozen=True)
class Agent:
    """A generated repository with an installed environment."""

    folder: Path

    @property
    def package(self) -> Path:
        """The folder of the agent's Python package."""
        (package,) = (path.parent for path in self.folder.glob("src/*/agent.py"))
        return package

    @property
    def command(self) -> str:
        """The name of the agent's command."""
        settings = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        (name,) = settings["project"]["scripts"]
        return name

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the agent's environment; it may fail."""
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
        """Run a command that must succeed, and return its standard output."""
        done = self.run(*command, **environment)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def patched(self, file: str, old: str | None, new: str) -> Generator[None]:
        """Replace text in a file, or write a whole file, until the block ends.

        Args:
            file: The path of the file, relative to the package or else to the repository.
            old: The text to replace, which must occur once; None to write the whole file.
            new: The text that replaces it.
        """
        path = self.package / file if (self.package / file).exists() else self.folder / file
        original = path.read_text(encoding="utf-8") if path.exists() else None
        if old is None:
            path.write_text(new, encoding="utf-8")
        else:
            assert original is not None, f"{path} does not exist."
            times = original.count(old)
            assert times == 1, f"{old!r} occurs {times} times in {path}."
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
        """Apply patches in order, until the block ends."""
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(self.patched(patch.file, patch.old, patch.new))
            yield


def clean_environment() -> dict[str, str]:
    """Return the environment without the variables of MLflow that the tests set for themselves."""
    kept = "MLFLOW_DISABLE_TELEMETRY"
    return {
        name: value
        for name, value in os.environ.items()
        if name == kept or not name.startswith("MLFLOW_")
    }


def install(folder: Path) -> Agent:
    """Make a git repository of a rendered project, and install its environment."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["uv", "sync", "--quiet"], cwd=folder, check=True)
    return Agent(folder)


def install_copy(project: Path, parent: Path) -> Agent:
    """Copy a rendered project to a folder in `parent`, and install it there."""
    folder = parent / "weather-agent"
    shutil.copytree(project, folder)
    return install(folder)


def add_default_group(folder: Path) -> None:
    """Add a second group of development dependencies to a project, which uv installs by default."""
    settings, groups = folder / "pyproject.toml", "[dependency-groups]\n"
    text = settings.read_text(encoding="utf-8").replace(groups, f'{groups}docs = ["ruff"]\n')
    text += '\n[tool.uv]\ndefault-groups = ["dev", "docs"]\n'
    settings.write_text(text, encoding="utf-8")
    subprocess.run(["uv", "lock", "--quiet"], cwd=folder, check=True)


def parts_of_rules(project: Path) -> dict[str, str]:
    """Return the subject of each rule of a contract, such as `answers` or `source`, by name."""
    contract = project / "tests" / "contract"
    subjects = {
        name: path.stem.removeprefix("test_")
        for path in sorted(contract.glob("test_*.py"))
        for name in re.findall(r'rule\(\s*"([\w-]+)"', path.read_text(encoding="utf-8"))
    }
    return subjects | {path.stem: "source" for path in contract.glob("source/rules/*.yml")}


def rules_of(project: Path) -> set[str]:
    """Return the names of all rules of a project's contract."""
    return set(parts_of_rules(project))
