"""Merges versions of the template with git."""

from dataclasses import dataclass
from pathlib import Path

from .git import GitError, git


@dataclass(frozen=True)
class Merge:
    """The result of a merge.

    Attributes:
        conflicts: The files with conflicts.
        deleted: The files that the template changed, and that stay deleted.
    """

    conflicts: list[str]
    deleted: list[str]


def merge_message(version: str) -> str:
    """Return the message of the commit that merges a version of the template."""
    return f"Update the template to {version}"


def merge_template(folder: Path, base: str, head: str, theirs: str, version: str) -> Merge:
    """Merge the commit `theirs` into `head`, which is checked out, in the index and the files.

    Args:
        folder: The top of the repository.
        base: The commit with the old version of the template.
        head: The commit of the agent.
        theirs: The commit with the new version.
        version: The new version, for the conflict markers.
    """
    labels = {f"GITHEAD_{head}": "yours", f"GITHEAD_{theirs}": f"template {version}"}
    command = ("merge-recursive", base, "--", head, theirs)
    git(folder, *command, accepted=(0, 1), variables=labels)
    stages: dict[str, set[str]] = {}
    for line in git(folder, "ls-files", "--unmerged", "-z").split("\0")[:-1]:
        entry, _, path = line.partition("\t")
        stages.setdefault(path, set()).add(entry.split()[2])
    # Files that the owner has deleted stay deleted.
    deleted = [path for path, found in stages.items() if found == {"1", "3"}]
    for path in deleted:
        git(folder, "update-index", "--force-remove", "--", path)
        if (folder / path).is_file():
            (folder / path).unlink()
    return Merge([path for path in stages if path not in deleted], deleted)


def changed_files(folder: Path, *compared: str) -> dict[str, str]:
    """Return the files that differ, with git's letter.

    Args:
        folder: The repository.
        compared: Two commits, or `--cached` and a commit that is compared with the index.
    """
    command = ("diff", "--name-status", "--no-renames", "-z", *compared)
    fields = git(folder, *command).split("\0")[:-1]
    return {path: letter for letter, path in zip(fields[::2], fields[1::2], strict=True)}


def start_merge(top: Path, base: str, head: str, theirs: str, version: str) -> Merge:
    """Start a merge that `git commit` finishes and `git merge --abort` undoes.

    The arguments are those of `merge_template`.
    """
    state = {
        "MERGE_HEAD": f"{theirs}\n",
        "MERGE_MODE": "no-ff",
        "MERGE_MSG": f"{merge_message(version)}\n",
    }
    files = {Path(top, git(top, "rev-parse", "--git-path", name).strip()): name for name in state}
    for path, name in files.items():
        path.write_text(state[name], encoding="utf-8")
    git(top, "update-ref", "ORIG_HEAD", head)
    try:
        return merge_template(top, base, head, theirs, version)
    except GitError:
        if not git(top, "status", "--porcelain", "--untracked-files=no"):  # git has changed nothing
            for path in files:
                path.unlink()
        raise
