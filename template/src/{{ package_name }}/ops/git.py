"""The git repository of the agent."""

import subprocess

from .project import ROOT, ProjectError


def clean_commit() -> str | None:
    """Return the commit that is checked out; None without a commit or with uncommitted changes."""
    try:
        return None if _git("status", "--porcelain") else _git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def require_commit() -> str:
    """Return the commit of the repository, which must contain everything in it.

    Raises:
        ProjectError: There is no commit, or it lacks a file or a change.
    """
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
    except (OSError, subprocess.CalledProcessError) as error:
        raise ProjectError(
            "The repository has no commit, which a registered model must name. "
            "Run `git add -A` and `git commit`."
        ) from error
    files = [line.split(maxsplit=1)[1] for line in _git("status", "--porcelain").splitlines()]
    if any(file.endswith("uv.lock") for file in files):
        raise ProjectError(
            "uv.lock is not committed, and the model's packages come from it. "
            'Run `git add uv.lock` and `git commit -m "Lock the packages"`.'
        )
    if files:
        listed = ", ".join(files[:3]) + (" and more" if files[3:] else "")
        raise ProjectError(f"{listed}: not committed. Commit, stash or ignore the changes.")
    return commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
