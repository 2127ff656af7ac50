"""One update that moves files in every situation: edited by the owner, a release, or both."""

import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.updates.projects import NAME, NEXT, NOW, Conflict, Project, Template, lines

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
    assert done.returncode == 1, done.stderr  # some files stay at their old paths
    assert "error: some of your files are still at their old paths" in done.stderr
    return Updated(project, done.stderr)


@pytest.mark.parametrize("name", ["edited", "split", "rendered"])
def test_edits_follow_a_moved_file(name: str, updated: Updated) -> None:
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


def test_edits_in_another_encoding_follow(updated: Updated) -> None:
    moved = updated.project.path(new("not-utf8")).read_bytes()
    assert moved == lines("not-utf8").encode() + LATIN_1


def test_edits_of_a_binary_file_follow(updated: Updated) -> None:
    assert updated.project.path(new("binary")).read_bytes() == BINARY + BINARY


def test_a_binary_file_that_both_sides_changed_stays(updated: Updated) -> None:
    name = "binary-edited-by-both"
    assert updated.project.path(old(name)).read_bytes() == BINARY + b"!"
    assert updated.project.path(new(name)).read_bytes() == BINARY + b"?"
    assert f"kept      {old(name)}: git cannot merge it with {new(name)}" in updated.printed


def test_the_executable_bit_follows(updated: Updated) -> None:
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


def test_a_file_that_the_owner_moved_to_the_same_path_keeps_its_edits(updated: Updated) -> None:
    assert "The owner's last line.\n" in updated.project.read(new("already-moved"))


def test_a_file_of_the_owner_at_the_new_path_keeps_the_edits(updated: Updated) -> None:
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
    again = updated.project.run_hook()
    assert again.returncode == 1, again.stderr  # the files are still at their old paths
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
    assert project.run_update("--trust").returncode == 1
    assert project.read(new("edited")).endswith("The owner's last line.\n")
    assert new("conflicting") in project.conflicts()
    assert project.read(old("taken")).endswith("The owner's last line.\n")
