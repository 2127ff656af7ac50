"""Another framework replaces agent.py and the dependencies, and keeps the owner's other edits."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import copier._main
import pytest
import yaml
from jinja2.exceptions import FilterArgumentError

from tests.contract.verify import only
from tests.helpers.agents import Agent
from tests.helpers.template import QUESTIONS, ROOT
from tests.server.serving import TOKYO
from tests.updates.projects import (
    ANSWERS,
    LATER,
    NAME,
    NEXT,
    NOW,
    PACKAGE,
    Files,
    Project,
    Template,
    all_releases,
    released,
)
from tests.updates.test_typical_edits import owner_edits

AGENT = f"{PACKAGE}/agent.py"
TOOLS = f"{PACKAGE}/tools.py"
FRAMEWORKS = list(QUESTIONS["framework"]["choices"].values())
# Each framework is left once, and selected once.
PAIRS = list(zip(FRAMEWORKS, [*FRAMEWORKS[1:], FRAMEWORKS[0]], strict=True))
OWNERS_LINE = "# The owner's.\n"
FILES = (
    "template/{%",
    "template/README",
    "template/evaluation/",
    "template/pyproject",
    "template/src/{{ package_name }}/config",
    "template/src/{{ package_name }}/in",
    "template/src/{{ package_name }}/tools",
    "template/tests/test_agent",
)
# Files that do not depend on the framework, and that owners edit.
KEPT = (
    TOOLS,
    f"{PACKAGE}/config.yml",
    f"{PACKAGE}/instructions.md",
    f"{PACKAGE}/input_example.json",
    "evaluation/cases.jsonl",
    "evaluation/scorers.py",
    "tests/test_agent.py",
)
LAST_RELEASE = [*released()][-1]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """A project of each framework, with the files that owners edit. Do not change them."""
    folder = tmp_path_factory.mktemp("frameworks")
    template = Template.tiny(folder / "template", *FILES)
    template.release(NOW)
    return {name: Project.made(template, folder / name, framework=name) for name in FRAMEWORKS}


@pytest.fixture
def project(projects: dict[str, Project], tmp_path: Path) -> Project:
    """A project without a framework, with an edited agent.py. The test may change it."""
    project = projects["openai"].copied(tmp_path)
    edit_agent(project)
    project.commit()
    return project


def edit_agent(project: Project) -> None:
    """Edit the first and the last lines of agent.py."""
    project.edit(AGENT, '"""The agent', '"""The weather agent')
    project.append(AGENT, OWNERS_LINE)


def fresh(project: Project, framework: str, folder: Path, tag: str = NOW) -> Files:
    """Return the files of a new agent of a framework."""
    return project.template.fresh(tag, folder / "fresh", framework=framework)


def framework_of(project: Project) -> str:
    """Return the framework that the project records."""
    return yaml.safe_load(project.read(ANSWERS))["framework"]


def dependencies(settings: str | bytes) -> set[str]:
    """Return all requirements in a `pyproject.toml`."""
    text = settings if isinstance(settings, str) else settings.decode()
    tables = tomllib.loads(text)
    return {*tables["project"]["dependencies"], *tables["dependency-groups"]["dev"]}


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_an_unedited_agent_becomes_a_fresh_one(
    old: str, new: str, projects: dict[str, Project], tmp_path: Path
) -> None:
    project = projects[old].copied(tmp_path)
    project.update(framework=new)
    assert project.conflicts() == {}
    assert project.files() == fresh(project, new, tmp_path)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_agent_py_loses_its_edits(
    old: str, new: str, projects: dict[str, Project], tmp_path: Path
) -> None:
    project = projects[old].copied(tmp_path)
    edit_agent(project)
    edited = project.read(AGENT)
    for file in KEPT:
        project.append(file, OWNERS_LINE)
    kept = {file: project.path(file).read_bytes() for file in KEPT}
    uv = ("uv", "add", "--quiet", "--frozen")
    for arguments in ((*uv, "tabulate>=0.9"), (*uv, "--dev", "pytest-cov>=5")):
        subprocess.run(arguments, cwd=project.folder, check=True)
    project.commit()
    project.update(framework=new)

    expected = fresh(project, new, tmp_path)
    assert project.conflicts() == {}
    assert project.git("show", f"HEAD:./{AGENT}") == edited
    packages = dependencies(expected.pop("pyproject.toml")) | {"tabulate>=0.9", "pytest-cov>=5"}
    assert dependencies(project.read("pyproject.toml")) == packages
    found = project.files()
    del found["pyproject.toml"]
    assert found == expected | kept


def test_the_message_shows_how_to_print_the_previous_agent(project: Project) -> None:
    edited = project.read(AGENT)
    done = project.run_update("--data", "framework=langgraph")
    assert done.returncode == 0, done.stderr
    message = done.stderr
    assert f"The framework is now langgraph, and {AGENT} is new." in message
    (command,) = re.findall(r"^  (git show .*)$", message, re.MULTILINE)
    shown = subprocess.run(
        command, shell=True, cwd=project.folder, check=True, capture_output=True, text=True
    )
    assert shown.stdout == edited
    assert command in (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")


def test_other_updates_do_not_mention_the_framework(project: Project) -> None:
    project.template.append(TOOLS, "# The template's last line.\n")
    project.template.release(NEXT)
    assert "git show" not in project.run_update().stderr


@pytest.mark.parametrize("new", ["langgraph", "openai"])
def test_deleted_files_do_not_matter(new: str, project: Project, tmp_path: Path) -> None:
    """Copier then computes the pattern before it has the answers."""
    project.delete(TOOLS)
    project.commit()
    before = project.files()
    project.update(framework=new)
    assert project.conflicts() == {}
    assert not project.path(TOOLS).exists()
    if new == "openai":
        assert project.files() == before
    else:
        assert project.files()[AGENT] == fresh(project, new, tmp_path)[AGENT]


def test_the_same_framework_keeps_the_edits(projects: dict[str, Project], tmp_path: Path) -> None:
    for name in FRAMEWORKS:
        project = projects[name].copied(tmp_path / name)
        edit_agent(project)
        project.commit()
        project.update(framework=name)
        assert project.is_clean(), name


def test_later_updates_merge_the_new_agent(project: Project, tmp_path: Path) -> None:
    project.update(framework="langgraph")
    edit_agent(project)
    project.commit()
    edited = project.read(AGENT)
    project.update()
    assert project.is_clean()

    folder = project.template.folder / "template" / "{% if langgraph %}src{% endif %}"
    (source,) = folder.rglob("agent.py.jinja")
    template = source.read_text(encoding="utf-8")
    source.write_text(template.replace("import mlflow\n", "import mlflow  # tracing\n"), "utf-8")
    project.template.release(NEXT)
    project.update()
    assert project.conflicts() == {}
    assert project.read(AGENT) == edited.replace("import mlflow\n", "import mlflow  # tracing\n")
    expected = fresh(project, "langgraph", tmp_path, NEXT)
    assert project.files() == expected | {AGENT: project.path(AGENT).read_bytes()}
    project.commit()

    project.template.release(LATER)
    project.update(framework="openai")
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(LATER, tmp_path / "last")


def test_a_new_release_and_another_framework_at_once(project: Project, tmp_path: Path) -> None:
    project.append(TOOLS, OWNERS_LINE)
    project.commit()
    project.template.edit(TOOLS, "from datetime", "import math\nfrom datetime")
    project.template.edit(AGENT, "import mlflow\n", "import mlflow\nimport math\n")
    project.template.release(NEXT)
    project.update(framework="pydantic-ai")
    assert project.conflicts() == {}
    assert "import math\n" in project.read(TOOLS)
    assert project.read(TOOLS).endswith(OWNERS_LINE)
    expected = fresh(project, "pydantic-ai", tmp_path, NEXT)
    assert project.files() == expected | {TOOLS: project.path(TOOLS).read_bytes()}


def test_an_agent_from_before_the_question_gets_a_framework(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = all_releases(tmp_path_factory.getbasetemp())
    project = Project.made(template, tmp_path / NAME, LAST_RELEASE)
    project.append(AGENT, OWNERS_LINE)
    project.commit()
    project.update(framework="langgraph")
    assert project.conflicts() == {}
    assert project.files() == fresh(project, "langgraph", tmp_path)


def test_a_folder_of_a_larger_repository(projects: dict[str, Project], tmp_path: Path) -> None:
    template = projects["openai"].template
    project = Project.in_a_larger_repository(template, tmp_path / "mono [1]", f"agents/{NAME}")
    edit_agent(project)
    project.commit()
    project.update(framework="openai-agents")
    assert project.conflicts() == {}
    assert project.files() == fresh(project, "openai-agents", tmp_path)
    edit_agent(project)
    project.commit()
    project.update(framework="openai-agents")
    assert project.is_clean()


def test_an_excluded_agent_stays(project: Project) -> None:
    before = project.read(AGENT)
    done = project.run_update("--data", "framework=langgraph", "--exclude", AGENT)
    assert done.returncode == 0, done.stderr
    assert project.read(AGENT) == before
    assert framework_of(project) == "langgraph"
    assert "git show" not in done.stderr


def test_another_answer_to_the_prompt_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose_langgraph(questions: list[dict[str, Any]], answers: dict[str, Any]) -> Any:
        (question,) = questions
        return answers | ({"framework": "langgraph"} if question["name"] == "framework" else {})

    monkeypatch.setattr(copier._main, "unsafe_prompt", choose_langgraph)
    with pytest.raises(FilterArgumentError, match="This agent is built with openai"):
        copier.run_update(project.folder, overwrite=True, quiet=True)
    assert project.is_clean()


def test_an_unknown_framework_changes_nothing(project: Project) -> None:
    refused = project.run_update("--data", "framework=crewai")
    assert refused.returncode != 0
    assert "crewai" in refused.stderr
    assert project.is_clean()


@pytest.mark.proof
def test_an_edited_agent_runs_with_another_framework(tmp_path: Path) -> None:
    template = Template.of_the_working_tree(tmp_path / "template", without="nothing")
    project = Project.made(template, tmp_path / NAME)
    owner_edits(project)
    project.commit()
    project.update(framework="langgraph")
    assert project.conflicts() == {}
    agent = Agent(project.folder)
    agent.check("uv", "sync", "--quiet")
    project.commit()
    agent.check("pytest", "-q", "--ignore=tests/contract")
    agent.check("ruff", "check")
    agent.check("ty", "check", "--error-on-warning")
    assert "current_time says: " in agent.check(NAME, "ask", TOKYO)
    assert "2 passed" in agent.check(NAME, "verify", *only("instructions", "working-tools"))
