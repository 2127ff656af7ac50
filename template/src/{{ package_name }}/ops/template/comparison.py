"""Compares each file with the template's version of it, and with the newest release."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Literal

from ..project import ProjectError
from .answers import ANSWERS_FILE
from .git import git
from .ownership import Owner, owner_of
from .releases import open_template, render
from .scratch import Scratch

# What `status` says about a file. Files that it says nothing about are the owner's own.
State = Literal["same", "edited", "drifted", "missing", "renamed", "retired", "new"]


@dataclass(frozen=True)
class FileStatus:
    """A file of the template.

    Attributes:
        path: The path in the repository, relative to the agent.
        owner: Who owns it.
        state: `same` as the recorded version; `edited` by its owner; `drifted`, which is edited but
            the template's; `missing`; `renamed` by the owner, so that updates with plain Copier
            lose it; `retired`, which the newest release lacks; `new` in the newest release.
        renamed_to: The new path of a renamed file.
    """

    path: str
    owner: Owner
    state: State
    renamed_to: str | None = None


@dataclass(frozen=True)
class Status:
    """How a repository differs from the template.

    Attributes:
        source: The template.
        version: The recorded version.
        newest: The newest release.
        behind: The releases after the recorded version.
        files: All files of the template, by their paths.
    """

    source: str
    version: str
    newest: str
    behind: list[str]
    files: list[FileStatus]

    @property
    def has_drifted(self) -> bool:
        """Whether a file that updates change was deleted or renamed, or is drifted.

        The owner's files do not count, because updates never change them.
        """
        files = (one for one in self.files if one.owner != "you")
        return any(one.state in ("drifted", "missing", "renamed") for one in files)


def compare(root: Path, scratch: Scratch) -> Status:
    """Compare the files on disk with the recorded version of the template.

    Args:
        root: The folder of the agent.
        scratch: A repository for the renderings.

    Raises:
        ProjectError: The template is not available.
    """
    folder = scratch.folder.parent
    answers, template = open_template(root, folder / "template")
    version, newest = answers.version, template.newest()
    render(
        template,
        {folder / "old": (version, answers.values), folder / "new": (newest, answers.values)},
    )
    old, new = (scratch.tree_of(folder / name) for name in ("old", "new"))
    files = list(_compare_files(root, scratch, old, new, answers.package))
    behind = template.crossed(version, newest)
    return Status(answers.source, version, newest, behind, sorted(files, key=lambda one: one.path))


def _compare_files(
    root: Path, scratch: Scratch, old: str, new: str, package: str
) -> Iterator[FileStatus]:
    old_files, new_files = (_blobs(scratch, tree) for tree in (old, new))
    renames, found = _renames(scratch, old), hash_files(root, old_files)
    for path, expected in old_files.items():
        owner, state = owner_of(path, package), _state_of(found.get(path), expected)
        if path == ANSWERS_FILE:
            continue
        if state == "missing" and path in renames:
            state = "renamed"
        elif state == "edited" and owner == "template":
            state = "drifted"
        elif state == "same" and path not in new_files:
            state = "retired"
        yield FileStatus(path, owner, state, renames.get(path) if state == "renamed" else None)
    for path in new_files.keys() - old_files.keys():
        yield FileStatus(path, owner_of(path, package), "new")


def _state_of(found: str | None, expected: str) -> State:
    if found is None:
        return "missing"
    return "same" if found == expected else "edited"


def _blobs(scratch: Scratch, tree: str) -> dict[str, str]:
    """Return the ids of the files in the agent's folder of a tree."""
    lines = scratch.git("ls-tree", "-r", "-z", tree).split("\0")[:-1]
    entries = (line.partition("\t") for line in lines)
    return {path.removeprefix(scratch.prefix): entry.split()[2] for entry, _, path in entries}


def _renames(scratch: Scratch, tree: str) -> dict[str, str]:
    """Return the new paths of files that the last commit has under other names."""
    options = ("-r", "--find-renames", "--diff-filter=R", "--name-status", "-z")
    arguments = ("diff-tree", *options, tree, scratch.head)
    fields = scratch.git(*arguments).split("\0")[:-1]
    paths = [path.removeprefix(scratch.prefix) for path in fields]
    return dict(zip(paths[1::3], paths[2::3], strict=True))


def hash_files(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the ids that git would give to files, after the conversion of line endings."""
    present = [path for path in paths if (root / path).is_file()]
    ids = git(root, "hash-object", "--stdin-paths", stdin="".join(f"{one}\n" for one in present))
    return dict(zip(present, ids.split(), strict=True))


def difference(root: Path, folder: Path, path: str) -> str:
    """Return how a file on disk differs from the recorded version of the template.

    Args:
        root: The folder of the agent.
        folder: A temporary folder.
        path: The file, relative to the agent.

    Raises:
        ProjectError: The template has no such file, or is not available.
    """
    answers, template = open_template(root, folder / "template")
    render(template, {folder / "old": (answers.version, answers.values)})
    rendered, file = folder / "old" / path, root / path
    if not rendered.is_file():
        raise ProjectError(
            f"{path} is not a file of the template {answers.version}. `status --json` lists them."
        )
    old, new = (
        one.read_text(encoding="utf-8") if one.is_file() else "" for one in (rendered, file)
    )
    names = (f"template {answers.version}: {path}", path)
    lines = unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)
