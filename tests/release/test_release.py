"""Releasing: what is refused, and what a release leaves behind."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.template import ROOT

Release = Callable[[str], subprocess.CompletedProcess[str]]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository, and return what it prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one release, an entry for the next, and tests that pass."""
    shutil.copy2(ROOT / "scripts" / "release.sh", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.10.0\n\n## 0.9.0\n", "utf-8")
    (tmp_path / "Makefile").write_text("test:\n\t@true\n", "utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "A release")
    git(tmp_path, "tag", "v0.9.0")
    return tmp_path


@pytest.fixture
def release(repository: Path) -> Release:
    """Releases a version from the repository."""

    def release(version: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["./release.sh", version], cwd=repository, capture_output=True, text=True, check=False
        )

    return release


def change(repository: Path, name: str, text: str) -> None:
    """Write a file and commit it."""
    (repository / name).write_text(text, "utf-8")
    git(repository, "add", name)
    git(repository, "commit", "--quiet", "--message", "A change")


def test_a_release_is_a_tag(repository: Path, release: Release) -> None:
    done = release("0.10.0")
    assert done.returncode == 0, done.stderr
    assert git(repository, "tag", "--points-at", "HEAD").split() == ["v0.10.0", "v0.9.0"]
    assert "git push origin main v0.10.0" in done.stdout


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "give a version"),
        ("v0.10.0", "give a version"),
        ("0.10", "give a version"),
        ("0.11.0", "CHANGELOG.md has no entry '## 0.11.0'"),
        ("0.9.0", "v0.9.0 is released already"),
    ],
)
def test_a_wrong_version_is_refused(
    repository: Path, release: Release, version: str, reason: str
) -> None:
    done = release(version)
    assert done.returncode == 1
    assert f"Not released: {reason}" in done.stderr
    assert git(repository, "tag").split() == ["v0.9.0"]


def test_an_older_version_is_refused(repository: Path, release: Release) -> None:
    git(repository, "tag", "v0.11.0")
    done = release("0.10.0")
    assert "Not released: v0.11.0 is newer." in done.stderr


def test_a_dirty_tree_is_refused(repository: Path, release: Release) -> None:
    (repository / "new.txt").touch()
    assert "changes that are not committed" in release("0.10.0").stderr
    assert git(repository, "tag").split() == ["v0.9.0"]


def test_failing_tests_are_refused(repository: Path, release: Release) -> None:
    change(repository, "Makefile", "test:\n\t@false\n")
    assert "the tests do not pass" in release("0.10.0").stderr
    assert git(repository, "tag").split() == ["v0.9.0"]


def test_tests_that_leave_something_behind_are_refused(repository: Path, release: Release) -> None:
    change(repository, "Makefile", "test:\n\t@touch left.txt\n")
    assert "the tests left something behind" in release("0.10.0").stderr
