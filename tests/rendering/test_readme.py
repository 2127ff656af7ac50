"""The annotated trees and the ownership table in the READMEs match the files."""

import re
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.helpers.template import ROOT, tracked_files
from tests.rendering.combinations import Answers, label, pairwise
from tests.updates.projects import owners_files

# Files that need no explanation.
OBVIOUS = {"README.md", "LICENSE", ".gitignore", ".gitattributes", ".dockerignore", "__init__.py"}


@pytest.fixture(params=pairwise(), ids=label)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project; tests must not change it."""
    answers: Answers = request.param
    return render(**answers)


def tree_paths(folder: Path) -> list[str]:
    """Return the paths in the tree of the README's section "Layout"."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("\n## Layout\n")[2].partition("```\n")[2].partition("```\n")[0]
    paths: list[str] = []
    parent = ""
    for line in tree.splitlines():
        nested = line.startswith(("├── ", "└── "))
        name = line[4:].split()[0] if nested else line.split()[0]
        parent = parent if nested else name
        paths.append(parent + name if nested else name)
    return paths


def assert_tree_matches(folder: Path, files: list[str]) -> None:
    """Every path in the tree exists, once, and every file has an entry of its own or its folder's.

    A folder whose content is listed does not stand for other files in it.
    """
    paths = tree_paths(folder)
    assert len(paths) == len(set(paths)) > 10
    assert [path for path in paths if not (folder / path).exists()] == []
    opened = {path for path in paths for other in paths if other != path and other.startswith(path)}
    files = [file for file in files if Path(file).name not in OBVIOUS]
    entries = {*paths} - opened
    assert [file for file in files if not any(covers(entry, file) for entry in entries)] == []


def covers(entry: str, file: str) -> bool:
    """Return whether an entry of the tree is a file, or the folder that contains it."""
    return file == entry or (entry.endswith("/") and file.startswith(entry))


def test_the_tree_of_a_project_lists_every_file(project: Path) -> None:
    paths = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    files = [path.as_posix() for path in paths if ".git" not in path.parts]
    assert_tree_matches(project, files)


def test_the_tree_of_this_repository_lists_every_file() -> None:
    assert_tree_matches(ROOT, [path.as_posix() for path in tracked_files()])


def test_the_ownership_table_matches_what_updates_leave_alone(project: Path) -> None:
    readme = (project / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (you|shared|template) \| (.+?) \|", readme, re.MULTILINE))
    assert rows.keys() == {"you", "shared", "template"}
    yours = set(re.findall(r"`([^`]+)`", rows["you"]))
    assert yours == {file.partition("{{ package_name }}/")[2] or file for file in owners_files()}
    (package,) = project.glob("src/*")
    for name in yours | set(re.findall(r"`([^`]+)`", rows["shared"])):
        assert (project / name).exists() or (package / name).exists(), name


def test_links_of_generated_pages_exist(project: Path) -> None:
    for page in (project / "README.md", *project.glob("docs/*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
