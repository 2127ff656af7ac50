"""Files that a release moves take the owner's changes along, or the hook reports why not."""

import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import copier
import pytest
from copier.errors import TaskError

from tests.updates.projects import (
    ANSWERS,
    LATER,
    NAME,
    NEXT,
    NOW,
    PACKAGE,
    SAMPLE,
    Conflict,
    Project,
    Template,
    lines,
)

OLD, NEW = SAMPLE, f"{PACKAGE}/new/name.txt"
# Files of which each is in a situation of its own; see `changes_of_the_owner`.
SITUATIONS = (
    "untouched",
    "edited",
    "edited-by-both",
    "conflicting",
    "rendered",
    "not-utf8",
    "binary",
    "binary-edited-by-both",
    "executable",
    "symbolic-link",
    "deleted",
    "already-moved",
    "taken",
    "dropped",
    "removed",
    "removed-untouched",
    "split",
)
BINARY = b"\x00\x01\x02\n"
LATIN_1 = b"Gr\xfc\xdfe\n"


class Updated(NamedTuple):
    """An updated project, and what the update printed."""

    project: Project
    printed: str


def old(name: str) -> str:
    """Return the old path of the file for a situation."""
    return f"old/{name}.txt"


def new(name: str) -> str:
    """Return the new path of the file for a situation."""
    return f"new/{name}.md"


@pytest.fixture
def project(tiny_project: Project) -> Project:
    """A project with one file to be moved, and its template. The test may change both."""
    return tiny_project


def write_situations(template: Template) -> None:
    """Write the files that the next release moves."""
    for name in SITUATIONS:
        template.write(old(name), lines(name))
    template.delete(old("rendered"))
    template.write(f"{old('rendered')}.jinja", lines("{{ project_name }}"))
    for name in ("binary", "binary-edited-by-both"):
        template.path(old(name)).write_bytes(BINARY)


def changes_of_the_owner(project: Project) -> None:
    """Bring each file into the situation that its name describes."""
    for name in ("edited", "edited-by-both", "taken", "dropped", "removed", "split", "rendered"):
        project.append(old(name), "The owner's last line.\n")
    project.edit(old("conflicting"), "conflicting 7\n", "The owner's line 7.\n")
    for name, added in (("not-utf8", LATIN_1), ("binary", BINARY), ("binary-edited-by-both", b"!")):
        path = project.path(old(name))
        path.write_bytes(path.read_bytes() + added)
    project.path(old("executable")).chmod(0o755)
    project.delete(old("deleted"))
    project.delete(old("symbolic-link"))
    project.path(old("symbolic-link")).symlink_to("edited.txt")
    project.append(old("already-moved"), "The owner's last line.\n")
    project.path("new").mkdir()
    project.path(old("already-moved")).rename(project.path(new("already-moved")))
    project.write(new("taken"), "A file of the owner's own.\n")


def changes_of_the_template(template: Template) -> None:
    """Move all files, and change some of them."""
    for name in SITUATIONS:
        if name.startswith("removed"):
            template.delete(old(name))
            template.add_move(old(name), None)
        else:
            template.move(f"{old(name)}", new(name))
    template.edit(new("edited-by-both"), "edited-by-both 0\n", "The template's first line.\n")
    template.edit(new("conflicting"), "conflicting 7\n", "The template's line 7.\n")
    template.path(new("binary-edited-by-both")).write_bytes(BINARY + b"?")
    template.delete(new("dropped"))
    template.add_move(old("split"), [new("split"), new("other-half")])
    template.write(new("other-half"), "The other half.\n")


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Updated:
    """A project with a file in each situation, after the update. Do not change it."""
    folder = tmp_path_factory.mktemp("moves")
    template = Template.tiny(folder / "template")
    write_situations(template)
    template.release(NOW)
    project = Project.made(template, folder / NAME)
    changes_of_the_owner(project)
    project.commit()
    changes_of_the_template(template)
    template.release(NEXT)
    done = project.run_update("--trust")
    assert done.returncode == 0, done.stderr
    return Updated(project, done.stderr)


def run_hook(project: Project, version: str = NEXT) -> subprocess.CompletedProcess[str]:
    """Run the second stage of the hook as the migration does."""
    hook = project.template.path("hooks/carry_edits.py")
    command = (sys.executable, hook, "after", version, ANSWERS)
    return subprocess.run(command, cwd=project.folder, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["edited", "split", "rendered"])
def test_changes_move_along(name: str, updated: Updated) -> None:
    text = lines(NAME if name == "rendered" else name)
    assert updated.project.read(new(name)) == f"{text}The owner's last line.\n"
    split = f" (split: see also {new('other-half')})" if name == "split" else ""
    assert f"carried   {old(name)} -> {new(name)}{split}\n" in updated.printed


def test_changes_of_both_sides_are_merged(updated: Updated) -> None:
    merged = updated.project.read(new("edited-by-both"))
    assert merged.startswith("The template's first line.\nedited-by-both 1\n")
    assert merged.endswith("edited-by-both 19\nThe owner's last line.\n")


def test_lines_that_both_sides_changed_are_a_conflict_that_git_lists(updated: Updated) -> None:
    conflict = Conflict("The owner's line 7.\n", "The template's line 7.\n")
    assert updated.project.conflicts()[new("conflicting")] == [conflict]
    assert f"conflict  {old('conflicting')} -> {new('conflicting')}\n" in updated.printed
    # The stages of the index show what each side has changed.
    owners = updated.project.git("diff", f":1:{new('conflicting')}", f":2:{new('conflicting')}")
    assert "-conflicting 7\n+The owner's line 7.\n" in owners


