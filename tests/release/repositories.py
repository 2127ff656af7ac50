"""Small repositories with the release scripts of this one."""

import shutil
import subprocess
from pathlib import Path

from tests.helpers.template import ROOT


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository, and return its output."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def new_repository(folder: Path) -> Path:
    """A repository with the release scripts and an empty record, not committed yet."""
    (folder / "scripts").mkdir(parents=True)
    for script in ("release.sh", "tags.sh"):
        shutil.copy2(ROOT / "scripts" / script, folder / "scripts")
    (folder / "releases.yml").write_text("# The releases.\n", "utf-8")
    git(folder, "init", "--quiet")
    return folder


def add_release(folder: Path, version: str, commit: str) -> None:
    """Record a release in `releases.yml`."""
    with (folder / "releases.yml").open("a", encoding="utf-8") as record:
        record.write(f"- version: {version}\n  commit: {commit}\n  date: 2026-11-25\n")
