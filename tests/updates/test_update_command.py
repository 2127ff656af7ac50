"""The agent's own `update`: what it merges, what stops it, and how to undo it."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Package
from tests.helpers.template import COPIER_YML
from tests.updates.projects import ANSWERS, LATER, NAME, NEXT, NOW, PACKAGE, Project
from tests.updates.updating import NEW, SERVE, TOOLS, UpdatingProject, own_template

CI = ".github/workflows/ci.yml"


def test_owners_files_are_those_of_the_settings(package: Package) -> None:
    guarded = re.compile(r"{% if _copier_operation == 'update' %}((?:src|tests)/.+){% endif %}")
    matches = filter(None, map(guarded.fullmatch, COPIER_YML["_exclude"]))
    listed = {found[1].replace("{{ package_name }}", "weather_agent") for found in matches}
    assert set(package("ops.template.ownership").your_files("weather_agent")) == listed


def test_copier_is_the_version_of_the_settings(package: Package) -> None:
    floor = COPIER_YML["_min_copier_version"]
    assert package("ops.template.releases").COPIER.startswith(f"copier>={floor},<")


@pytest.mark.parametrize("has_changes", [True, False])
def test_a_merge_that_fails_can_be_undone_if_it_has_changed_files(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_changes: bool
) -> None:
    merge, git = package("ops.template.merge"), package("ops.template.git")
    (tmp_path / "tools.py").write_text("1\n", encoding="utf-8")
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for command in (["init"], ["add", "."], [*identity, "commit", "--message=1"]):
        git.git(tmp_path, *command)
    head = git.git(tmp_path, "rev-parse", "HEAD").strip()

    def fail(*_: object) -> None:
        if has_changes:
            (tmp_path / "tools.py").write_text("2\n", encoding="utf-8")
        raise git.GitError("fatal")

    monkeypatch.setattr(merge, "merge_template", fail)
    with pytest.raises(git.GitError):
        merge.start_merge(tmp_path, head, head, head, "v9.0.0")
    assert (tmp_path / ".git/MERGE_HEAD").exists() == has_changes


def test_merges_the_newest_release(updating: UpdatingProject) -> None:
    project = updating.project
    project.append(TOOLS, "# Mine.\n")
    project.commit()
    printed = updating.update()
    assert '"""What this agent can do.' in project.read(TOOLS)
    assert project.read(TOOLS).endswith("# Mine.\n")
    assert project.read(SERVE).endswith("The second change.\n")
    assert project.read(NEW) == '"""Added."""\n'
    assert f"_commit: {LATER}\n" in project.read(ANSWERS)
    assert f"_src_path: {project.template.folder}\n" in project.read(ANSWERS)
    assert f"Changes of {NEXT}." in printed
    assert f"Changes of {LATER}." in printed
    assert f"Changes of {NOW}." not in printed
    assert project.git("log", "-1", "--format=%s %p").startswith(f"Update the template to {LATER} ")
    assert project.git("log", "-1", "--format=%s", f"template/{LATER}") == f"Template {LATER}\n"
    assert "nothing to update" in updating.update()


FAKE_UV = """#!/bin/sh
# Runs Copier, and records everything else instead of installing packages.
case "$1" in
tool) exec REAL_UV "$@" ;;
sync) echo "# locked again" >> uv.lock ;;
esac
echo "$@" >> "$0.log"
"""


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("options", [(), ("--no-verify",)])
def test_installs_and_verifies(
    updating: UpdatingProject, tmp_path: Path, tracked: bool, options: tuple[str, ...]
) -> None:
    project = updating.project
    if tracked:
        project.write("uv.lock", "# locked\n")
    else:
        project.append(".gitignore", "uv.lock\n")
    project.commit()
    uv = tmp_path / "uv"
    uv.write_text(FAKE_UV.replace("REAL_UV", shutil.which("uv") or ""))
    uv.chmod(0o755)
    updating.finishes = True
    updating.update(*options, UV=str(uv))
    log = (tmp_path / "uv.log").read_text().splitlines()
    assert log == ["sync --inexact", *([] if options else [f"run {NAME} verify"])]
    assert len(project.git("log", "-1", "--format=%p").split()) == 2
    if tracked:
        assert project.git("show", "HEAD:uv.lock") == "# locked\n# locked again\n"


