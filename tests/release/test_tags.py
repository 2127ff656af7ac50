"""`make tags`: the tags of all releases, in a clone that lacks them."""

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from tests.helpers.template import ROOT
from tests.release.repositories import add_release, git, new_repository
from tests.updates.projects import released

RECORD = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two recorded releases and no tags."""
    repository = new_repository(tmp_path / "repository")
    for version in ("v0.1.0", "v0.2.0"):
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", f"Release {version}")
        add_release(repository, version, git(repository, "rev-parse", "HEAD").strip())
    git(repository, "commit", "--quiet", "--all", "--message", "Record the last release")
    return repository


def run(repository: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with additional environment variables; it may fail."""
    return subprocess.run(
        command,
        cwd=repository,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def make_tags(repository: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script behind `make tags`."""
    return run(repository, "scripts/tags.sh", **variables)


def test_missing_tags_are_created(repository: Path) -> None:
    done = make_tags(repository)
    assert done.stdout == "Created v0.1.0\nCreated v0.2.0\n", done.stderr
    assert git(repository, "describe", "--abbrev=0").strip() == "v0.2.0"
    assert git(repository, "rev-parse", "v0.1.0^{}") == git(repository, "rev-parse", "HEAD~2")


@pytest.mark.parametrize(("variable", "path"), [("GIT_DIR", ".git"), ("CDPATH", ".")])
def test_variables_do_not_select_another_repository(
    repository: Path, tmp_path: Path, variable: str, path: str
) -> None:
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(repository), str(other))
    done = make_tags(repository, **{variable: str(other / path)})
    assert done.stdout == "Created v0.1.0\nCreated v0.2.0\n", done.stderr
    assert git(other, "tag") == ""


def test_tests_do_not_change_the_repository_of_a_hook(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    test = f"{__file__}::test_missing_tags_are_created"
    done = run(ROOT, sys.executable, "-m", "pytest", "-q", test, GIT_DIR=str(tmp_path / ".git"))
    assert done.returncode == 0, done.stdout
    assert git(tmp_path, "for-each-ref") == ""


def test_a_second_run_changes_nothing(repository: Path) -> None:
    make_tags(repository)
    before = git(repository, "show-ref", "--tags")
    done = make_tags(repository)
    assert (done.returncode, done.stdout) == (0, "")
    assert git(repository, "show-ref", "--tags") == before


def test_every_clone_creates_the_same_tags(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tags(repository)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(repository), str(clone))
    assert git(clone, "tag") == ""
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody else")
    make_tags(clone)
    assert git(clone, "show-ref", "--tags") == git(repository, "show-ref", "--tags")


def test_a_tag_that_points_elsewhere_is_refused_and_not_moved(repository: Path) -> None:
    git(repository, "tag", "v0.2.0", "HEAD~2")
    before = git(repository, "rev-parse", "v0.2.0")
    done = make_tags(repository)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: the tag v0.2.0 points to {before.strip()}, but ")
    assert git(repository, "rev-parse", "v0.2.0") == before


def test_a_copy_without_history_is_refused(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns(".git"))
    done = make_tags(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this folder is a copy without git")
    git(copy, "init", "--quiet")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "Copy")
    done = make_tags(copy)
    assert done.returncode == 1
    assert "this repository lacks the template's history" in done.stderr


def test_a_commit_that_the_clone_lacks_is_refused(repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    url = f"file://{repository}"
    git(tmp_path, "clone", "--quiet", "--no-tags", "--depth=1", url, str(clone))
    done = make_tags(clone)
    assert done.returncode == 1
    assert "error: this clone does not contain" in done.stderr
    assert 'hint: run "git fetch --unshallow"' in done.stderr


def test_the_record_of_this_repository_is_complete() -> None:
    assert len(released()) == len(RECORD) >= 4
    for entry in RECORD:
        assert entry.keys() == {"version", "commit", "date"}
        assert isinstance(entry["date"], date)
        committed = git(ROOT, "log", "-1", "--format=%cs", entry["commit"]).strip()
        assert str(entry["date"]) == committed


def test_every_entry_of_the_changelog_is_released_or_next() -> None:
    headings = [
        line.removeprefix("## ")
        for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    versions = [f"v{heading}" for heading in headings if heading != "Unreleased"]
    recorded = list(reversed(released()))
    # The entry of a release is written before `make release` records it.
    assert versions in (recorded, versions[:1] + recorded)
