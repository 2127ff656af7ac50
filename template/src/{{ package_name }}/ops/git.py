"""The git repository of the agent."""

import subprocess

from .project import ROOT


def clean_commit() -> str | None:
    """Return the commit that is checked out; None without a commit or with uncommitted changes."""
    try:
        return None if _git("status", "--porcelain") else _git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
