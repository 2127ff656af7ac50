"""`copier update` brings what the template changed, and keeps what the owner did."""

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
    Project,
    owners_files,
)

AGENT = f"{PACKAGE}/agent.py"
TOOLS = f"{PACKAGE}/tools.py"
WORKFLOW = ".github/workflows/ci.yml"
SEEDS = sorted(file.replace("{{ package_name }}", "weather_agent") for file in owners_files())


def test_a_release_that_changes_nothing_changes_nothing(project: Project, tmp_path: Path) -> None:
    before = project.files()
    project.release_and_update()
    assert project.git("diff", "--stat").splitlines()[0].split()[0] == ".copier-answers.yml"
    assert project.files().keys() == before.keys()
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_second_update_changes_nothing(project: Project) -> None:
    project.edit(AGENT, "import os\n", "import os\nimport random\n")
    project.template.append(AGENT, "# The end.\n")
    project.release_and_update()
    project.commit()
    project.update()
    assert project.is_clean()


def test_an_untouched_project_becomes_what_a_fresh_one_is(project: Project, tmp_path: Path) -> None:
    template = project.template
    template.append(AGENT, "# The end.\n")
    template.edit("README.md", "## Quick start\n", "## The quick start\n")
    template.write(f"{PACKAGE}/memory.py", '"""What the agent remembers."""\n')
    template.delete(f"{PACKAGE}/logs.py")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.files() == template.fresh(NEXT, tmp_path / "fresh")


