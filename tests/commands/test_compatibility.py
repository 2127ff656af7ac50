"""Agents pass their checks with the oldest and the newest dependencies, on every Python.

`make test` runs two corners: the oldest Python with the oldest dependencies, and one rule for each
part of the contract on the newest Python. `make proof` runs all rules for all combinations.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.types.responses import RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import Render
from tests.contract.verify import only
from tests.helpers.agents import Agent, install, rules_of
from tests.helpers.model_server import ChatServer, text
from tests.helpers.template import QUESTIONS, ROOT

SUPPORTED = ("3.11", "3.12", "3.13")
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Other answers than the defaults: the longest names, a Databricks endpoint, no CI, a license.
OTHER_ANSWERS = {
    "project_name": "the-longest-name-there-can-be1",
    "package_name": "another_package_name_of_30_chr",
    "llm": "databricks:/databricks-claude-sonnet-4",
    "ci": "none",
    "license": "MIT",
}

# One rule for each part of the contract.
RULES = (
    "pinned-requirements",
    "every-request",
    "stream-events",
    "llm-failures",
    "one-trace",
    "served-answers",
    "fresh-process",
    "print-call",
)

FRAMEWORKS = [name for name in QUESTIONS["framework"]["choices"].values() if name != "openai"]

# Installs a rendered project with a version of Python, and with the newest or the oldest releases
# of some of its dependencies.
InstallFor = Callable[[Path, str, str, Iterable[str]], Agent]


def find_python(version: str) -> str | None:
    """Return the path of the machine's interpreter of a version; None if there is none."""
    # pyenv's stubs on PATH fail for all versions except the selected one.
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


# The interpreter of each supported version that is installed on this machine.
PYTHONS = {version: path for version in SUPPORTED if (path := find_python(version))}


def corner(python: str, resolution: str) -> bool:
    """Return whether `make test` runs all rules for a combination."""
    return resolution == "lowest-direct" and python == min(PYTHONS, key=SUPPORTED.index)


COMBINATIONS = [
    pytest.param(
        python, resolution, marks=[] if corner(python, resolution) else [pytest.mark.proof]
    )
    for python in PYTHONS
    for resolution in ("lowest-direct", "highest")
]


@pytest.fixture
def install_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InstallFor]:
    """Installs a copy of a project; its environment is large and removed after the test."""
    folder = tmp_path / "agent"

    def install_for(project: Path, python: str, resolution: str, names: Iterable[str]) -> Agent:
        monkeypatch.setenv("UV_PYTHON", PYTHONS[python])
        monkeypatch.setenv("UV_RESOLUTION", resolution)
        shutil.copytree(project, folder)
        if resolution == "lowest-direct":
            pin_to_floors(folder / "pyproject.toml", names)
        return install(folder)

    yield install_for
    shutil.rmtree(folder / ".venv", ignore_errors=True)


