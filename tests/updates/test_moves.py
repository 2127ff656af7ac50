"""Edits follow the files that a release moves, or the hook reports why not."""

from pathlib import Path

import copier
import pytest
from copier.errors import TaskError

from tests.updates.projects import ANSWERS, LATER, NAME, NEXT, NOW, PACKAGE, SAMPLE, Project, lines

OLD, NEW = SAMPLE, f"{PACKAGE}/new/name.txt"


@pytest.fixture
def project(tiny_project: Project) -> Project:
    """A project with one file to be moved, and its template. The test may change both."""
    return tiny_project


def test_two_old_files_become_one(project: Project) -> None:
    other = f"{PACKAGE}/other.txt"
    project.template.write(other, lines("Other"))
    project.template.release(NEXT)
    project.update()
    project.edit(OLD, "Line 3\n", "The owner's line 3.\n")
    project.edit(other, "Other 9\n", "The owner's other line 9.\n")
    project.commit()
    project.template.delete(OLD)
    project.template.delete(other)
    project.template.write(NEW, lines("Line") + lines("Other"))
    for path in (OLD, other):
        project.template.add_move(path, NEW, LATER)
    project.template.release(LATER)
    project.update(unsafe=True)
    text = project.read(NEW)
    # Each of the old files lacks the lines of the other, so git cannot always tell them apart.
    kept = text + (project.read(other) if project.path(other).exists() else "")
    assert "The owner's line 3.\n" in kept
    assert "The owner's other line 9.\n" in kept


def test_edits_follow_through_a_release_in_between(project: Project) -> None:
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    project.template.edit(NEW, "Line 0\n", "The template's first line.\n")
    project.template.release(LATER)
    project.update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(OLD).exists()
    assert project.read(NEW).startswith("The template's first line.\nLine 1\n")
    assert project.read(NEW).endswith("The owner's last line.\n")


def test_edits_follow_a_file_that_moves_twice(project: Project) -> None:
    between = f"{PACKAGE}/between.txt"
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    project.template.rename(OLD, between)
    project.template.release(NEXT)
    project.template.rename(between, NEW)
    # A project may skip the release in between, so its entry names the newest path.
    project.template.add_move(OLD, NEW, NEXT)
    project.template.add_move(between, NEW, LATER)
    project.template.release(LATER)
    project.update(unsafe=True)
    assert project.conflicts() == {}
    assert not project.path(OLD).exists()
    assert project.read(NEW) == f"{lines('Line')}The owner's last line.\n"


def test_the_answers_may_be_in_another_file(project: Project, tmp_path: Path) -> None:
    answers = ".copier-answers.agent.yml"
    other = Project(tmp_path / "other", project.template)
    copier.run_copy(
        str(project.template.folder),
        other.folder,
        data={"project_name": NAME},
        answers_file=answers,
        defaults=True,
        quiet=True,
    )
    other.append(OLD, "The owner's last line.\n")
    other.git("init", "--quiet")
    other.commit()
    other.template.move(OLD, NEW)
    other.template.release(NEXT)
    done = other.run_update("--trust", "--answers-file", answers)
    assert done.returncode == 0, done.stderr
    assert other.read(NEW) == f"{lines('Line')}The owner's last line.\n"


def test_edits_follow_when_the_template_is_at_a_url(project: Project) -> None:
    folder = str(project.template.folder)
    project.edit(ANSWERS, folder, f"git+file://{folder}")
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    done = project.run_update("--trust")
    assert done.returncode == 0, done.stderr
    assert project.read(NEW) == f"{lines('Line')}The owner's last line.\n"


def test_a_module_that_a_new_folder_hides_is_named(project: Project) -> None:
    hidden = f"{PACKAGE}/new.py"
    project.write(hidden, "MINE = 1\n")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    assert f"hidden    {hidden}: " in project.run_update("--trust").stderr
    assert project.read(hidden) == "MINE = 1\n"


@pytest.mark.parametrize("state", ["ignored", "assume-unchanged", "skip-worktree"])
def test_changes_that_git_does_not_track_stop_the_update_before_it_starts(
    state: str, project: Project
) -> None:
    if state == "ignored":
        project.git("rm", "--cached", "--quiet", OLD)
        project.write(".gitignore", f"{Path(OLD).name}\n")
        project.commit()
    else:
        project.git("update-index", f"--{state}", OLD)
    project.append(OLD, "The owner's last line.\n")
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    done = project.run_update("--trust")
    assert done.returncode != 0
    options = {
        "ignored": f"{OLD} is not tracked. Run `git add --force {OLD}`.",
        "assume-unchanged": f"Run `git update-index --no-assume-unchanged {OLD}`.",
        "skip-worktree": f"Run `git update-index --no-skip-worktree {OLD}`.",
    }
    assert f"{options[state]}\nhint: correct and commit this" in done.stderr
    assert project.read(OLD).endswith("The owner's last line.\n")
    assert not project.path(NEW).exists()
    assert project.is_clean()


def test_obstacles_stop_the_update_before_it_starts(project: Project) -> None:
    names = ("linked", "file", "folder", "ignored")
    for name in names:
        project.template.write(f"old/{name}/name.txt", lines(name))
    project.template.release(NEXT)
    project.update()
    project.path("old/linked").rename(project.path("elsewhere"))
    project.path("old/linked").symlink_to(project.path("elsewhere"))
    project.write("new/file", "A file of the owner's own.\n")
    project.write("new/folder/name.txt/mine.txt", "A file of the owner's own.\n")
    project.write(".gitignore", "/new/ignored/\n")
    project.write("new/ignored/name.txt", "A file of the owner's own.\n")
    project.commit()
    for name in names:
        project.template.rename(f"old/{name}/name.txt", f"new/{name}/name.txt")
        project.template.add_move(f"old/{name}/name.txt", f"new/{name}/name.txt", LATER)
    project.template.release(LATER)
    done = project.run_update("--trust")
    assert done.returncode != 0
    for problem in (
        "old/linked is a symbolic link. Replace it with a folder",
        "new/file must become a folder. Rename your file.",
        "new/folder/name.txt must become a file. Rename your folder.",
        "new/ignored/name.txt is not tracked. Run `git add --force new/ignored/name.txt`.",
    ):
        assert f"\n  {problem}" in done.stderr
    assert "Traceback" not in done.stderr
    assert project.is_clean()
    assert project.read("new/ignored/name.txt") == "A file of the owner's own.\n"


