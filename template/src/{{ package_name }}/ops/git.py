"""The git repository of the agent."""

import subprocess

from .project import ROOT, ProjectError


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
    # If git ignores the file, its status does not list it.
    if not _git("ls-files", "uv.lock") or any(file.endswith("uv.lock") for file in files):
        raise ProjectError(
            "uv.lock is not committed, and the model's packages come from it. "
            'Run `git add --force uv.lock` and `git commit -m "Lock the packages"`.'
        )
    if files:
        listed = ", ".join(files[:3]) + (" and more" if files[3:] else "")
        raise ProjectError(f"{listed}: not committed. Commit, stash or ignore the changes.")
    return commit


def _status() -> str:
    """Return a line per changed file, also for new ones that the user's settings hide."""
    return _git("status", "--porcelain", "--untracked-files=normal")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
