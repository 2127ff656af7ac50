"""The answers file: which template, which version, and the answers to its questions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..project import ROOT, ProjectError

ANSWERS_FILE = ".copier-answers.yml"


@dataclass(frozen=True)
class Answers:
    """What the answers file records.

    Attributes:
        source: The URL or the folder of the template.
        version: The version of the template: a tag, or a description of a commit.
        values: The answers to the questions.
    """

    source: str
    version: str
    values: dict[str, Any]

    @property
    def package(self) -> str:
        """The name of the package."""
        default = str(self.values.get("project_name", "")).replace("-", "_")
        return str(self.values.get("package_name") or default)


def read_answers(path: Path) -> dict[str, Any]:
    """Return the content of the answers file.

    Raises:
        ProjectError: It is missing or invalid.
    """
    try:
        recorded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProjectError(
            f"{path.name} is missing. Restore it: `git checkout HEAD -- {path.name}`."
        ) from error
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ProjectError(f"Cannot read {path.name}: {error}. Restore it with git.") from error
    if not isinstance(recorded, dict):
        raise ProjectError(f"{path.name} contains no answers. Restore it with git.")
    return recorded


def load_answers(path: Path = ROOT / ANSWERS_FILE) -> Answers:
    """Return what the answers file records.

    Raises:
        ProjectError: The file is missing or invalid, or names no version.
    """
    recorded = read_answers(path)
    for name in ("_src_path", "_commit"):
        if not isinstance(recorded.get(name), str):
            raise ProjectError(
                f"{path.name} lacks {name}. If the agent was made from a folder without git, no "
                "version is recorded; make a new agent from a release, and move your files to it."
            )
    values = {name: value for name, value in recorded.items() if not name.startswith("_")}
    return Answers(recorded["_src_path"], recorded["_commit"], values)