@pytest.mark.parametrize("state", ["ignored", "link"])
def test_answers_that_the_last_commit_lacks_stop_the_update(state: str, project: Project) -> None:
    if state == "ignored":
        project.git("rm", "--cached", "--quiet", ANSWERS)
        project.write(".gitignore", f"{ANSWERS}\n")
    else:
        project.path(ANSWERS).rename(project.path("answers.yml"))
        project.path(ANSWERS).symlink_to("answers.yml")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    done = project.run_update("--trust")
    assert done.returncode != 0
    assert f"does not contain {ANSWERS} as a regular file" in done.stderr
    assert "Traceback" not in done.stderr


def test_line_endings_of_the_template_clone_are_no_changes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(".gitattributes", "* text=auto eol=lf\n")
    other = f"{PACKAGE}/other.txt"
    project.template.write(other, lines("Other"))
    project.template.release(NEXT)
    project.commit()
    project.update()
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    for path, new_path in ((OLD, NEW), (other, f"{PACKAGE}/new/other.txt")):
        project.template.rename(path, new_path)
        project.template.add_move(path, new_path, LATER)
    project.template.edit(NEW, "Line 0\n", "The template's first line.\n")
    project.template.release(LATER)
    for variable, value in (("COUNT", "1"), ("KEY_0", "core.autocrlf"), ("VALUE_0", "true")):
        monkeypatch.setenv(f"GIT_CONFIG_{variable}", value)
    done = project.run_update("--trust")
    assert done.returncode == 0, done.stderr
    assert f"carried   {OLD} -> {NEW}\n" in done.stderr
    assert "other.txt" not in done.stderr
    moved = project.path(NEW).read_bytes()
    assert moved.startswith(b"The template's first line.\nLine 1\n")
    assert moved.endswith(b"The owner's last line.\n")


def test_filters_of_the_owner_apply_to_moved_files(project: Project) -> None:
    project.git("config", "filter.upper.clean", "tr a-z A-Z")
    project.git("config", "filter.upper.smudge", "tr A-Z a-z")
    project.write(".gitattributes", "*.txt filter=upper\n")
    project.append(OLD, "the owner's last line.\n")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    done = project.run_update("--trust")
    assert f"carried   {OLD} -> {NEW}\n" in done.stderr
    assert project.read(NEW) == f"{lines('line')}the owner's last line.\n"


@pytest.mark.parametrize("obstacle", ["hook", "sparse checkout"])
def test_a_changed_file_stays_whatever_git_is_configured_to_do(
    obstacle: str, project: Project
) -> None:
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    if obstacle == "hook":
        hook = project.path(".git/hooks/post-checkout")
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 2\n", encoding="utf-8")
        hook.chmod(0o755)
    else:
        project.git("sparse-checkout", "set", "--no-cone", "/*", f"!/{OLD}")
    project.template.delete(OLD)
    project.template.add_move(OLD, None)
    project.template.release(NEXT)
    done = project.run_update("--trust")
    assert done.returncode == 1, done.stderr
    assert f"kept      {OLD}: you changed it" in done.stderr
    assert project.read(OLD) == f"{lines('Line')}The owner's last line.\n"


def test_a_failure_with_one_file_does_not_stop_the_others(project: Project) -> None:
    other = f"{PACKAGE}/folder/other.txt"
    project.template.write(other, lines("Other"))
    project.template.release(NEXT)
    project.update()
    project.append(other, "The owner's other line.\n")
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    project.template.delete(other)
    project.template.add_move(other, None, LATER)
    project.template.rename(OLD, NEW)
    project.template.add_move(OLD, NEW, LATER)
    # A file takes the place of the folder, so the owner's file cannot come back.
    project.delete(other)
    project.path(other).parent.rmdir()
    project.path(other).parent.write_text("A file.\n", encoding="utf-8")
    project.delete(OLD)
    project.write(NEW, lines("Line"))
    done = project.run_hook(LATER)
    assert done.returncode != 0
    assert f"failed    {other}: " in done.stderr
    assert "hint: `git show HEAD:FILE` prints your version" in done.stderr
    assert f"carried   {OLD} -> {NEW}\n" in done.stderr


def test_without_the_old_version_all_files_stay(project: Project) -> None:
    project.append(OLD, "The owner's last line.\n")
    project.edit(ANSWERS, NOW, "v98.0.0")
    project.commit()
    project.template.move(OLD, NEW)
    # Copier itself would not get this far: it needs the old version, too.
    project.delete(OLD)
    done = project.run_hook()
    assert done.returncode == 1
    assert "error: v98.0.0 of the template" in done.stderr
    assert "hooks/moved_files.yml names" in done.stderr
    assert "git reset --hard" in done.stderr
    assert project.read(OLD) == f"{lines('Line')}The owner's last line.\n"


def test_a_migration_that_fails_before_the_update_changes_nothing(project: Project) -> None:
    program = project.template.path("hooks/carry_edits.py")
    program.write_text("raise SystemExit(1)\n", encoding="utf-8")
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    with pytest.raises(TaskError):
        project.update(unsafe=True)
    assert project.is_clean()
