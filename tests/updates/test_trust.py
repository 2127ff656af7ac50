"""Migrations run only with `--trust`, and only in updates that cross their version."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.template import COPIER_YML, ROOT
from tests.updates.projects import LATER, NEXT, PACKAGE, SAMPLE, Project

NEW = f"{PACKAGE}/moved.txt"
REFUSED = 4  # Copier's exit code for templates that run programs
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture
def project(tiny_project: Project) -> Project:
    """A project with a change in a file that the next release moves."""
    tiny_project.append(SAMPLE, "The owner's last line.\n")
    tiny_project.commit()
    tiny_project.template.move(SAMPLE, NEW)
    tiny_project.template.release(NEXT)
    return tiny_project


def unannounced(settings: dict[str, Any], changelog: str) -> list[str]:
    """What the message before updates and the changelog do not mention about the migrations.

    Args:
        settings: The settings in `copier.yml`.
        changelog: The text of `CHANGELOG.md`.
    """
    message = " ".join(settings.get("_message_before_update", "").split())
    missing = []
    for migration in settings["_migrations"]:
        version = migration["version"]
        for needed in (version, "hooks/carry_edits.py", "hooks/moved_files.yml"):
            if needed not in message:
                missing.append(f"{needed} in the message")
        _, _, entry = changelog.partition(f"## {version.removeprefix('v')}\n")
        if "--trust" not in entry.partition("\n## ")[0]:
            missing.append(f"--trust in the changelog of {version}")
    return missing


def test_an_update_without_trust_is_refused_and_changes_nothing(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    refused = project.run_update()
    assert refused.returncode == REFUSED
    assert "adding the `--trust` option" in refused.stderr
    assert project.is_clean()
    assert project.git("rev-parse", "HEAD") == head


def test_the_docs_quote_the_refusal(project: Project) -> None:
    page = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")
    refusal = project.run_update().stderr.splitlines()[0]
    assert re.sub(r"\x1b\[\d+m", "", refusal) in page


def test_pretend_shows_the_program_without_running_it(project: Project) -> None:
    shown = project.run_update("--trust", "--pretend")
    assert shown.returncode == 0, shown.stderr
    assert "hooks/moved_files.yml lists the files." in shown.stderr
    for stage in ("before", "after"):
        assert re.search(rf"Running task 1 of 1: .*carry_edits\.py', '{stage}'", shown.stderr)
    assert "carried" not in shown.stderr
    assert project.is_clean()


def test_the_message_comes_before_the_program_runs(project: Project) -> None:
    done = project.run_update("--trust")
    assert done.returncode == 0, done.stderr
    assert 0 < done.stderr.index("hooks/carry_edits.py") < done.stderr.index("Running task")
    assert project.read(NEW).endswith("The owner's last line.\n")


def test_an_update_that_crosses_no_migration_needs_no_trust(project: Project) -> None:
    project.update(unsafe=True)
    project.commit()
    project.template.append(NEW, "The template's last line.\n")
    project.template.release(LATER)
    done = project.run_update()
    assert done.returncode == 0, done.stderr
    assert "carry_edits" not in done.stderr


def test_a_new_project_needs_no_trust(project: Project, tmp_path: Path) -> None:
    assert NEW in project.template.fresh(NEXT, tmp_path / "fresh")


def test_all_migrations_are_announced() -> None:
    assert unannounced(COPIER_YML, CHANGELOG) == []


def test_a_migration_without_an_announcement_is_found() -> None:
    settings = copy.deepcopy(COPIER_YML)
    entry = "## 0.5.0\n\nUpdate with `--trust`.\n\n## 0.4.0\n"
    assert unannounced(settings, entry) == []
    assert unannounced(settings, "## 0.5.0\n\n## 0.4.0\n\n--trust\n") == [
        "--trust in the changelog of v0.5.0"
    ]
    del settings["_message_before_update"]
    assert unannounced(settings, entry) == [
        "v0.5.0 in the message",
        "hooks/carry_edits.py in the message",
        "hooks/moved_files.yml in the message",
    ]