def test_only_real_conflicts_are_listed(updated: Updated) -> None:
    # Copier itself reports the path that both sides have added.
    listed = {new("conflicting"), new("taken"), new("already-moved")}
    assert updated.project.conflicts().keys() == listed


def test_changes_in_another_encoding_move_along(updated: Updated) -> None:
    moved = updated.project.path(new("not-utf8")).read_bytes()
    assert moved == lines("not-utf8").encode() + LATIN_1


def test_a_changed_binary_file_moves_along(updated: Updated) -> None:
    assert updated.project.path(new("binary")).read_bytes() == BINARY + BINARY


def test_a_binary_file_that_both_sides_changed_stays(updated: Updated) -> None:
    name = "binary-edited-by-both"
    assert updated.project.path(old(name)).read_bytes() == BINARY + b"!"
    assert updated.project.path(new(name)).read_bytes() == BINARY + b"?"
    assert f"kept      {old(name)}: git cannot merge it with {new(name)}" in updated.printed


def test_the_executable_bit_moves_along(updated: Updated) -> None:
    assert updated.project.path(new("executable")).stat().st_mode & stat.S_IXUSR
    assert not updated.project.path(new("edited")).stat().st_mode & stat.S_IXUSR


def test_a_file_that_became_a_symbolic_link_stays(updated: Updated) -> None:
    name = "symbolic-link"
    assert updated.project.path(old(name)).is_symlink()
    assert updated.project.read(new(name)) == lines(name)
    assert f"kept      {old(name)}: it is a symbolic link." in updated.printed


def test_a_deleted_file_comes_back_at_its_new_path_and_is_reported(updated: Updated) -> None:
    assert updated.project.read(new("deleted")) == lines("deleted")
    assert f"added     {new('deleted')}: you had deleted {old('deleted')}\n" in updated.printed


def test_a_file_that_the_owner_moved_to_the_same_path_keeps_the_changes(updated: Updated) -> None:
    assert "The owner's last line.\n" in updated.project.read(new("already-moved"))


def test_a_file_of_the_owner_at_the_new_path_does_not_cost_the_changes(updated: Updated) -> None:
    name = "taken"
    assert updated.project.read(old(name)) == f"{lines(name)}The owner's last line.\n"
    conflict = Conflict("A file of the owner's own.\n", lines(name))
    assert updated.project.conflicts()[new(name)] == [conflict]
    assert f"kept      {old(name)}: {new(name)} is a file of your own." in updated.printed


def test_a_file_that_the_update_does_not_write_stays(updated: Updated) -> None:
    name = "dropped"
    assert updated.project.read(old(name)) == f"{lines(name)}The owner's last line.\n"
    assert f"kept      {old(name)}: this update did not write {new(name)}\n" in updated.printed


def test_a_removed_file_stays_if_its_owner_has_changed_it(updated: Updated) -> None:
    name = "removed"
    assert updated.project.read(old(name)) == f"{lines(name)}The owner's last line.\n"
    assert f"kept      {old(name)}: you changed it, and the template no" in updated.printed
    assert not updated.project.path(old("removed-untouched")).exists()


def test_nothing_else_stays_at_an_old_path(updated: Updated) -> None:
    kept = ("binary-edited-by-both", "dropped", "removed", "symbolic-link", "taken")
    listed = updated.project.git("ls-files", "--cached", "--", "old").splitlines()
    paths = {name: updated.project.path(name) for name in listed}
    there = {name for name, path in paths.items() if path.is_symlink() or path.is_file()}
    assert there == {old(name) for name in kept}


def test_files_without_changes_move_silently(updated: Updated) -> None:
    assert updated.project.read(new("untouched")) == lines("untouched")
    assert updated.project.read(new("other-half")) == "The other half.\n"
    assert "untouched" not in updated.printed


def test_a_second_run_of_the_hook_changes_nothing(updated: Updated) -> None:
    before = updated.project.files()
    again = run_hook(updated.project)
    assert again.returncode == 0, again.stderr
    assert updated.project.files() == before


def test_the_files_are_moved_in_a_folder_of_a_larger_repository(tmp_path: Path) -> None:
    template = Template.tiny(tmp_path / "template")
    write_situations(template)
    template.release(NOW)
    project = Project.in_a_larger_repository(template, tmp_path / "mono", f"agents/{NAME}")
    changes_of_the_owner(project)
    project.commit()
    changes_of_the_template(template)
    template.release(NEXT)
    assert project.run_update("--trust").returncode == 0
    assert project.read(new("edited")).endswith("The owner's last line.\n")
    assert new("conflicting") in project.conflicts()
    assert project.read(old("taken")).endswith("The owner's last line.\n")


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


def test_changes_move_through_a_release_in_between(project: Project) -> None:
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


def test_a_file_that_moves_twice_takes_the_changes_along(project: Project) -> None:
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


def test_changes_move_along_when_the_package_gets_another_name(project: Project) -> None:
    project.append(OLD, "The owner's last line.\n")
    project.commit()
    project.template.move(OLD, NEW)
    project.template.release(NEXT)
    project.update(unsafe=True, package_name="forecast")
    moved = project.read(NEW.replace(PACKAGE, "src/forecast"))
    assert moved == f"{lines('Line')}The owner's last line.\n"


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


def test_changes_move_along_when_the_template_is_at_a_url(project: Project) -> None:
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
        "old/linked is a symbolic link. Replace it by a folder",
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
    assert done.returncode == 0, done.stderr
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
    done = run_hook(project, LATER)
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
    done = run_hook(project)
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
