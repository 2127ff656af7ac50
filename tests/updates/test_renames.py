"""Migrations: a file that the template renames takes its owner's edits along."""

from pathlib import Path

import pytest
from copier.errors import TaskError

from tests.updates.projects import (
    LATER,
    NAME,
    NEXT,
    PACKAGE,
    Project,
    Template,
    split_conflicts,
)

PLAIN = f"{PACKAGE}/logs.py"
RENDERED = f"{PACKAGE}/agent.py"
NEW = f"{PACKAGE}/renamed.py"
FIRST_LINE = {PLAIN: "import logging\n", RENDERED: "import json\n"}


def add_failing_migration(template: Template, stage: str) -> None:
    """Let the next release run a program that fails."""
    template.add_setting(
        "_migrations",
        f"  - version: {NEXT}\n"
        '    command: ["{{ _copier_python }}", "-c", "raise SystemExit(1)"]\n'
        f"    when: \"{{{{ _stage == '{stage}' }}}}\"\n",
    )


def test_a_migration_that_fails_before_the_update_changes_nothing(project: Project) -> None:
    add_failing_migration(project.template, "before")
    project.template.append(RENDERED, "# The end.\n")
    project.template.release(NEXT)
    with pytest.raises(TaskError):
        project.update(unsafe=True)
    assert project.is_clean()


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_a_renamed_file_takes_the_owners_edits_along(old: str, project: Project) -> None:
    project.append(old, "# Mine.\n")
    edited = project.read(old)
    project.template.rename_with_edits(old, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(old).exists()
    assert project.read(NEW) == edited


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_a_renamed_file_holds_what_both_sides_changed(old: str, project: Project) -> None:
    line = FIRST_LINE[old]
    project.append(old, "# Mine.\n")
    project.template.edit(old, line, f"{line}import math\n")
    project.template.rename_with_edits(old, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(old).exists()
    assert f"{line}import math\n" in project.read(NEW)
    assert project.read(NEW).endswith("# Mine.\n")


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_lines_that_both_changed_conflict_in_the_renamed_file(old: str, project: Project) -> None:
    line = FIRST_LINE[old]
    project.edit(old, line, "import mine\n")
    project.template.edit(old, line, "import its\n")
    project.template.rename_with_edits(old, NEW)
    project.release_and_update(unsafe=True)
    assert not project.path(old).exists()
    _, (conflict,) = split_conflicts(project.read(NEW))
    assert (conflict.owners, conflict.templates) == ("import mine\n", "import its\n")


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_an_untouched_file_is_renamed(old: str, project: Project, tmp_path: Path) -> None:
    project.template.rename_with_edits(old, NEW)
    project.template.append(NEW, "# The end.\n")
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_the_new_file_of_a_deleted_one_is_the_templates(project: Project, tmp_path: Path) -> None:
    project.delete(PLAIN)
    project.template.rename_with_edits(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_file_that_the_owner_already_renamed_keeps_the_edits(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    project.path(PLAIN).rename(project.path(NEW))
    project.template.rename_with_edits(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert "# Mine.\n" in project.read(NEW)


def test_a_migration_that_runs_twice_is_harmless(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    project.template.rename_with_edits(PLAIN, NEW)
    project.template.add_migration(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.read(NEW) == edited
    project.commit()
    project.update(unsafe=True)
    assert project.is_clean()


def test_edits_in_another_encoding_are_carried(project: Project) -> None:
    project.path(PLAIN).write_bytes(project.path(PLAIN).read_bytes() + b"# Gr\xfc\xdfe\n")
    edited = project.path(PLAIN).read_bytes()
    project.template.rename_with_edits(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.path(NEW).read_bytes() == edited


def test_edits_are_carried_through_a_release_in_between(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    project.template.rename_with_edits(PLAIN, NEW)
    project.template.release(NEXT)
    project.template.edit(NEW, FIRST_LINE[PLAIN], f"{FIRST_LINE[PLAIN]}import math\n")
    project.template.release(LATER)
    project.commit()
    project.update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(PLAIN).exists()
    assert f"{FIRST_LINE[PLAIN]}import math\n" in project.read(NEW)
    assert project.read(NEW).endswith("# Mine.\n")


def test_a_file_that_was_renamed_twice_takes_the_owners_edits_along(project: Project) -> None:
    between = f"{PACKAGE}/between.py"
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    project.commit()
    project.template.rename(PLAIN, between)
    project.template.release(NEXT)
    project.template.rename(between, NEW)
    # A project may skip the release in between.
    project.template.add_migration(PLAIN, NEW, NEXT)
    project.template.add_migration(between, NEW, LATER)
    project.template.release(LATER)
    project.update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(PLAIN).exists()
    assert project.read(NEW) == edited


def test_the_owners_file_stays_where_nothing_takes_its_place(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    project.template.delete(PLAIN)
    project.template.add_migration(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.read(PLAIN) == edited


def test_other_edits_meet_the_release_as_ever(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    project.edit(RENDERED, "content = self.instructions\n", "content = self.instructions * 2\n")
    project.write("tests/test_weather.py", "MINE = 1\n")
    project.template.edit(RENDERED, "import json\n", "import json\nimport math\n")
    project.template.rename_with_edits(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert "content = self.instructions * 2\n" in project.read(RENDERED)
    assert "import json\nimport math\n" in project.read(RENDERED)
    assert project.read("tests/test_weather.py") == "MINE = 1\n"
    assert project.read(NEW).endswith("# Mine.\n")


def test_a_file_is_renamed_in_a_folder_of_a_larger_repository(tmp_path: Path) -> None:
    template = Template.of_the_working_tree(tmp_path / "template", without="template/tests")
    project = Project.in_a_larger_repository(template, tmp_path / "mono", f"agents/{NAME}")
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    template.rename_with_edits(PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(PLAIN).exists()
    assert project.read(NEW) == edited