def test_both_sides_may_change_a_file_in_different_places(project: Project) -> None:
    project.edit(AGENT, "content = self.instructions\n", "content = self.instructions.upper()\n")
    project.template.edit(AGENT, "import mlflow\n", "import mlflow  # tracing\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert "content = self.instructions.upper()\n" in project.read(AGENT)
    assert "import mlflow  # tracing\n" in project.read(AGENT)


def test_the_owners_tools_stay_while_the_template_changes_its_own(project: Project) -> None:
    tool = 'def rain(place: str) -> bool:\n    """Tell whether it rains."""\n    return True\n'
    project.edit(TOOLS, "\nTOOLS = [", f"\n{tool}\n\nTOOLS = [rain, ")
    project.edit(TOOLS, "available_timezones\n", "available_timezones\n\nimport httpx\n")
    project.template.edit(TOOLS, "from datetime", "import math\nfrom datetime")
    project.template.edit(TOOLS, "Count the days", "Count all days")
    project.release_and_update()
    assert project.conflicts() == {}
    for piece in (tool, "TOOLS = [rain, ", "\nimport httpx\n", "import math\n", "Count all days"):
        assert project.read(TOOLS).count(piece) == 1, piece


def test_a_line_that_both_changed_is_a_conflict_with_both_sides(project: Project) -> None:
    project.edit(AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # mine\n")
    project.template.edit(
        AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # its\n"
    )
    project.release_and_update()
    conflict = project.conflict(AGENT)
    assert conflict.owners == "        tag_trace(request)  # mine\n"
    assert conflict.templates == "        tag_trace(request)  # its\n"


def test_a_path_that_both_added_holds_both(project: Project) -> None:
    project.write(f"{PACKAGE}/memory.py", "MINE = 1\n")
    project.template.write(f"{PACKAGE}/memory.py", "ITS = 2\n")
    project.release_and_update()
    conflict = project.conflict(f"{PACKAGE}/memory.py")
    assert (conflict.owners, conflict.templates) == ("MINE = 1\n", "ITS = 2\n")


def test_the_owners_files_stay_while_the_template_changes_its_seeds(project: Project) -> None:
    for seed in SEEDS:
        project.write(seed, f"My {seed}.\n")
        project.template.write(seed, "A better seed.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert all(project.read(seed) == f"My {seed}.\n" for seed in SEEDS)


def test_an_untouched_seed_stays_as_it_was(project: Project) -> None:
    before = {seed: project.read(seed) for seed in SEEDS}
    for seed in SEEDS:
        project.template.write(seed, "A better seed.\n")
    project.release_and_update()
    assert {seed: project.read(seed) for seed in SEEDS} == before


def test_a_deleted_seed_stays_deleted(project: Project) -> None:
    for seed in SEEDS:
        project.delete(seed)
        project.template.write(seed, "A better seed.\n")
    project.release_and_update()
    assert not any(project.path(seed).exists() for seed in SEEDS)


def test_the_owners_files_stay_where_the_template_drops_its_seeds(project: Project) -> None:
    project.write(SEEDS[0], "Mine.\n")
    before = {seed: project.read(seed) for seed in SEEDS}
    for seed in SEEDS:
        project.template.delete(seed)
    project.release_and_update()
    assert {seed: project.read(seed) for seed in SEEDS} == before


def test_a_retired_file_stays_with_the_owner(project: Project, tmp_path: Path) -> None:
    retired = f"{PACKAGE}/logs.py"
    project.append(retired, "# Mine.\n")
    before = project.read(retired)
    project.template.delete(retired)
    project.template.add_setting("_exclude", '  - "src/{{ package_name }}/logs.py"\n')
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(retired) == before
    assert retired not in project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_file_that_the_owner_deleted_stays_deleted(project: Project) -> None:
    project.delete(f"{PACKAGE}/report.py")
    project.template.append(f"{PACKAGE}/report.py", "# More.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert not project.path(f"{PACKAGE}/report.py").exists()


def test_files_of_the_owners_own_stay_as_they_are(project: Project) -> None:
    own = {
        "tests/test_weather.py": "def test_rain() -> None:\n    assert True\n",
        "notebooks/try.ipynb": '{"cells": []}\n',
        f"{PACKAGE}/forecast.py": "HOURS = 24\n",
        "uv.lock": "version = 1\n",
        ".env": "OPENAI_API_KEY=sk-mine\n",
    }
    for file, text in own.items():
        project.write(file, text)
    project.template.append(AGENT, "# The end.\n")
    project.release_and_update()
    assert {file: project.read(file) for file in own} == own
    assert project.git("check-ignore", ".env").strip() == ".env"


def uv_add(project: Project, *arguments: str) -> None:
    """Add a dependency to `pyproject.toml` as `uv add` does, without looking it up."""
    subprocess.run(
        ["uv", "add", "--quiet", "--frozen", *arguments],
        cwd=project.folder,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("bumped", ['"mlflow>=', '"tzdata>='])
def test_an_added_dependency_stays_while_the_template_raises_a_floor(
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


def test_an_added_dependency_stays_while_the_template_adds_one(project: Project) -> None:
    uv_add(project, "httpx-sse>=0.4.0")
    mark = "    # yours, added by `uv add`\n"
    project.template.edit("pyproject.toml", mark, f'    "rich>=13",\n{mark}')
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    assert text.count('    "rich>=13",\n') == text.count('    "httpx-sse>=0.4.0",\n') == 1


@pytest.mark.parametrize("added", ["aiosqlite>=0.20", "pytest-cov>=5", "zstd>=1.5"])
def test_an_added_tool_stays_while_the_template_raises_floors(added: str, project: Project) -> None:
    uv_add(project, "--dev", added)
    for tool in ('"pytest>=', '"ruff>=', '"ty>='):
        project.template.edit("pyproject.toml", f"    {tool}", f"    {tool}9.")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    for line in (f'    "{added}",\n', '"pytest>=9.', '"ruff>=9.', '"ty>=9.'):
        assert text.count(line) == 1, line


def test_the_owners_settings_stay_while_the_template_changes_its_own(project: Project) -> None:
    project.append("pyproject.toml", '\n[tool.coverage.run]\nsource = ["src"]\n')
    project.edit("pyproject.toml", "description = ", 'description = "Mine." # ')
    project.template.edit("pyproject.toml", "line-length = 100\n", "line-length = 110\n")
    project.template.edit("pyproject.toml", "[build-system]\n", "# How.\n[build-system]\n")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("pyproject.toml")
    for piece in ("[tool.coverage.run]", 'description = "Mine."', "line-length = 110", "# How."):
        assert text.count(piece) == 1, piece


def test_the_readmes_last_section_is_the_owners(project: Project) -> None:
    before, heading, _ = project.read("README.md").partition("\n## More about this agent\n")
    own = "\nIt runs in Vienna.\n\n### Who runs it\n\nThe weather team.\n"
    project.write("README.md", before + heading + own)
    project.template.edit("README.md", "## Quick start\n", "## The quick start\n")
    project.template.edit("README.md", "your work kept\n", "your work kept, always\n")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read("README.md")
    assert text.endswith(heading + own)
    assert "## The quick start\n" in text
    assert "your work kept, always\n" in text


def test_the_owners_variables_in_the_workflow_stay_beside_a_new_step(project: Project) -> None:
    variables = "    env:\n      OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}\n"
    project.edit(WORKFLOW, "    timeout-minutes: 15\n", f"    timeout-minutes: 15\n{variables}")
    project.append(WORKFLOW, variables.replace("    ", "        "))
    step = "      - name: Licences\n        run: uv run licences\n"
    project.template.edit(WORKFLOW, "      - name: Types\n", f"{step}      - name: Types\n")
    project.release_and_update()
    assert project.conflicts() == {}
    text = project.read(WORKFLOW)
    assert f"    timeout-minutes: 15\n{variables}" in text
    assert text.endswith(variables.replace("    ", "        "))
    assert text.count(step) == 1


def test_formatting_the_project_makes_no_conflict(project: Project) -> None:
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet"], cwd=project.folder, check=True
    )
    assert project.is_clean()
    project.template.append(AGENT, "# The end.\n")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(AGENT).endswith("# The end.\n")


def test_the_message_after_an_update_finds_the_conflicts(project: Project) -> None:
    project.edit(AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # mine\n")
    project.commit()
    project.template.edit(
        AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # its\n"
    )
    project.template.release(NEXT)
    update = ["copier", "update", "--defaults"]
    done = subprocess.run(update, cwd=project.folder, check=True, capture_output=True, text=True)
    find, sync, verify = re.findall(r"^  (\w.*)$", done.stderr, re.MULTILINE)
    found = subprocess.run(
        find, shell=True, cwd=project.folder, check=True, capture_output=True, text=True
    )
    assert re.fullmatch(rf"{AGENT}:\d+:<<<<<<< before updating\n", found.stdout)
    assert (sync, verify) == ("uv sync", f"uv run {NAME} verify")


def test_uncommitted_work_is_refused_and_stays(project: Project) -> None:
    project.append(TOOLS, "# Not committed.\n")
    project.write("notes.md", "Not committed either.\n")
    before = project.files()
    project.template.release(NEXT)
    with pytest.raises(UserMessageError, match="dirty"):
        project.update()
    assert project.files() == before


def test_a_checkout_that_asks_for_crlf_makes_no_conflict(project: Project) -> None:
    project.git("config", "core.autocrlf", "true")
    project.git("rm", "-r", "--quiet", "--cached", ".")
    project.git("reset", "--quiet", "--hard")
    project.append(TOOLS, "# Mine.\n")
    project.template.edit(TOOLS, "from datetime", "import math\nfrom datetime")
    project.release_and_update()
    assert project.conflicts() == {}
    assert b"\r" not in b"".join(project.files().values())
    assert "import math\n" in project.read(TOOLS)
    assert project.read(TOOLS).endswith("# Mine.\n")


def test_an_update_can_be_taken_back(project: Project) -> None:
    project.write(".env", "OPENAI_API_KEY=sk-mine\n")
    project.edit(AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # mine\n")
    before = project.files()
    project.template.edit(
        AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # its\n"
    )
    project.template.write(f"{PACKAGE}/memory.py", "ITS = 2\n")
    project.release_and_update()
    assert list(project.conflicts()) == [AGENT]
    project.git("reset", "--quiet", "--hard")
    project.git("clean", "-d", "--force", "--quiet")
    assert project.is_clean()
    assert project.files() == before
    assert project.read(".env") == "OPENAI_API_KEY=sk-mine\n"


def test_a_file_can_be_left_out_of_an_update(project: Project) -> None:
    project.append("AGENTS.md", "Mine.\n")
    before = project.read("AGENTS.md")
    project.template.edit("AGENTS.md", "## Rules\n", "## The rules\n")
    project.template.append(AGENT, "# The end.\n")
    project.release_and_update(exclude=["AGENTS.md"])
    assert project.read(AGENT).endswith("# The end.\n")
    assert project.read("AGENTS.md") == before
    project.commit()
    project.template.append(TOOLS, "# The end.\n")
    project.template.release(LATER)
    project.update()
    assert project.conflicts() == {}
    assert project.read(TOOLS).endswith("# The end.\n")
    assert project.read("AGENTS.md") == before
