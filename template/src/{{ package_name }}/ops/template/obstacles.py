"""What would make an update lose work: the states of a repository in which it must not start."""

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
        root: The top of the repository.

    Raises:
        ProjectError: An operation of git is unfinished, or a file has changes.
    """
    for name, operation in _UNFINISHED.items():
        if Path(root, git(root, "rev-parse", "--git-path", name).strip()).exists():
            raise ProjectError(f"git has not finished {operation}. Finish or abort it first.")
    if changed := git(root, "status", "--porcelain", "-z").split("\0")[:-1]:
        files = ", ".join(line[3:] for line in changed[:3])
        raise ProjectError(
            f"{files}{' and more' if len(changed) > 3 else ''}: not committed. Commit or stash "
            "your changes first."
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
        elif path not in flags and os.path.lexists(root / path):
            yield (
                f"{path} exists, but git does not track it. Move it away, or run `git add --force "
                f"{path}` and commit it."
            )
