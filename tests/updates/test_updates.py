"""`copier update` applies the template's changes and keeps the owner's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from copier.errors import UserMessageError

from tests.updates.projects import (
    LATER,
    NAME,
    NEXT,
    PACKAGE,
    Conflict,
    Project,
    owners_files,
)

AGENT = f"{PACKAGE}/agent.py"
TOOLS = f"{PACKAGE}/tools.py"
LOGS = f"{PACKAGE}/ops/log_filters.py"
REPORT = f"{PACKAGE}/commands/report.py"
README_TITLE = "# {{ project_name }}\n"
IMPORT = "import json\n"
OWNERS_IMPORT = "import json  # the owner's\n"
TEMPLATES_IMPORT = "import json  # the template's\n"
WORKFLOW = ".github/workflows/ci.yml"
OWNERS = sorted(file.replace("{{ package_name }}", "weather_agent") for file in owners_files())


def test_a_release_without_changes_changes_nothing(project: Project, tmp_path: Path) -> None:
    before = project.files()
    project.release_and_update()
    assert project.git("diff", "--stat").splitlines()[0].split()[0] == ".copier-answers.yml"
    assert project.files().keys() == before.keys()
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_second_update_changes_nothing(project: Project) -> None:
    project.edit(AGENT, IMPORT, f"{IMPORT}import random\n")
    project.template.append(AGENT, "# The template's last line.\n")
    project.release_and_update()
    project.commit()
    project.update()
    assert project.is_clean()


def test_an_unchanged_project_becomes_a_fresh_one(project: Project, tmp_path: Path) -> None:
    template = project.template
    template.append(AGENT, "# The template's last line.\n")
    template.edit("README.md", README_TITLE, f"{README_TITLE}\nAnother line.\n")
    template.write(f"{PACKAGE}/memory.py", '"""The memory of the agent."""\n')
    template.delete(LOGS)
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.files() == template.fresh(NEXT, tmp_path / "fresh")


def test_changes_in_different_places_of_a_file_are_merged(project: Project) -> None:
    project.append(AGENT, "# The owner's last line.\n")
    project.template.edit(AGENT, "import mlflow\n", "import mlflow  # tracing\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(AGENT).endswith("# The owner's last line.\n")
    assert "import mlflow  # tracing\n" in project.read(AGENT)


def test_the_owners_tools_stay_when_the_template_changes_its_own(project: Project) -> None:
    tool = 'def rain(place: str) -> bool:\n    """Tell whether it rains."""\n    return True\n'
    project.edit(TOOLS, "\nTOOLS = [", f"\n{tool}\n\nTOOLS = [rain, ")
    project.edit(TOOLS, "available_timezones\n", "available_timezones\n\nimport httpx\n")
    project.template.edit(TOOLS, "from datetime", "import math\nfrom datetime")
    project.template.edit(TOOLS, "Count the days", "Count all days")
    project.release_and_update()
    assert project.conflicts() == {}
    for piece in (tool, "TOOLS = [rain, ", "\nimport httpx\n", "import math\n", "Count all days"):
        assert project.read(TOOLS).count(piece) == 1, piece


def test_a_line_that_both_sides_changed_becomes_a_conflict(project: Project) -> None:
    project.edit(AGENT, IMPORT, OWNERS_IMPORT)
    project.template.edit(AGENT, IMPORT, TEMPLATES_IMPORT)
    project.release_and_update()
    conflict = project.conflict(AGENT)
    assert conflict == Conflict(OWNERS_IMPORT, TEMPLATES_IMPORT)


def test_a_file_that_both_sides_added_becomes_a_conflict(project: Project) -> None:
    project.write(f"{PACKAGE}/memory.py", "OWNERS = 1\n")
    project.template.write(f"{PACKAGE}/memory.py", "TEMPLATES = 2\n")
    project.release_and_update()
    conflict = project.conflict(f"{PACKAGE}/memory.py")
    assert (conflict.owners, conflict.templates) == ("OWNERS = 1\n", "TEMPLATES = 2\n")


def test_the_owners_files_stay_when_the_template_changes_them(project: Project) -> None:
    for file in OWNERS:
        project.write(file, f"The owner's {file}.\n")
        project.template.write(file, "The template's text.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert all(project.read(file) == f"The owner's {file}.\n" for file in OWNERS)


def test_the_owners_files_stay_even_without_changes(project: Project) -> None:
    before = {file: project.read(file) for file in OWNERS}
    for file in OWNERS:
        project.template.write(file, "The template's text.\n")
    project.release_and_update()
    assert {file: project.read(file) for file in OWNERS} == before


def test_deleted_files_of_the_owner_stay_deleted(project: Project) -> None:
    for file in OWNERS:
        project.delete(file)
        project.template.write(file, "The template's text.\n")
    project.release_and_update()
    assert not any(project.path(file).exists() for file in OWNERS)


def test_the_owners_files_stay_when_the_template_removes_them(project: Project) -> None:
    project.write(OWNERS[0], "The owner's text.\n")
    before = {file: project.read(file) for file in OWNERS}
    for file in OWNERS:
        project.template.delete(file)
    project.release_and_update()
    assert {file: project.read(file) for file in OWNERS} == before


def test_a_file_that_the_template_excludes_stays(project: Project, tmp_path: Path) -> None:
    excluded = LOGS
    project.append(excluded, "# The owner's.\n")
    before = project.read(excluded)
    project.template.delete(excluded)
    project.template.add_setting("_exclude", '  - "src/{{ package_name }}/ops/log_filters.py"\n')
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(excluded) == before
    assert excluded not in project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_file_that_the_owner_deleted_stays_deleted(project: Project) -> None:
    project.delete(REPORT)
    project.template.append(REPORT, "# More.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert not project.path(REPORT).exists()


def test_files_that_only_the_owner_has_stay_the_same(project: Project) -> None:
    own = {
        "tests/test_weather.py": "def test_rain() -> None:\n    assert True\n",
        "notebooks/try.ipynb": '{"cells": []}\n',
        f"{PACKAGE}/forecast.py": "HOURS = 24\n",
        "uv.lock": "version = 1\n",
        ".env": "OPENAI_API_KEY=sk-owner\n",
    }
    for file, text in own.items():
        project.write(file, text)
    project.template.append(AGENT, "# The template's last line.\n")
    project.release_and_update()
    assert {file: project.read(file) for file in own} == own
    assert project.git("check-ignore", ".env").strip() == ".env"


def uv_add(project: Project, *arguments: str) -> None:
    """Add a dependency with `uv add`, without resolving it."""
    subprocess.run(
        ["uv", "add", "--quiet", "--frozen", *arguments],
        cwd=project.folder,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("bumped", ['"mlflow>=', '"tzdata>='])
def test_an_added_dependency_stays_when_the_template_raises_a_bound(
    bumped: str, project: Project
) -> None:
    uv_add(project, "httpx-sse>=0.4.0")
    uv_add(project, "aiosqlite>=0.20")
    project.template.edit("pyproject.toml", f"    {bumped}", f"    # Raised.\n    {bumped}9.")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    for line in ('"httpx-sse>=0.4.0"', '"aiosqlite>=0.20"', f"# Raised.\n    {bumped}9."):
        assert text.count(line) == 1, line


def test_an_added_dependency_stays_when_the_template_adds_one(project: Project) -> None:
    uv_add(project, "httpx-sse>=0.4.0")
    mark = "    # yours, added by `uv add`\n"
    project.template.edit("pyproject.toml", mark, f'    "rich>=13",\n{mark}')
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    assert text.count('    "rich>=13",\n') == text.count('    "httpx-sse>=0.4.0",\n') == 1


@pytest.mark.parametrize("added", ["aiosqlite>=0.20", "pytest-cov>=5", "zstd>=1.5"])
def test_an_added_tool_stays_when_the_template_raises_bounds(added: str, project: Project) -> None:
    uv_add(project, "--dev", added)
    for tool in ('"pytest>=', '"ruff>=', '"ty>='):
        project.template.edit("pyproject.toml", f"    {tool}", f"    {tool}9.")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    for line in (f'    "{added}",\n', '"pytest>=9.', '"ruff>=9.', '"ty>=9.'):
        assert text.count(line) == 1, line


def test_the_owners_settings_stay_when_the_template_changes_its_own(project: Project) -> None:
    project.append("pyproject.toml", '\n[tool.coverage.run]\nsource = ["src"]\n')
    project.edit("pyproject.toml", "description = ", 'description = "An agent." # ')
    project.template.edit("pyproject.toml", "line-length = 100\n", "line-length = 110\n")
    project.template.edit("pyproject.toml", "[build-system]\n", "# The build.\n[build-system]\n")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    for piece in (
        "[tool.coverage.run]",
        'description = "An agent."',
        "line-length = 110",
        "# The build.",
    ):
        assert text.count(piece) == 1, piece


def test_the_last_section_of_the_readme_is_the_owners(project: Project) -> None:
    text = project.read("README.md")
    start = text.index("\n## ", text.rindex("\n## ") - 1)
    heading = text[start:].split("\n")[1]
    owners = f"\n{heading}\n\nIt runs in Vienna.\n\n### Team\n\nThe weather team.\n"
    project.write("README.md", text[:start] + owners)
    project.template.edit("README.md", README_TITLE, f"{README_TITLE}\nAnother line.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read("README.md").endswith(owners)
    assert "\nAnother line.\n" in project.read("README.md")


def test_the_owners_variables_in_the_workflow_stay_when_a_step_is_added(project: Project) -> None:
    variables = "    env:\n      OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}\n"
    project.edit(WORKFLOW, "    timeout-minutes: 15\n", f"    timeout-minutes: 15\n{variables}")
    project.append(WORKFLOW, variables.replace("    ", "        "))
    step = "      - name: Licenses\n        run: uv run licenses\n"
    project.template.edit(WORKFLOW, "      - name: Types\n", f"{step}      - name: Types\n")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read(WORKFLOW)
    assert f"    timeout-minutes: 15\n{variables}" in text
    assert text.endswith(variables.replace("    ", "        "))
    assert text.count(step) == 1


def test_formatting_the_project_causes_no_conflict(project: Project) -> None:
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet"], cwd=project.folder, check=True
    )
    assert project.is_clean()
    project.template.append(AGENT, "# The template's last line.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(AGENT).endswith("# The template's last line.\n")


def test_the_command_in_the_message_lists_the_conflicts(project: Project) -> None:
    project.edit(AGENT, IMPORT, OWNERS_IMPORT)
    project.commit()
    project.template.edit(AGENT, IMPORT, TEMPLATES_IMPORT)
    project.template.release(NEXT)
    done = project.run_update()
    find, sync, verify = re.findall(r"^  (\w.*)$", done.stderr, re.MULTILINE)
    found = subprocess.run(
        find, shell=True, cwd=project.folder, check=True, capture_output=True, text=True
    )
    assert re.fullmatch(rf"{AGENT}:\d+:<<<<<<< before updating\n", found.stdout)
    assert (sync, verify) == ("uv sync", f"uv run {NAME} verify")


def test_uncommitted_changes_stop_the_update(project: Project) -> None:
    project.append(TOOLS, "# Not committed.\n")
    project.write("notes.md", "Not committed either.\n")
    before = project.files()
    project.template.release(NEXT)
    with pytest.raises(UserMessageError, match="dirty"):
        project.update()
    assert project.files() == before


def test_a_checkout_with_crlf_causes_no_conflict(project: Project) -> None:
    project.git("config", "core.autocrlf", "true")
    project.git("rm", "-r", "--quiet", "--cached", ".")
    project.git("reset", "--quiet", "--hard")
    project.append(TOOLS, "# The owner's.\n")
    project.template.edit(TOOLS, "from datetime", "import math\nfrom datetime")
    project.release_and_update()
    assert project.conflicts() == {}
    assert b"\r" not in b"".join(project.files().values())
    assert "import math\n" in project.read(TOOLS)
    assert project.read(TOOLS).endswith("# The owner's.\n")


def test_an_update_can_be_undone(project: Project) -> None:
    project.write(".env", "OPENAI_API_KEY=sk-owner\n")
    project.edit(AGENT, IMPORT, OWNERS_IMPORT)
    before = project.files()
    project.template.edit(AGENT, IMPORT, TEMPLATES_IMPORT)
    project.template.write(f"{PACKAGE}/memory.py", "TEMPLATES = 2\n")
    project.release_and_update()
    assert list(project.conflicts()) == [AGENT]
    project.git("reset", "--quiet", "--hard")
    project.git("clean", "-d", "--force", "--quiet")
    assert project.is_clean()
    assert project.files() == before
    assert project.read(".env") == "OPENAI_API_KEY=sk-owner\n"


def test_a_file_can_be_excluded_from_an_update(project: Project) -> None:
    project.append("AGENTS.md", "The owner's.\n")
    before = project.read("AGENTS.md")
    project.template.edit("AGENTS.md", "## Rules\n", "## The rules\n")
    project.template.append(AGENT, "# The template's last line.\n")
    project.release_and_update(exclude=["AGENTS.md"])
    assert project.read(AGENT).endswith("# The template's last line.\n")
    assert project.read("AGENTS.md") == before
    project.commit()
    project.template.append(TOOLS, "# The template's last line.\n")
    project.template.release(LATER)
    project.update()
    assert project.conflicts() == {}
    assert project.read(TOOLS).endswith("# The template's last line.\n")
    assert project.read("AGENTS.md") == before
