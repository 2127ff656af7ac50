"""Typical edits of an owner merge with the typical changes of a release, and the agent runs."""

import re
import subprocess

import pytest

from tests.contract.verify import only
from tests.helpers.agents import Agent
from tests.rendering.workflows import commands
from tests.updates.projects import NAME, PACKAGE, Project, Template

WORKFLOW = ".github/workflows/ci.yml"
TESTS = "uv run pytest"
FORECAST = '''
def forecast(place: str, days: int = 1) -> str:
    """Return the weather forecast.

    Args:
        place: A city, such as Vienna.
        days: How far to look ahead.
    """
    return f"Sun in {place} for {days} days."
'''
FORECAST_AND_TOOLS = f"\n{FORECAST}\n\nTOOLS = [current_time, days_between, forecast]\n"
OWNERS_TEST = '''"""The forecast."""

from weather_agent.tools import forecast


def test_forecast_has_place_and_days() -> None:
    assert forecast("Vienna", 3) == "Sun in Vienna for 3 days."
'''
OWNERS_EXAMPLE = '{"input": [{"role": "user", "content": "What is the forecast for Vienna?"}]}\n'
OWNERS_TEXT = "It runs in Vienna.\n\n## Team\n\nThe weather team.\n"
CLOCK = '''"""A monotonic clock."""

import time


def now() -> float:
    """Return seconds that never decrease."""
    return time.monotonic()
'''
NEW_RULE = '''"""Rules about the length of answers."""

from .harness.agents import HELLO, Agent
from .harness.rules import rule


@rule(
    "short-answer",
    "The answer to a greeting is short.",
    why="Nobody reads more.",
    fix="Ask for short answers in instructions.md.",
)
def test_short_answer(agent: Agent) -> None:
    assert len(str(agent.predict(HELLO))) < 10_000
'''
STEP = "      - name: Licenses\n        run: uv run python -c 'import weather_agent.clock'\n"


def owner_edits(project: Project) -> None:
    """Edit tools, tests, texts, settings, dependencies and secrets, as owners do."""
    tools = f"{PACKAGE}/tools.py"
    project.edit(tools, "\n\nTOOLS = [current_time, days_between]\n", FORECAST_AND_TOOLS)
    project.write("tests/test_forecast.py", OWNERS_TEST)
    project.write(f"{PACKAGE}/instructions.md", "You are a meteorologist.\n")
    project.write(f"{PACKAGE}/input_example.json", OWNERS_EXAMPLE)
    agent = f"{PACKAGE}/agent.py"
    project.edit(agent, "adds: {inputs}\\n", "knows: {inputs}\\n")
    project.edit(f"{PACKAGE}/config.yml", "max_rounds: 8\n", "max_rounds: 5\n")
    project.edit(f"{PACKAGE}/config.yml", "resources: {}\n", "resources:\n  table: [main.a.b]\n")
    uv = ("uv", "add", "--quiet", "--no-sync")
    for arguments in ((*uv, "tabulate>=0.9"), (*uv, "--dev", "pytest-cov>=5")):
        subprocess.run(arguments, cwd=project.folder, check=True, capture_output=True)
    project.append("pyproject.toml", '\n[tool.coverage.run]\nsource = ["src"]\n')
    readme = project.read("README.md")
    project.write("README.md", readme.rpartition("\n\n")[0] + "\n\n" + OWNERS_TEXT)
    secret = "    env:\n      WEATHER_KEY: ${{ secrets.WEATHER_KEY }}\n"
    project.edit(WORKFLOW, "    timeout-minutes: 15\n", f"    timeout-minutes: 15\n{secret}")
    project.append(".gitignore", "data/\n")
    project.append(".env.example", "\n# The key of the forecast\n# WEATHER_KEY=\n")


