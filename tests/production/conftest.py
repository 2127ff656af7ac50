"""Fixtures for releases: an agent with Databricks' packages, and a fake workspace."""

import copy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.agents import Agent
from tests.helpers.bytecode import one_worker_at_a_time
from tests.helpers.fake_workspace import Workspace, fake_workspace
from tests.helpers.forked_commands import ForkedCommands, forked_commands
from tests.production.deployer import MODEL, Deployer
from tests.release.repositories import git
from tests.server.serving import Served, free_port, mlflow_server

QUICK_VERIFY = Path(__file__).with_name("quick_verify.py")


@pytest.fixture(scope="session")
def released(default_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The default project with Databricks' packages, everything committed."""
    folder = tmp_path_factory.mktemp("released") / "weather-agent"
    shutil.copytree(default_project, folder)
    git(folder, "init", "--quiet")
    with one_worker_at_a_time(tmp_path_factory.getbasetemp().parent):
        subprocess.run(["uv", "sync", "--quiet", "--extra=deploy"], cwd=folder, check=True)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Start")
    return Agent(folder)


@pytest.fixture(scope="session")
def tracking(released: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The MLflow server behind the fake workspace."""
    folder = tmp_path_factory.mktemp("tracking")
    artifacts = f"--default-artifact-root={folder.as_uri()}/artifacts"
    with mlflow_server(released, folder, free_port(), "--no-serve-artifacts", artifacts) as server:
        yield server


@pytest.fixture(scope="session")
def commands(released: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    """Runs commands of the agent, with a replacement for the contract."""
    folder = tmp_path_factory.mktemp("commands")
    with forked_commands(released, folder, QUICK_VERIFY, ["databricks.sdk"]) as running:
        yield running


@pytest.fixture(scope="session")
def workspace_of_all_tests(
    commands: ForkedCommands, tracking: Served, served: Served
) -> Iterator[Workspace]:
    """The workspace with version 1, which `register` has registered, and version 2."""
    with fake_workspace(tracking.url) as workspace:
        workspace.state.upstreams[""] = served.url
        done = commands.run("register", **workspace.variables)
        assert done.returncode == 0, done.stderr
        add_version(workspace, "2")
        workspace.state.models[MODEL].versions["1"].tags["evaluation"] = "passed"
        yield workspace


@pytest.fixture
def workspace(workspace_of_all_tests: Workspace) -> Iterator[Workspace]:
    """The workspace with versions 1 and 2; changes end with the test."""
    workspace = workspace_of_all_tests
    original = copy.deepcopy(vars(workspace.state))
    workspace.api.requests.clear()
    yield workspace
    workspace.api.fault = None
    vars(workspace.state).update(original)


@pytest.fixture
def deployer(commands: ForkedCommands, workspace: Workspace) -> Deployer:
    """Runs commands with the workspace."""
    return Deployer(commands, workspace)


def add_version(workspace: Workspace, number: str) -> None:
    """Register another version with the files of version 1, as that of another commit."""
    model, files = workspace.state.models[MODEL], workspace.state.files
    version = copy.deepcopy(model.versions["1"])
    version.number, version.tags["git_commit"] = number, number * 40
    version.tags["evaluation"] = "passed"
    model.versions[number] = version
    folder = f"Models/{MODEL.replace('.', '/')}"
    for name in [name for name in files if name.startswith(f"{folder}/1/")]:
        files[name.replace(f"{folder}/1/", f"{folder}/{number}/", 1)] = files[name]
