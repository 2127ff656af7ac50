"""The README's map of files says of every file whose it is, and says the truth."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.helpers.template import tracked_files
from tests.rendering.combinations import label, pairwise
from tests.updates.projects import owners_files

OWNERS = {"yours", "template's", "shared", "Copier's"}
COMBINATIONS = pairwise()
ROW = re.compile(r"^\| (`.+?`) \| .+ \| (.+) \|$", re.MULTILINE)


@pytest.fixture(params=COMBINATIONS, ids=label)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project; not to be changed."""
    answers: dict[str, Any] = request.param
    return render(**answers)


def map_of_files(project: Path) -> dict[str, str]:
    """Each file or folder that the README's map names, and whose it is.

    A row may name several: those without a folder stand beside the first.
    """
    readme = (project / "README.md").read_text(encoding="utf-8")
    _, _, after = readme.partition("\n## Map of files\n")
    section, _, _ = after.partition("\n## ")
    found: dict[str, str] = {}
    for names, owner in ROW.findall(section):
        first, *others = re.findall(r"`([^`]+)`", names)
        beside = [first.rpartition("/")[0] + "/" * ("/" in first) + name for name in others]
        for name in (first, *beside):
            assert name not in found, f"{name} is named twice."
            found[name] = owner
    return found


def rendered_files(project: Path) -> list[str]:
    """The files of a rendered project, whether git would track them or not."""
    paths = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if ".git" not in path.parts)


def is_named(file: str, name: str) -> bool:
    """Whether a row that names a file or a folder speaks of a file."""
    return file == name or (name.endswith("/") and file.startswith(name))


def test_every_file_is_named_once_in_the_map(project: Path) -> None:
    names = map_of_files(project)
    rows = {
        file: [name for name in names if is_named(file, name)] for file in rendered_files(project)
    }
    assert {file: found for file, found in rows.items() if len(found) != 1} == {}


def test_every_row_names_what_is_there_and_an_owner(project: Path) -> None:
    for name, owner in map_of_files(project).items():
        path = project / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name
        assert owner in OWNERS, name


def test_files_called_yours_are_those_that_updates_leave_alone(project: Path) -> None:
    (config,) = project.glob("src/*/config.yml")
    left_alone = {file.replace("{{ package_name }}", config.parent.name) for file in owners_files()}
    assert {name for name, owner in map_of_files(project).items() if owner == "yours"} == left_alone


def test_nothing_that_git_ignores_is_shipped(project: Path, tmp_path: Path) -> None:
    # An update would overwrite it, and git could not bring it back.
    files = rendered_files(project)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((project / ".gitignore").read_bytes())
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert [path.as_posix() for path in tracked_files(tmp_path)] == files
