"""The git repository of the agent."""

import os
import subprocess
from pathlib import Path

from .project import ROOT, ProjectError
from .requirements import locked_folders


def clean_commit() -> str | None:
    """Return the commit that is checked out; None without a commit or with uncommitted changes."""
    try:
        return None if _status() else _git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def require_commit() -> str:
    """Return the commit of the repository, which must contain everything in it.

    Raises:
        ProjectError: There is no commit, or it lacks a file or a change.
    """
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
    except OSError as error:
        raise ProjectError(
            f"A registered model must name its commit: {error}. Install git."
        ) from error
    except subprocess.CalledProcessError as error:
        if "dubious ownership" in error.stderr:  # common in containers; git says what to do
            raise ProjectError(" ".join(error.stderr.split())) from error
        raise ProjectError(
            "The repository has no commit, which a registered model must name. "
            "Run `git add -A` and `git commit`."
        ) from error
    files = [line.split(maxsplit=1)[1] for line in _status().splitlines()]
    lock = _lock_file()
    # If git ignores the file, its status does not list it.
    if not _git("ls-files", lock) or _git("status", "--porcelain", "--", lock):
        raise ProjectError(
            f"{lock} is not committed, and the model's packages come from it. "
            f'Run `git add --force {lock}` and `git commit -m "Lock the packages"`.'
        )
    if files:
        listed = ", ".join(files[:3]) + (" and more" if files[3:] else "")
        raise ProjectError(f"{listed}: not committed. Commit, stash or ignore the changes.")
    return commit


def _lock_file() -> str:
    """Return the path of uv.lock, relative to the agent; a workspace has it in a folder above."""
    above = len(locked_folders()) - 1
    depth = len(Path(_git("rev-parse", "--show-cdup")).parts)  # in git's repository
    return "../" * above + "uv.lock" if above <= depth else "uv.lock"


def _status() -> str:
    """Return a line per changed file, also for new ones that the user's settings hide."""
    return _git("status", "--porcelain", "--untracked-files=normal")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    environment = os.environ | {"LC_ALL": "C"}  # messages in English
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
