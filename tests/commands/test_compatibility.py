"""Agents hold their contract with the oldest and the newest MLflow, on every supported Python."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.types.responses import RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import Render
from tests.helpers.agents import Agent, install, rules_of
from tests.helpers.model_server import ChatServer, text
from tests.helpers.template import ROOT

SUPPORTED = ("3.11", "3.12", "3.13")
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Installs a rendered project for a Python, with its dependencies resolved one way or the other.
InstallFor = Callable[[Path, str, str], Agent]


def find_python(version: str) -> str | None:
    """The interpreter of a version on this machine, outside virtual environments."""
    # pyenv puts stubs on the path that fail for all versions but the one it is set to.
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    folders = [os.environ["PATH"], *map(str, sorted(pyenv.glob("versions/*/bin")))]
    done = subprocess.run(
        ["uv", "python", "find", "--system", "--no-python-downloads", version],
        env=os.environ | {"PATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


# The interpreters, by version, of the supported Pythons that this machine has.
PYTHONS = {version: path for version in SUPPORTED if (path := find_python(version))}


@pytest.fixture
def install_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InstallFor]:
    """Installs a copy of a project, and removes its environment after the test: it is large."""
    folder = tmp_path / "weather-agent"

    def install_for(project: Path, python: str, resolution: str) -> Agent:
        monkeypatch.setenv("UV_PYTHON", PYTHONS[python])
        monkeypatch.setenv("UV_RESOLUTION", resolution)
        shutil.copytree(project, folder)
        return install(folder)

    yield install_for
    shutil.rmtree(folder / ".venv", ignore_errors=True)


def dependencies(project: Path) -> dict[str, Requirement]:
    """What a project depends on, by name, extras with it, as its `pyproject.toml` has it."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [settings["dependencies"], *settings["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {requirement.name: requirement for requirement in requirements}


def floor(requirement: Requirement) -> str:
    """The oldest version that a requirement allows."""
    (version,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return version


def newest(requirement: Requirement, python: str) -> str:
    """The newest version that can be installed when nothing else is asked for."""
    done = subprocess.run(
        ["uv", "pip", "compile", "-", "--quiet", "--no-header", "--refresh-package=mlflow"],
        input=str(requirement),
        env=os.environ | {"UV_PYTHON": PYTHONS[python], "UV_RESOLUTION": "highest"},
        capture_output=True,
        text=True,
        check=True,
    )
    (version,) = re.findall(rf"^{requirement.name}==(\S+)", done.stdout, re.MULTILINE)
    return version


def installed(agent: Agent) -> dict[str, str]:
    """The version of each package in an agent's environment."""
    printed = agent.check("uv", "pip", "list", "--format=json", f"--python={agent.folder}/.venv")
    return {package["name"]: package["version"] for package in json.loads(printed)}


def above_their_floors(agent: Agent) -> list[str]:
    """The dependencies of an agent that are newer than the oldest version allowed."""
    wanted, versions = dependencies(agent.folder), installed(agent)
    floors = {name: SpecifierSet(f"=={floor(wanted[name])}") for name in wanted}
    return [name for name in wanted if versions[name] not in floors[name]]


def check_code(agent: Agent) -> None:
    """Lint an agent with its own tools, which are the oldest or the newest as well."""
    agent.check("ruff", "check")
    agent.check("ruff", "format", "--check")
    agent.check("ty", "check", "--error-on-warning")


def check_contract(agent: Agent) -> dict[str, set[str]]:
    """Run all tests of an agent, and say how each rule of its contract came out."""
    findings = agent.folder.parent / "findings.jsonl"
    # pytest knows the option only when it is told of the folder that defines it.
    agent.check("pytest", "tests", "tests/contract", f"--findings={findings}")
    outcomes: dict[str, set[str]] = {}
    for event in map(json.loads, findings.read_text(encoding="utf-8").splitlines()):
        if "result" in event:
            outcomes.setdefault(event["name"], set()).add(event["result"])
    return outcomes


def check_databricks(agent: Agent, server: ChatServer) -> None:
    """Ask an agent whose LLM is an endpoint of a Databricks workspace, over HTTP."""
    server.say(text("Hello!"))
    login = {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": "dapi-1"}
    answer = agent.check("weather-agent", "ask", "Hi", AGENT_LLM="databricks:/endpoint", **login)
    assert answer.strip() == "Hello!"
    assert server.paths == ["/serving-endpoints/chat/completions"]
    assert server.headers[0]["authorization"] == "Bearer dapi-1"


def test_a_supported_python_is_at_hand() -> None:
    assert PYTHONS, f"None of Python {', '.join(SUPPORTED)} is here: nothing below is run."


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_every_check_passes_and_every_rule_holds(
    python: str,
    resolution: str,
    default_project: Path,
    install_for: InstallFor,
    server: ChatServer,
) -> None:
    agent = install_for(default_project, python, resolution)
    assert agent.check("python", "--version").startswith(f"Python {python}.")
    if resolution == "highest":
        assert installed(agent)["mlflow"] == newest(dependencies(agent.folder)["mlflow"], python)
    else:
        assert above_their_floors(agent) == []
    check_code(agent)
    assert check_contract(agent) == {name: {"holds"} for name in rules_of(agent.folder)}
    check_databricks(agent, server)


def test_the_oldest_mlflow_logs_what_the_newest_logs(
    render: Render, install_for: InstallFor
) -> None:
    """Databricks compares the signature with that of its own MLflow, which may be newer."""
    agent = install_for(render(llm="databricks:/an-endpoint"), min(PYTHONS), "lowest-direct")
    agent.check("weather-agent", "log")
    (folder,) = agent.folder.glob("mlartifacts/models/*/artifacts")
    model = mlflow.models.Model.load(str(folder))
    assert model.signature.inputs == RESPONSES_AGENT_INPUT_SCHEMA
    assert model.signature.outputs == RESPONSES_AGENT_OUTPUT_SCHEMA
    assert model.resources["databricks"] == {"serving_endpoint": [{"name": "an-endpoint"}]}


def test_the_readme_says_what_is_run(default_project: Path) -> None:
    section = README.partition("\n## Versions\n")[2].partition("\n## ")[0]
    *others, last = SUPPORTED
    assert f"Python {', '.join(others)} and {last}" in section
    assert f"MLflow {floor(dependencies(default_project)['mlflow'])}" in section
