"""Runs git with neutral settings: those of the user and the system do not change the result."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..project import ROOT, ProjectError

# What the repository itself may set, and what would change how git merges or what it writes.
_SETTINGS = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "diff.renameLimit": "5000",
    "diff.renames": "true",
    "gc.auto": "0",
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "conflict",
    "merge.ff": "true",
    "merge.renameLimit": "5000",
    "merge.renames": "true",
    "merge.renormalize": "true",
    "merge.verifySignatures": "false",
    "protocol.file.allow": "always",
    "rerere.enabled": "false",
    "status.showUntrackedFiles": "no",
    "submodule.recurse": "false",
}


# Settings of the user that git needs to read and write the files of this machine.
_NEEDED = r"^(filter\..+|safe\.directory|core\.(autocrlf|eol|filemode|longpaths|symlinks))$"
# Programs that merge the files of some attributes, and git's own one in their place.
_DRIVERS = r"^merge\..+\.driver$"
_DRIVER = "git merge-file --quiet --marker-size=%L -L yours -L base -L template %A %O %B"


@cache
def _settings() -> list[tuple[str, str]]:
    drivers = [(name, _DRIVER) for name, _ in _configured(_DRIVERS)]
    return [*_configured(_NEEDED), *drivers, *_SETTINGS.items()]


def _configured(names: str) -> list[tuple[str, str]]:
    """Return the settings of the agent's repository, of the user and of the system by a pattern."""
    command = ["git", "config", "--null", "--get-regexp", names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    entries = (entry.partition("\n") for entry in done.stdout.split("\0")[:-1])
    return [(name, value) for name, _, value in entries]


def neutral_environment() -> dict[str, str]:
    """Return the environment variables for git without settings of the user and the system."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings: dict[str, str] = {}
    for number, (name, value) in enumerate(_settings()):
        settings |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return inherited | {
        "GIT_CONFIG_COUNT": str(len(_settings())),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        **settings,
    }


@dataclass(frozen=True)
class Identity:
    """Who commits.

    Attributes:
        name: The name.
        address: The e-mail address.
    """

    name: str
    address: str

    def variables(self) -> dict[str, str]:
        """Return the environment variables that git reads."""
        roles = ("AUTHOR", "COMMITTER")
        names = {f"GIT_{role}_NAME": self.name for role in roles}
        return names | {f"GIT_{role}_EMAIL": self.address for role in roles}


def identity_in(folder: Path) -> Identity:
    """Return who commits here, from the user's settings and environment variables.

    Raises:
        ProjectError: git does not know it.
    """
    command = ["git", "var", "GIT_COMMITTER_IDENT"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)
    found = re.match(r"(.*) <(.*)> \d+ \S+$", done.stdout.strip())
    if done.returncode or not found:
        raise ProjectError(
            "git does not know who commits. Run `git config --global user.name NAME` and "
            "`git config --global user.email ADDRESS`."
        )
    return Identity(found[1], found[2])


class GitError(ProjectError):
    """git failed; the message is that of git."""


def git(
    folder: Path,
    *arguments: str,
    stdin: str | None = None,
    accepted: tuple[int, ...] = (0,),
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run git with neutral settings, and return what it prints.

    Args:
        folder: Where git runs.
        arguments: The arguments of git.
        stdin: What git reads.
        accepted: The exit codes that do not count as errors.
        variables: More environment variables.

    Raises:
        GitError: git failed.
        ProjectError: git is not installed.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=neutral_environment() | dict(variables or {}),
            input=stdin,
            capture_output=True,
            check=False,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise ProjectError("git was not found. Install it.") from error
    if done.returncode not in accepted:
        reason = " ".join((done.stderr or done.stdout).split()) or "no reason given"
        raise GitError(f"git {arguments[0]} failed: {reason.removesuffix('.')}.")
    return done.stdout