def template_edits(template: Template) -> None:
    """Raise version bounds, add a module, a setting, a rule and a step, as releases do."""
    template.write(f"{PACKAGE}/clock.py", CLOCK)
    agent = f"{PACKAGE}/agent.py"
    line = "from {{ package_name }}.runtime.base import"
    template.edit(agent, line, f"from {{{{ package_name }}}}.clock import now\n{line}")
    template.edit(agent, '"rounds": rounds}', '"rounds": rounds, "at": now()}')
    setting = "answer_timeout_seconds: 180\n"
    template.edit(f"{PACKAGE}/config.yml", setting, f"{setting}# The longest answer.\nwords: 900\n")
    field = "    llm_timeout_seconds: FiniteFloat"
    template.edit(f"{PACKAGE}/runtime/config.py", field, f"    words: int = Field(ge=1)\n{field}")
    template.edit(f"{PACKAGE}/tools.py", "Tell the date and the time", "Tell date and time")
    template.write("tests/contract/test_length.py", NEW_RULE)
    template.edit("pyproject.toml", '"click>=8.1.7"', '"click>=8.1.8"')
    template.edit("pyproject.toml", '    "tzdata>=', '    "rich>=13",\n    "tzdata>=')
    template.edit("pyproject.toml", '    "pytest>=9.0"', '    "pytest>=9.0.1"')
    template.edit("README.md", "# {{ project_name }}\n", "# {{ project_name }}\n\nA new line.\n")
    template.append("AGENTS.md", "\nUse the clock.\n")
    template.edit(WORKFLOW, "      - name: Types\n", f"{STEP}      - name: Types\n")
    template.edit(".gitignore", "dist/\n", "dist/\ncoverage/\n")
    hook = "      - id: ty\n"
    template.edit(".pre-commit-config.yaml", hook, f"      # Types.\n{hook}")
    variable = "# MLFLOW_EXPERIMENT_NAME="
    template.edit(".env.example", variable, f"# MLFLOW_RUN_NAME=\n{variable}")


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A complete project with edits of its owner, after an update. Do not change it."""
    folder = tmp_path_factory.mktemp("usual")
    template = Template.of_the_working_tree(folder / "template", without="nothing")
    project = Project.made(template, folder / NAME)
    owner_edits(project)
    template_edits(template)
    project.release_and_update()
    return project


def test_typical_edits_do_not_conflict(updated: Project) -> None:
    assert updated.conflicts() == {}
    for file, text in {
        "tests/test_forecast.py": OWNERS_TEST,
        f"{PACKAGE}/instructions.md": "You are a meteorologist.\n",
        f"{PACKAGE}/input_example.json": OWNERS_EXAMPLE,
    }.items():
        assert updated.read(file) == text
    for file, piece in {
        f"{PACKAGE}/tools.py": FORECAST_AND_TOOLS,
        f"{PACKAGE}/agent.py": "knows: {inputs}",
        f"{PACKAGE}/config.yml": "resources:\n  table: [main.a.b]\n",
        "pyproject.toml": '"tabulate>=0.9"',
        "README.md": OWNERS_TEXT,
        WORKFLOW: "secrets.WEATHER_KEY",
        ".gitignore": "data/\n",
        ".env.example": "# WEATHER_KEY=\n",
    }.items():
        assert updated.read(file).count(piece) == 1, file
    for file, piece in {
        f"{PACKAGE}/tools.py": "Tell date and time",
        f"{PACKAGE}/agent.py": '"at": now()',
        f"{PACKAGE}/config.yml": "words: 900\n",
        "pyproject.toml": '"click>=8.1.8"',
        "README.md": "\nA new line.\n",
        WORKFLOW: STEP,
        ".gitignore": "coverage/\n",
        ".env.example": "# MLFLOW_RUN_NAME=\n",
    }.items():
        assert updated.read(file).count(piece) == 1, file


def test_the_updated_project_passes_its_checks(updated: Project) -> None:
    agent = Agent(updated.folder)
    stale = agent.run("uv", "sync", "--locked")
    assert stale.returncode, "uv.lock contains the old bounds."
    assert "run `uv lock`" in stale.stderr
    agent.check("uv", "sync", "--quiet")
    agent.check("bash", "-c", f"{TESTS} --ignore=tests/contract")
    listed = agent.check("weather-agent", "verify", *only("answer-text", "short-answer"))
    assert "2 passed" in listed


@pytest.mark.proof
def test_the_updated_project_passes_its_ci(updated: Project) -> None:
    agent = Agent(updated.folder)
    agent.check("uv", "lock", "--quiet")
    *checks, tests = commands("github", updated.folder)
    assert tests == TESTS
    for command in checks:
        agent.check("bash", "-c", command)
    printed = agent.check("bash", "-c", tests)
    assert re.search(r"\d+ passed", printed)
    assert "skipped" not in printed
