"""Copying from a clone without tags works; updating to one stops before it loses changes."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.helpers.template import ROOT
from tests.updates.projects import (
    ANSWERS,
    LATER,
    NAME,
    NEXT,
    NOW,
    PACKAGE,
    SAMPLE,
    Project,
    Template,
    lines,
)

NEW = f"{PACKAGE}/moved.txt"
PAGE = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """A template with one release, which `releases.yml` records, and no tags."""
    template = Template.tiny(tmp_path / "template")
    (template.folder / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts" / "tags.sh", template.folder / "scripts")
    template.write(SAMPLE, lines("Line"))
    template.commit()
    record_release(template, NOW)
    return template


@pytest.fixture
def project(template: Template, tmp_path: Path) -> Project:
    """A project of the release, with a change in a file that the next release moves."""
    commit = template.git("rev-parse", "HEAD~1").strip()
    project = Project.made(template, tmp_path / NAME, commit)
    project.append(SAMPLE, "The owner's last line.\n")
    project.commit()
    template.move(SAMPLE, NEW)
    template.commit()
    record_release(template, NEXT)
    return project


def record_release(template: Template, version: str) -> None:
    """Record the last commit in `releases.yml`, as `make release` does."""
    commit = template.git("rev-parse", "HEAD").strip()
    record = template.folder / "releases.yml"
    with record.open("a", encoding="utf-8") as text:
        text.write(f"- version: {version}\n  commit: {commit}\n  date: 2026-11-25\n")
    template.commit()


def make_tags(template: Template) -> None:
    """Run the script behind `make tags`."""
    script = template.folder / "scripts" / "tags.sh"
    subprocess.run([script], check=True, capture_output=True)


def test_a_copy_without_tags_records_a_commit(project: Project) -> None:
    recorded = yaml.safe_load(project.read(ANSWERS))["_commit"]
    assert project.template.git("rev-parse", recorded) == project.template.git(
        "rev-parse", "HEAD~3"
    )


def test_an_update_without_tags_stops_and_changes_nothing(project: Project) -> None:
    done = project.run_update("--trust")
    assert done.returncode != 0
    recorded = yaml.safe_load(project.read(ANSWERS))["_commit"]
    assert "`The template has no tag at or before …`" in PAGE
    assert done.stderr.splitlines()[-1].endswith(
        f"The template has no tag at or before {recorded}, the commit of this agent. "
        'Run "make tags" in its clone, then update again.'
    )
    assert project.is_clean()


def test_an_update_of_a_released_agent_without_tags_changes_nothing(project: Project) -> None:
    recorded = yaml.safe_load(project.read(ANSWERS))["_commit"]
    project.edit(ANSWERS, recorded, NOW)
    project.commit()
    done = project.run_update("--trust")
    assert done.returncode != 0
    assert "`Unknown revision`" in PAGE
    assert "Unknown revision" in done.stderr
    assert project.is_clean()


def test_an_update_works_once_the_tags_exist(project: Project) -> None:
    make_tags(project.template)
    done = project.run_update("--trust")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(project.read(ANSWERS))["_commit"] == NEXT
    assert project.conflicts() == {}
    assert project.read(NEW) == f"{lines('Line')}The owner's last line.\n"


@pytest.mark.parametrize("tag", ["latest", "v0"])
def test_other_tags_do_not_stop_an_update(tag: str, project: Project) -> None:
    make_tags(project.template)
    project.template.git("tag", "--annotate", "--message", "A tag without a dot", tag, NOW)
    copied = Project.made(project.template, project.folder.with_name(tag), tag)
    copied.append(SAMPLE, "The owner's last line.\n")
    copied.commit()
    assert yaml.safe_load(copied.read(ANSWERS))["_commit"] == tag
    done = copied.run_update("--trust")
    assert done.returncode == 0, done.stderr
    assert copied.read(NEW) == f"{lines('Line')}The owner's last line.\n"


def test_an_update_between_tags_is_possible(project: Project) -> None:
    make_tags(project.template)
    project.run_update("--trust")
    project.commit()
    project.template.append(NEW, "The template's last line.\n")
    project.template.commit()
    project.update("HEAD")
    assert yaml.safe_load(project.read(ANSWERS))["_commit"].startswith(f"{NEXT}-")
    project.commit()
    project.template.git("tag", LATER)
    project.update()
    assert yaml.safe_load(project.read(ANSWERS))["_commit"] == LATER