def test_updates_to_a_version(updating: UpdatingProject) -> None:
    updating.update("--to", NEXT)
    assert updating.project.read(SERVE).endswith("The first change.\n")
    assert f"Changes of {LATER}." in updating.update()


def test_check_changes_nothing(updating: UpdatingProject) -> None:
    project = updating.project
    project.append(SERVE, "Mine.\n")
    project.commit()
    project.append(TOOLS, "# Not committed.\n")
    before, refs = project.files(), project.git("for-each-ref")
    done = updating.run("update", "--check")
    assert done.returncode == 0
    assert f"changed  {TOOLS}\n" in done.stdout
    assert f"new      {NEW}\n" in done.stdout
    assert f"conflict {SERVE}\n" in done.stdout
    assert f"Changes of {LATER}." in done.stdout
    assert (project.files(), project.git("for-each-ref")) == (before, refs)


def test_check_needs_no_identity(updating: UpdatingProject, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    nobody = {"GIT_COMMITTER_NAME": "", "GIT_COMMITTER_EMAIL": "", "EMAIL": ""}
    nobody["GIT_CONFIG_GLOBAL"] = str(tmp_path / "gitconfig")
    done = updating.run("update", "--check", **nobody)
    assert done.returncode == 0, done.stderr
    error = updating.refuse(**nobody)
    assert "git does not know who commits. Run `git config --global user.name NAME`" in error


def test_conflict_has_a_base_and_can_be_undone(updating: UpdatingProject) -> None:
    project = updating.project
    project.edit(TOOLS, '"""What the agent can do.', '"""What my agent can do.')
    project.commit()
    before = project.files()
    done = updating.run("update")
    assert done.returncode == 1
    assert f"  git add {TOOLS}\n" in done.stdout
    assert "<<<<<<< yours\n" in project.read(TOOLS)
    assert f">>>>>>> template {LATER}\n" in project.read(TOOLS)
    stages = [line.split()[2] for line in project.git("ls-files", "--unmerged").splitlines()]
    assert stages == ["1", "2", "3"]
    assert project.git("show", f":1:{TOOLS}").startswith('"""What the agent can do.')
    project.git("merge", "--abort")
    assert project.files() == before
    assert project.is_clean()


def test_resolved_conflict_is_a_merge(updating: UpdatingProject) -> None:
    project = updating.project
    project.edit(TOOLS, '"""What the agent can do.', '"""What my agent can do.')
    project.commit()
    updating.run("update")
    project.git("checkout", "--ours", TOOLS)
    project.git("add", TOOLS)
    project.git("commit", "--no-edit", "--quiet")
    assert len(project.git("log", "-1", "--format=%p").split()) == 2
    assert "nothing to update" in updating.update()
    assert '"""What my agent can do.' in project.read(TOOLS)


def test_owners_files_stay(updating: UpdatingProject) -> None:
    updating.update()
    assert "An example of the template." not in updating.project.read(f"{PACKAGE}/instructions.md")


def test_deleted_files_stay_deleted(updating: UpdatingProject) -> None:
    updating.project.delete(SERVE)
    updating.project.commit()
    printed = updating.update()
    assert f"{SERVE} stays deleted; the template changed it." in printed
    assert not updating.project.path(SERVE).exists()


def test_retired_file_with_changes_is_a_conflict(updating: UpdatingProject, made: Project) -> None:
    project = updating.project
    template = own_template(updating, made)
    project.append("docs/evaluation.md", "Mine.\n")
    project.commit()
    template.delete("docs/evaluation.md")
    template.release("v99.3.0")
    done = updating.run("update")
    assert done.returncode == 1
    assert "git add docs/evaluation.md" in done.stdout
    assert project.read("docs/evaluation.md").endswith("Mine.\n")


@pytest.mark.parametrize("file", [TOOLS, f"{PACKAGE}/runtime/items.py"])
def test_renamed_file_gets_the_changes(updating: UpdatingProject, file: str) -> None:
    project = updating.project
    project.git("mv", TOOLS, f"{PACKAGE}/abilities.py")
    project.commit()
    updating.update()
    assert '"""What this agent can do.' in project.read(f"{PACKAGE}/abilities.py")
    assert not project.path(TOOLS).exists()


def test_renamed_package_gets_the_changes(updating: UpdatingProject) -> None:
    project = updating.project
    project.git("mv", PACKAGE, "src/my_agent")
    project.commit()
    updating.package = "my_agent"
    done = updating.run("update")
    # A new file in a renamed folder is a conflict, so that its owner decides where it belongs.
    assert done.returncode == 1, done.stderr
    assert '"""What this agent can do.' in project.read("src/my_agent/tools.py")
    assert "An example of" not in project.read("src/my_agent/instructions.md")


def test_another_package_name_keeps_edits(updating: UpdatingProject) -> None:
    project = updating.project
    project.append(TOOLS, "# Mine.\n")
    project.append(f"{PACKAGE}/instructions.md", "Mine.\n")
    project.commit()
    done = updating.run("update", "--data", "package_name=other_agent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.read("src/other_agent/tools.py").endswith("# Mine.\n")
    assert project.read("src/other_agent/instructions.md").endswith("Mine.\n")


def test_another_answer_keeps_edits(updating: UpdatingProject) -> None:
    project = updating.project
    project.edit(CI, "name: CI", "name: My checks")
    project.commit()
    done = updating.run("update", "--data", "ci=gitlab")
    assert done.returncode == 1
    assert f"git add {CI}" in done.stdout
    assert "name: My checks" in project.read(CI)
    assert project.path(".gitlab-ci.yml").exists()


def test_folder_of_a_larger_repository(updating: UpdatingProject, tmp_path: Path) -> None:
    root = tmp_path / "larger"
    project = Project.in_a_larger_repository(updating.project.template, root, "agents/weather")
    (project.folder / "tests" / "contract").mkdir(exist_ok=True)
    project.append(TOOLS, "# Mine.\n")
    project.commit()
    UpdatingProject(project, updating.agent).update()
    assert project.read(TOOLS).endswith("# Mine.\n")
    assert project.read(SERVE).endswith("The second change.\n")
    assert (root / "other" / "notes.md").exists()


def ignore(project: Project, how: str) -> dict[str, str]:
    """Write a file where the release adds one, which git ignores."""
    project.write(NEW, "mine = 1\n")
    ignored = "added.py\n"
    match how:
        case ".gitignore":
            project.append(".gitignore", ignored)
            project.git("commit", "--quiet", "--all", "--message", "Ignore")
        case "exclude":
            (project.folder / ".git" / "info" / "exclude").write_text(ignored)
        case "user":
            file = project.folder.parent / "gitconfig"
            (project.folder.parent / "ignored").write_text(ignored)
            file.write_text(f"[core]\nexcludesFile = {project.folder.parent / 'ignored'}\n")
            return {"GIT_CONFIG_GLOBAL": str(file)}
    return {}


@pytest.mark.parametrize("how", [".gitignore", "exclude", "user", "untracked"])
def test_file_that_git_does_not_track_is_in_the_way(updating: UpdatingProject, how: str) -> None:
    environment = ignore(updating.project, how)
    identity = {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com"}
    error = updating.refuse(**environment | identity)
    assert f"{NEW} exists, but git does not track it. Move it away, or run `git add" in error
    assert updating.project.read(NEW) == "mine = 1\n"


def test_file_where_a_release_needs_a_folder_is_in_the_way(
    updating: UpdatingProject, made: Project
) -> None:
    project = updating.project
    template = own_template(updating, made)
    template.write("notes/added.md", "The template's.\n")
    template.release("v99.3.0")
    (project.folder / ".git" / "info" / "exclude").write_text("notes\n")
    project.write("notes", "mine\n")
    assert "notes exists, but git does not track it." in updating.refuse()
    assert project.read("notes") == "mine\n"


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_hidden_change_stops_the_update(updating: UpdatingProject, flag: str) -> None:
    project = updating.project
    project.git("update-index", f"--{flag}", TOOLS)
    project.append(TOOLS, "# Hidden.\n")
    assert f"{TOOLS} is marked {flag}, which hides its changes." in updating.refuse()
    assert project.read(TOOLS).endswith("# Hidden.\n")


def test_linked_package_stops_the_update(updating: UpdatingProject) -> None:
    project = updating.project
    project.path("elsewhere").mkdir()
    project.git("mv", PACKAGE, "elsewhere")
    project.path(PACKAGE).symlink_to("../elsewhere/weather_agent")
    project.append(TOOLS, "# Mine.\n")
    project.commit()
    assert f"{PACKAGE} is a symbolic link. Replace it with a folder" in updating.refuse()


def test_merge_that_succeeds_only_in_the_repository_is_committed(
    updating: UpdatingProject,
) -> None:
    project = updating.project
    project.edit(TOOLS, '"""What the agent can do.', '"""What my agent can do.')
    project.commit()
    (project.folder / ".git" / "info" / "attributes").write_text("*.py merge=union\n")
    updating.update()
    assert len(project.git("log", "-1", "--format=%p").split()) == 2
    for words in ("What my agent can do.", "What this agent can do."):
        assert words in project.read(TOOLS)


def test_folder_in_the_place_of_a_file_stays(updating: UpdatingProject) -> None:
    project = updating.project
    project.delete(SERVE)
    project.write(f"{SERVE}/mine.md", "Mine.\n")
    project.commit()
    assert f"{SERVE} stays deleted" in updating.update()
    assert project.read(f"{SERVE}/mine.md") == "Mine.\n"


@pytest.mark.parametrize("branch", ["template", f"template/{LATER}", f"template/{LATER}/mine"])
def test_branch_in_the_way_stops_the_update(updating: UpdatingProject, branch: str) -> None:
    updating.project.git("branch", branch)
    error = updating.refuse()
    assert f"The branch {branch} is in the way" in error
    assert f"`git branch -m {branch} NEW_NAME`" in error


def test_branch_of_an_earlier_update_is_replaced(updating: UpdatingProject) -> None:
    project = updating.project
    before = project.git("rev-parse", "HEAD").strip()
    updating.update()
    project.git("reset", "--quiet", "--hard", before)
    updating.update()
    project.git("checkout", "--quiet", "-B", f"template/{LATER}", before)
    assert f"The branch template/{LATER} is checked out in" in updating.refuse()


def change(project: Project) -> None:
    project.append(TOOLS, "# Not committed.\n")


def start_merge(project: Project) -> None:
    project.git("branch", "other")
    project.append(TOOLS, "# Mine.\n")
    project.commit()
    project.git("checkout", "--quiet", "other")
    project.append(SERVE, "Mine.\n")
    project.commit()
    project.git("merge", "--no-commit", "main" if "main" in branches(project) else "master")


def branches(project: Project) -> list[str]:
    return project.git("branch", "--format=%(refname:short)").split()


def rename(project: Project) -> None:
    project.git("mv", TOOLS, f"{PACKAGE}/abilities.py")


def delete_answers(project: Project) -> None:
    project.delete(ANSWERS)
    project.commit()


def name_another_template(project: Project) -> None:
    folder = project.template.folder
    project.edit(ANSWERS, f"_src_path: {folder}", f"_src_path: {folder}-gone")
    project.commit()


@pytest.mark.parametrize(
    ("prepare", "options", "words"),
    [
        (change, (), f"{TOOLS}: not committed. Commit or stash your changes first."),
        (rename, (), f"{PACKAGE}/abilities.py, {TOOLS}: not committed."),
        (start_merge, (), "in the middle of a merge. Finish or abort it first."),
        (delete_answers, (), f"{ANSWERS} is missing. Restore it"),
        (name_another_template, (), "Cannot clone the template"),
        (None, ("--to", "v100.0.0"), f"has no version v100.0.0. Its newest release is {LATER}."),
        (None, ("--to", "v98.0.0"), f"The agent has {NOW}, which is newer than v98.0.0."),
        (None, ("--data", "ci"), "--data 'ci' is invalid. Write NAME=VALUE"),
        (None, ("--data=ci=none", "--data=ci=azure"), "--data names 'ci' twice."),
        (None, ("--data", "ci=jenkins"), "Invalid choice for 'ci': 'jenkins' is not in"),
        (None, ("--data", "color=red"), "ignores color=red. It records these answers: ci, "),
    ],
)
def test_update_is_refused(
    updating: UpdatingProject,
    prepare: Callable[[Project], None] | None,
    options: tuple[str, ...],
    words: str,
) -> None:
    if prepare:
        prepare(updating.project)
    assert words in updating.refuse(*options)


def test_settings_are_those_of_the_agent_in_any_folder(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git = package("ops.template.git")
    for command in (("init", "--quiet"), ("config", "merge.mine.driver", "false")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(git, "ROOT", tmp_path)
    git._settings.cache_clear()
    try:
        assert "merge.mine.driver" in git.neutral_environment().values()
    finally:
        git._settings.cache_clear()


SETTINGS = {
    "merge.mine.driver": "cp %B %A",
    "status.showUntrackedFiles": "no",
    "core.autocrlf": "true",
    "core.quotePath": "true",
    "merge.conflictStyle": "zdiff3",
    "merge.ff": "only",
    "merge.renames": "false",
    "merge.verifySignatures": "true",
    "commit.gpgSign": "true",
    "diff.renames": "false",
    "diff.noprefix": "true",
    "diff.external": "false",
    "color.ui": "always",
    "core.pager": "false",
    "core.hooksPath": "hooks-that-fail",
    "pull.rebase": "true",
    "rerere.enabled": "true",
    "fetch.prune": "true",
    "log.showSignature": "true",
}


@pytest.mark.parametrize("where", ["repository", "user"])
def test_settings_of_git_change_nothing(updating: UpdatingProject, where: str) -> None:
    project = updating.project
    project.edit(TOOLS, '"""What the agent can do.', '"""What my agent can do.')
    project.append(f"{PACKAGE}/agent.py", "# Mine.\n")
    project.commit()
    file = project.folder.parent / "gitconfig"
    attributes = project.folder.parent / "attributes"
    attributes.write_text("*.py -diff\n")
    # A driver would replace the owner's lines.
    (project.folder / ".git" / "info" / "attributes").write_text("*.py merge=mine\n")
    options = [] if where == "repository" else ["--file", str(file)]
    for name, value in SETTINGS.items():
        project.git("config", *options, name, value)
    project.git("config", *options, "core.attributesFile", str(attributes))
    identity = {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.com"}
    environment = identity | ({"GIT_CONFIG_GLOBAL": str(file)} if where == "user" else {})
    done = updating.run("update", **environment)
    assert done.returncode == 1, done.stderr
    assert "<<<<<<< yours\n" in project.path(TOOLS).read_text()
    assert "What my agent can do." in project.path(TOOLS).read_text()
    assert "# Mine." in project.path(f"{PACKAGE}/agent.py").read_text()


def test_migration_names_the_trust_it_needs(updating: UpdatingProject, made: Project) -> None:
    project = updating.project
    template = own_template(updating, made)
    project.commit()
    template.move(SERVE, "docs/server.md")
    template.add_migration("v99.3.0")
    template.release("v99.3.0")
    done = updating.run("update", "--check")
    assert "v99.1.0, v99.3.0 move files with a program of the template, which needs your" in (
        done.stdout
    )
    assert "`uvx copier update --defaults --trust --vcs-ref=v99.3.0`" in updating.refuse()
