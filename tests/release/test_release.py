"""`make release`: which releases it refuses, and what it records."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.release.repositories import add_release, git, new_repository

Release = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one release, a changelog entry for the next, and tests that pass."""
    repository = new_repository(tmp_path / "repository")
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## 0.10.0\n\n## 0.9.0\n", "utf-8")
    (repository / "Makefile").write_text("test proof:\n\t@true\n", "utf-8")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "The first release")
    add_release(repository, "v0.9.0", git(repository, "rev-parse", "HEAD").strip())
    git(repository, "commit", "--quiet", "--all", "--message", "Record release 0.9.0")
    return repository


@pytest.fixture
def release(repository: Path) -> Release:
    """A function that releases a version from the repository."""

    def release(version: str) -> subprocess.CompletedProcess[str]:
        command = ["scripts/release.sh", version]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    return release


def change(repository: Path, name: str, text: str) -> None:
    """Write a file and commit it."""
    (repository / name).write_text(text, "utf-8")
    git(repository, "add", name)
    git(repository, "commit", "--quiet", "--message", "A change")


def recorded(repository: Path) -> list[str]:
    """Return the versions in `releases.yml`."""
    entries = yaml.safe_load((repository / "releases.yml").read_text("utf-8"))
    return [entry["version"] for entry in entries]


def test_a_release_tags_the_tested_commit_and_records_it(
    repository: Path, release: Release
) -> None:
    tested = git(repository, "rev-parse", "HEAD").strip()
    done = release("0.10.0")
    assert done.returncode == 0, done.stderr
    assert git(repository, "rev-parse", "v0.10.0^{commit}").strip() == tested
    assert git(repository, "cat-file", "-t", "v0.10.0").strip() == "tag"
    entry = yaml.safe_load((repository / "releases.yml").read_text("utf-8"))[-1]
    date = git(repository, "log", "-1", "--format=%cs", tested).strip()
    assert (entry["version"], entry["commit"], str(entry["date"])) == ("v0.10.0", tested, date)
    assert f"Released v0.10.0 at {tested}." in done.stdout
    assert "git push origin main v0.10.0" in done.stdout


def test_the_record_is_the_commit_after_the_released_one(
    repository: Path, release: Release
) -> None:
    release("0.10.0")
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "rev-parse", "HEAD~1") == git(repository, "rev-parse", "v0.10.0^{}")
    assert git(repository, "show", "--format=%s", "--name-only").split("\n\n") == [
        "Record release 0.10.0",
        "releases.yml\n",
    ]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "give a version"),
        ("v0.10.0", "give a version"),
        ("0.10", "give a version"),
        ("0.11.0", "CHANGELOG.md has no entry '## 0.11.0'"),
        ("0.9.0", "v0.9.0 is already released"),
    ],
)
def test_an_invalid_version_is_refused(
    repository: Path, release: Release, version: str, reason: str
) -> None:
    done = release(version)
    assert done.returncode == 1
    assert f"error: not released: {reason}" in done.stderr
    assert recorded(repository) == ["v0.9.0"]


def test_a_version_that_only_a_tag_names_is_refused(repository: Path, release: Release) -> None:
    git(repository, "tag", "v0.10.0")
    assert "error: not released: v0.10.0 is already released." in release("0.10.0").stderr


def test_an_older_version_is_refused(repository: Path, release: Release) -> None:
    git(repository, "tag", "v0.11.0")
    assert "error: not released: v0.11.0 is newer." in release("0.10.0").stderr


def test_uncommitted_changes_are_refused(repository: Path, release: Release) -> None:
    (repository / "new.txt").touch()
    assert "error: not released: there are uncommitted changes." in release("0.10.0").stderr
    assert recorded(repository) == ["v0.9.0"]


def test_tags_that_contradict_the_record_are_refused(repository: Path, release: Release) -> None:
    git(repository, "tag", "v0.9.0")
    done = release("0.10.0")
    assert "error: not released: the tags do not match releases.yml." in done.stderr
    assert recorded(repository) == ["v0.9.0"]


@pytest.mark.parametrize(("passing", "failing"), [("proof", "test"), ("test", "proof")])
def test_failing_tests_are_refused(
    passing: str, failing: str, repository: Path, release: Release
) -> None:
    change(repository, "Makefile", f"{passing}:\n\t@true\n{failing}:\n\t@false\n")
    assert "error: not released: the tests fail." in release("0.10.0").stderr
    assert recorded(repository) == ["v0.9.0"]
    assert git(repository, "tag", "--list", "v0.10.0") == ""


def test_tests_that_leave_files_behind_are_refused(repository: Path, release: Release) -> None:
    change(repository, "Makefile", "test proof:\n\t@touch left.txt\n")
    assert "the tests left files behind" in release("0.10.0").stderr
    assert recorded(repository) == ["v0.9.0"]