def dependencies(project: Path) -> dict[str, Requirement]:
    """Return the dependencies in a project's `pyproject.toml` by name, optional ones included."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [settings["dependencies"], *settings.get("optional-dependencies", {}).values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {requirement.name: requirement for requirement in requirements}


def pin_to_floors(pyproject: Path, names: Iterable[str]) -> None:
    """Pin dependencies of a project to their lower bounds, which other packages may raise."""
    wanted = dependencies(pyproject.parent)
    pins = [f"{name}=={floor(wanted[name])}" for name in names]
    with pyproject.open("a", encoding="utf-8") as file:
        file.write(f"\n[tool.uv]\nconstraint-dependencies = {json.dumps(pins)}\n")


def floor(requirement: Requirement) -> str:
    """Return the oldest version that a requirement allows."""
    (version,) = (part.version for part in requirement.specifier if part.operator == ">=")
    return version


def newest(requirement: Requirement, python: str) -> str:
    """Return the newest version that can be installed alone."""
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
    """Return the version of each installed package."""
    printed = agent.check("uv", "pip", "list", "--format=json", f"--python={agent.folder}/.venv")
    return {package["name"]: package["version"] for package in json.loads(printed)}


def locked(agent: Agent) -> dict[str, str]:
    """Return the version of each package in `uv.lock`, which covers all extras."""
    lock = tomllib.loads((agent.folder / "uv.lock").read_text(encoding="utf-8"))
    return {package["name"]: package["version"] for package in lock["package"]}


def above_their_floors(agent: Agent, names: Iterable[str]) -> list[str]:
    """Return the dependencies that are locked in a newer version than the oldest allowed one."""
    wanted, versions = dependencies(agent.folder), locked(agent)
    floors = {name: SpecifierSet(f"=={floor(wanted[name])}") for name in names}
    return [name for name in names if versions[name] not in floors[name]]


def check_code(agent: Agent) -> None:
    """Lint an agent with the tools of its environment."""
    agent.check("ruff", "check")
    agent.check("ruff", "format", "--check")
    agent.check("ty", "check", "--error-on-warning")


def check_contract(agent: Agent) -> str:
    """Run all tests of an agent; every rule must pass. Return the report of pytest."""
    # pytest knows the option only if the folder that defines it is an argument.
    printed = agent.check("pytest", "tests", "tests/contract", "--json-events")
    records = map(json.loads, re.findall(r"\x1e(.*)", printed))
    results = {(record["name"], record["result"]) for record in records if "result" in record}
    assert results == {(name, "passed") for name in rules_of(agent.folder)}
    return re.sub(r"\x1e.*", "", printed)


def check_logged_model(agent: Agent) -> None:
    """Log an agent for Databricks, which compares the signature with that of its own MLflow.

    The MLflow of this process is the newest, and may be newer than the agent's.
    """
    printed = agent.run(agent.command, "log")
    assert "offline:/demo answers the input example" in printed.stderr
    (folder,) = agent.folder.glob("mlartifacts/models/*/artifacts")
    model = mlflow.models.Model.load(str(folder))
    assert model.signature.inputs == RESPONSES_AGENT_INPUT_SCHEMA
    assert model.signature.outputs == RESPONSES_AGENT_OUTPUT_SCHEMA
    endpoints = [{"name": "databricks-claude-sonnet-4"}]
    assert model.resources["databricks"] == {"serving_endpoint": endpoints}


def check_databricks(agent: Agent, server: ChatServer) -> None:
    """Ask an agent a question, with an endpoint of a Databricks workspace as its LLM."""
    server.reply(text("Hello!"))
    login = {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": "dapi-1"}
    answer = agent.check(agent.command, "ask", "Hi", AGENT_LLM="databricks:/endpoint", **login)
    assert answer.strip() == "Hello!"
    assert server.paths == ["/serving-endpoints/chat/completions"]
    assert server.headers[0]["authorization"] == "Bearer dapi-1"


def test_a_supported_python_is_installed() -> None:
    assert PYTHONS, f"None of Python {', '.join(SUPPORTED)} is installed."


@pytest.mark.parametrize(("python", "resolution"), COMBINATIONS)
def test_every_check_passes(
    python: str, resolution: str, render: Render, install_for: InstallFor, server: ChatServer
) -> None:
    oldest = resolution == "lowest-direct"
    project = render(**OTHER_ANSWERS if oldest else {})
    agent = install_for(project, python, resolution, dependencies(project))
    assert agent.check("python", "--version").startswith(f"Python {python}.")
    if oldest:
        assert above_their_floors(agent, dependencies(project)) == []
        check_logged_model(agent)
    else:
        assert installed(agent)["mlflow"] == newest(dependencies(agent.folder)["mlflow"], python)
    check_code(agent)
    printed = check_contract(agent)
    # Old dependencies warn about each other.
    assert oldest or "warning" not in printed
    check_databricks(agent, server)
    assert "passed with 6 cases" in agent.check(
        agent.command, "evaluate", AGENT_LLM="offline:/demo"
    )


@pytest.mark.proof
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("python", "resolution"),
    [
        (min(PYTHONS, key=SUPPORTED.index), "lowest-direct"),
        (max(PYTHONS, key=SUPPORTED.index), "highest"),
    ],
)
def test_every_framework_passes(
    framework: str, python: str, resolution: str, render: Render, install_for: InstallFor
) -> None:
    project = render(framework=framework)
    # A framework raises the lower bounds of other packages.
    names = dependencies(project).keys() - dependencies(render()).keys()
    agent = install_for(project, python, resolution, sorted(names))
    if resolution == "lowest-direct":
        assert above_their_floors(agent, names) == []
    else:
        wanted, versions = dependencies(project), installed(agent)
        assert {name: versions[name] for name in names} == {
            name: newest(wanted[name], python) for name in names
        }
    check_code(agent)
    check_contract(agent)


def test_the_newest_python_runs_the_agent(render: Render, install_for: InstallFor) -> None:
    python = max(PYTHONS, key=SUPPORTED.index)
    agent = install_for(render(), python, "highest", ())
    assert agent.check("python", "--version").startswith(f"Python {python}.")
    assert agent.check("pytest", "-q", "--ignore=tests/contract")
    assert f"{len(RULES)} passed" in agent.check(agent.command, "verify", *only(*RULES))


def test_the_readme_names_the_supported_versions(default_project: Path) -> None:
    section = README.partition("\n## Versions\n")[2].partition("\n## ")[0]
    *others, last = SUPPORTED
    assert f"Python {', '.join(others)} and {last}" in section
    assert f"MLflow {floor(dependencies(default_project)['mlflow'])}" in section
