"""Migrations: who must trust them, and that a renamed file takes its owner's edits along."""

import json
from pathlib import Path

import pytest
from copier.errors import TaskError, UnsafeTemplateError

from tests.updates import (
    LATER,
    NAME,
    NEXT,
    PACKAGE,
    Project,
    Template,
    small_project,
    split_conflicts,
)

PLAIN = f"{PACKAGE}/logs.py"
RENDERED = f"{PACKAGE}/agent.py"
NEW = f"{PACKAGE}/renamed.py"
FIRST_LINE = {PLAIN: "import logging\n", RENDERED: "import json\n"}


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project and its template, to be changed at will."""
    return small_project(tmp_path_factory.getbasetemp()).copied(tmp_path)


def add_migration(template: Template, old: str, new: str, version: str = NEXT) -> None:
    """Let a release carry the owner's edits from a file's old name to its new one."""
    source = "{{ _copier_conf.src_path }}"
    names = [name.replace(PACKAGE, "src/{{ package_name }}") for name in (old, new)]
    command = ["{{ _copier_python }}", f"{source}/hooks/carry_edits.py", source, *names]
    entry = f"  - version: {version}\n    command: {json.dumps(command)}\n"
    template.add_setting("_migrations", entry)


def rename(template: Template, old: str, new: str) -> None:
    """Rename a file of the template in its next release, with the migration for it."""
    template.rename(old, new)
    add_migration(template, old, new)


def add_failing_migration(template: Template, stage: str) -> None:
    """Let the next release run a program that fails."""
    template.add_setting(
        "_migrations",
        f"  - version: {NEXT}\n"
        '    command: ["{{ _copier_python }}", "-c", "raise SystemExit(1)"]\n'
        f"    when: \"{{{{ _stage == '{stage}' }}}}\"\n",
    )


def test_a_migration_without_trust_is_refused_and_nothing_changes(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    rename(project.template, PLAIN, NEW)
    project.template.release(NEXT)
    with pytest.raises(UnsafeTemplateError):
        project.update()
    assert project.is_clean()
    assert project.git("rev-parse", "HEAD") == head


def test_a_migration_that_fails_before_the_update_changes_nothing(project: Project) -> None:
    add_failing_migration(project.template, "before")
    project.template.append(RENDERED, "# The end.\n")
    project.template.release(NEXT)
    with pytest.raises(TaskError):
        project.update(unsafe=True)
    assert project.is_clean()


def test_a_migration_that_is_not_crossed_needs_no_trust(project: Project) -> None:
    rename(project.template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    project.commit()
    project.template.append(NEW, "# The end.\n")
    project.template.release(LATER)
    project.update()
    assert project.conflicts() == {}
    assert project.read(NEW).endswith("# The end.\n")


def test_a_new_project_needs_no_trust_for_old_migrations(project: Project, tmp_path: Path) -> None:
    rename(project.template, PLAIN, NEW)
    project.template.release(NEXT)
    assert NEW in project.template.fresh(NEXT, tmp_path / "fresh")


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_a_renamed_file_takes_the_owners_edits_along(old: str, project: Project) -> None:
    project.append(old, "# Mine.\n")
    edited = project.read(old)
    rename(project.template, old, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(old).exists()
    assert project.read(NEW) == edited


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_a_renamed_file_holds_what_both_sides_changed(old: str, project: Project) -> None:
    line = FIRST_LINE[old]
    project.append(old, "# Mine.\n")
    project.template.edit(old, line, f"{line}import math\n")
    rename(project.template, old, NEW)
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
    rename(project.template, old, NEW)
    project.release_and_update(unsafe=True)
    assert not project.path(old).exists()
    _, (conflict,) = split_conflicts(project.read(NEW))
    assert (conflict.owners, conflict.templates) == ("import mine\n", "import its\n")


@pytest.mark.parametrize("old", [PLAIN, RENDERED])
def test_an_untouched_file_is_renamed(old: str, project: Project, tmp_path: Path) -> None:
    rename(project.template, old, NEW)
    project.template.append(NEW, "# The end.\n")
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_the_new_file_of_a_deleted_one_is_the_templates(project: Project, tmp_path: Path) -> None:
    project.delete(PLAIN)
    rename(project.template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_file_that_the_owner_already_renamed_keeps_the_edits(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    project.path(PLAIN).rename(project.path(NEW))
    rename(project.template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert "# Mine.\n" in project.read(NEW)


def test_a_migration_that_runs_twice_is_harmless(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    rename(project.template, PLAIN, NEW)
    add_migration(project.template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert project.read(NEW) == edited
    project.commit()
    project.update(unsafe=True)
    assert project.is_clean()


def test_edits_are_carried_through_a_release_in_between(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    rename(project.template, PLAIN, NEW)
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
    add_migration(project.template, PLAIN, NEW, NEXT)
    add_migration(project.template, between, NEW, LATER)
    project.template.release(LATER)
    project.update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(PLAIN).exists()
    assert project.read(NEW) == edited


def test_the_owners_file_stays_where_nothing_takes_its_place(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    edited = project.read(PLAIN)
    project.template.delete(PLAIN)
    add_migration(project.template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.read(PLAIN) == edited


def test_other_edits_meet_the_release_as_ever(project: Project) -> None:
    project.append(PLAIN, "# Mine.\n")
    project.edit(RENDERED, "content = self.instructions\n", "content = self.instructions * 2\n")
    project.write("tests/test_weather.py", "MINE = 1\n")
    project.template.edit(RENDERED, "import json\n", "import json\nimport math\n")
    rename(project.template, PLAIN, NEW)
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
    rename(template, PLAIN, NEW)
    project.release_and_update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(PLAIN).exists()
    assert project.read(NEW) == edited
