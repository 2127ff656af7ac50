"""Checks that an update cannot lose work."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..project import ProjectError
from .git import git

# git's files of an operation that is not finished.
_UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}
_FLAGS = {
    "h": "assume-unchanged",
    "S": "skip-worktree",
    "s": "skip-worktree",
}


def require_clean(root: Path) -> None:
    """Check that the repository has no changes that a commit would not restore.

    Args:
        root: A folder of the repository.

    Raises:
        ProjectError: An operation of git is unfinished, or a file has changes.
    """
    for name, operation in _UNFINISHED.items():
        if Path(root, git(root, "rev-parse", "--git-path", name).strip()).exists():
            raise ProjectError(
                f"The repository is in the middle of {operation}. Finish or abort it first."
            )
    if changed := git(root, "status", "--porcelain", "--no-renames", "-z").split("\0")[:-1]:
        files = ", ".join(line[3:] for line in changed[:3])
        raise ProjectError(
            f"{files}{' and more' if len(changed) > 3 else ''}: not committed. Commit or stash "
            "your changes first."
        )


def require_free_branch(root: Path, branch: str, subject: str) -> None:
    """Check that an update can create a branch, or replace the one of an earlier update.

    Args:
        root: The top of the repository.
        branch: The branch, such as `template/v1.2.3`.
        subject: The subject of its last commit.

    Raises:
        ProjectError: A branch is in the way.
    """
    folder = branch.partition("/")[0]
    fields = "--format=%(refname:short)%00%(subject)%00%(worktreepath)"
    for line in git(root, "for-each-ref", fields, f"refs/heads/{folder}").splitlines():
        name, found, checked_out = line.split("\0")
        if name == branch and checked_out:
            raise ProjectError(
                f"The branch {branch} is checked out in {checked_out}. Switch to another branch: "
                "an update creates this one."
            )
        if (name == branch and found != subject) or name == folder or name.startswith(f"{branch}/"):
            raise ProjectError(
                f"The branch {name} is in the way: an update creates {branch}. Rename it: `git "
                f"branch -m {name} NEW_NAME`."
            )


def require_unobstructed(root: Path, paths: Iterable[str]) -> None:
    """Check that an update can write files without replacing work that git has not stored.

    Args:
        root: The top of the repository.
        paths: The files that the update writes or deletes.

    Raises:
        ProjectError: Some of them are in the way; the message names each with a remedy.
    """
    listed = git(root, "ls-files", "-v", "-z").split("\0")[:-1]
    flags = {line[2:]: line[0] for line in listed}
    problems = list(dict.fromkeys(_problems(root, paths, flags)))
    if problems:
        raise ProjectError(f"The update would replace work of yours: {' '.join(problems)}")


def _problems(root: Path, paths: Iterable[str], flags: dict[str, str]) -> Iterator[str]:
    for path in dict.fromkeys(paths):
        parents = [parent.as_posix() for parent in reversed(Path(path).parents[:-1])]
        if link := next((parent for parent in parents if (root / parent).is_symlink()), None):
            yield f"{link} is a symbolic link. Replace it with a folder that contains the files."
        elif flag := _FLAGS.get(flags.get(path, "")):
            yield (
                f"{path} is marked {flag}, which hides its changes. Run `git update-index "
                f"--no-{flag} {path}`, and commit or discard its changes."
            )
        elif untracked := _untracked(root, path, parents, flags):
            yield (
                f"{untracked} exists, but git does not track it. Move it away, or run `git add "
                f"--force {untracked}` and commit it."
            )


def _untracked(root: Path, path: str, parents: list[str], flags: dict[str, str]) -> str | None:
    """Return what git does not track at a path, or a file where the path needs a folder."""
    if (root / path).is_dir():
        return path if git(root, "ls-files", "--others", "--", path) else None
    files = [parent for parent in parents if (root / parent).is_file()]
    existing = (one for one in (*files, path) if os.path.lexists(root / one))
    return next((one for one in existing if one not in flags), None)
