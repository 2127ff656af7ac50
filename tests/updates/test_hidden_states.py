"""States of a repository in which a plain `copier update` would replace work without a conflict.

The template prevents what it can. `docs/updating.md` describes the rest, and these tests check that
it is right. The tests of the agent's own `update` are in `test_update_command.py`.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.template import ROOT
from tests.updates.projects import NEXT, PACKAGE, Project

TOOLS, MINE = f"{PACKAGE}/tools.py", "# The owner's line.\n"
FIRST = '"""What the agent can do.'
PAGE = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The owner's settings for git, which apply to all repositories."""
    file = tmp_path / "gitconfig"
    file.write_text("[user]\nname = Owner\nemail = owner@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(file))
    return file


def conflict_in_tools(project: Project) -> None:
    """Let the owner and the template change the same line."""
    project.edit(TOOLS, FIRST, '"""What my agent can do.')
    project.template.edit(TOOLS, FIRST, '"""What this agent can do.')


def update(project: Project) -> None:
    """Commit the owner's changes, release the template's changes, and update, as an owner does."""
    project.commit()
    project.template.release(NEXT)
    done = project.run_update()  # Copier in this process would not see the owner's settings
    assert done.returncode == 0, done.stderr


def refused(project: Project, *options: str) -> str:
    """Update, which must be refused and change nothing, and return the reason."""
    before = project.git("rev-parse", "HEAD")
    done = project.run_update(*options)
    assert done.returncode != 0
    assert project.is_clean()
    assert project.git("rev-parse", "HEAD") == before
    return done.stderr.splitlines()[-1]


def documented(words: str) -> str:
    """Return what the documentation says that `copier update` does in a state."""
    (found,) = re.findall(rf"^\| [^|]*{re.escape(words)}[^|]* \| (.+) \|$", PAGE, re.MULTILINE)
    return found


@pytest.mark.parametrize("pattern", ["AGENTS.md", "*.md", ".env*"])
@pytest.mark.parametrize("where", ["global", "exclude"])
def test_other_ignore_files_hide_no_files(
    project: Project, configuration: Path, pattern: str, where: str
) -> None:
    ignored = project.folder / ".git" / "info" / "exclude"
    if where == "global":
        ignored = configuration.with_name("ignored")
        project.git("config", "--global", "core.excludesFile", str(ignored))
    ignored.write_text(f"{pattern}\n")
    file = {"AGENTS.md": "AGENTS.md", "*.md": "docs/serving.md"}.get(pattern, ".env.example")
    project.append(file, MINE)
    text = project.template.read(file)
    project.template.write(file, "The template's line.\n" + text)
    update(project)
    assert project.read(file).endswith(MINE)
    assert project.read(file).startswith("The template's line.\n")


def test_file_that_the_project_ignores_is_overwritten(project: Project) -> None:
    project.append(".gitignore", "added.md\n")
    project.write("docs/added.md", MINE)
    project.template.write("docs/added.md", "The template's line.\n")
    update(project)
    assert project.read("docs/added.md") == "The template's line.\n"
    assert documented("`.gitignore`") == "overwrites your file, which git does not have"


def test_hidden_untracked_files_leave_conflicts_in_other_files(project: Project) -> None:
    project.git("config", "status.showUntrackedFiles", "no")
    conflict_in_tools(project)
    update(project)
    assert "What this agent can do." in project.read(TOOLS)
    assert '+"""What my agent can do.' in project.read(f"{TOOLS}.rej")
    command = documented("`status.showUntrackedFiles`").partition("; run `")[2].strip("`")
    found = subprocess.run(
        command, shell=True, cwd=project.folder, check=True, capture_output=True, text=True
    )
    assert found.stdout == f"./{TOOLS}.rej\n"


def test_linked_package_is_refused(project: Project) -> None:
    project.path("elsewhere").mkdir()
    project.git("mv", PACKAGE, "elsewhere")
    project.path(PACKAGE).symlink_to("../elsewhere/weather_agent")
    conflict_in_tools(project)
    project.commit()
    project.template.release(NEXT)
    assert f"{PACKAGE} is a symbolic link" in refused(project)


def test_attributes_of_the_user_hide_no_changes(project: Project, configuration: Path) -> None:
    attributes = configuration.with_name("attributes")
    attributes.write_text("*.py -diff\n*.md -diff\n*.toml -diff\n*.yml -diff\n")
    project.git("config", "--global", "core.attributesFile", str(attributes))
    mine = (TOOLS, "docs/serving.md", "pyproject.toml", f"{PACKAGE}/config.yml")
    for file in mine:
        project.append(file, MINE)
    conflict_in_tools(project)
    update(project)
    for file in mine:
        assert project.read(file).endswith(MINE), file
    assert list(project.conflicts()) == [TOOLS]


@pytest.mark.parametrize("flag", ["assume-unchanged", "skip-worktree"])
def test_hidden_change_is_overwritten(project: Project, flag: str) -> None:
    project.git("update-index", f"--{flag}", TOOLS)
    project.append(TOOLS, MINE)
    project.template.edit(TOOLS, FIRST, '"""What this agent can do.')
    update(project)
    assert MINE not in project.read(TOOLS)
    assert documented(f"`{flag}`") == "overwrites the change"


def test_another_package_name_is_refused(project: Project) -> None:
    project.append(TOOLS, MINE)
    project.commit()
    project.template.release(NEXT)
    reason = refused(project, "--data", "package_name=other_agent")
    assert "This agent has no folder src/other_agent. Copier would lose changes" in reason
    assert '"uv run weather-agent update"' in reason


def test_renamed_package_is_refused(project: Project) -> None:
    project.git("mv", PACKAGE, "src/my_agent")
    project.commit()
    project.template.release(NEXT)
    assert "has no folder src/weather_agent." in refused(project)


def test_renamed_module_gets_no_changes(project: Project) -> None:
    project.git("mv", TOOLS, f"{PACKAGE}/abilities.py")
    project.commit()
    project.template.edit(TOOLS, FIRST, '"""What this agent can do.')
    update(project)
    assert "What this agent can do." not in project.read(f"{PACKAGE}/abilities.py")
    assert documented("`tools.py`").startswith("the template's changes do not arrive")


@pytest.mark.parametrize("folder", ["brackets [1]", "spaces in it"])
def test_folders_with_special_characters_are_not_refused(
    project: Project, folder: str, tmp_path: Path
) -> None:
    moved = Project(project.folder.rename(tmp_path / folder), project.template)
    moved.template.edit(TOOLS, FIRST, '"""What this agent can do.')
    update(moved)
    assert "What this agent can do." in moved.read(TOOLS)
