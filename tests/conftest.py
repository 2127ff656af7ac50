"""Fixtures for rendering the template and for agents made from it."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import mlflow
import pytest
from pytest_copie.plugin import Copie

from tests.helpers.agents import Agent, install
from tests.helpers.bytecode import one_worker_at_a_time, share_bytecode
from tests.helpers.model_server import ChatServer, chat_server
from tests.helpers.template import QUESTIONS, ROOT, tracked_files
from tests.server.serving import Serve, Served, serving

# Imports a module of an agent's package, whose types are unknown here.
Package = Callable[[str], Any]


class Render(Protocol):
    """Renders the template with answers; the other questions keep their defaults."""

    def __call__(self, **answers: Any) -> Path: ...


def pytest_configure() -> None:
    """Remove what a git hook or a shell in the background passes on.

    A hook selects its repository with variables. A shell ignores SIGINT for background processes.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split()
    for name in names:
        os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of the machine and its user out of the tests."""
    cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True)
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(
                ("OPENAI_", "DATABRICKS_", "MLFLOW_", "AGENT_", "VIRTUAL_ENV", "MAKE", "MFLAGS")
            ):
                patch.delenv(name)
        # Bytecode on disk halves the time of an agent's commands.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("UV_CACHE_DIR", cache.stdout.strip())
        patch.setenv("HOME", str(home))
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Template Tests")
            patch.setenv(f"GIT_{role}_EMAIL", "tests@example.com")
        yield


@pytest.fixture(scope="session")
def snapshot(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as a clean repository with a tag, as a user clones it."""
    folder = tmp_path_factory.mktemp("snapshot") / "copier-responses-agent"
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for command in ("init --quiet", "add --all", "commit --quiet -m Snapshot", "tag v0.0.1"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def render(snapshot: Path, copie_session: Copie) -> Render:
    """Renders the template, once for the same answers."""
    rendered: dict[str, Path] = {}

    def render(**answers: Any) -> Path:
        answers = {"project_name": "weather-agent"} | answers
        # copie ignores unknown questions, so a misspelled one would go unnoticed.
        assert answers.keys() <= QUESTIONS.keys()
        key = repr(sorted(answers.items()))
        if key not in rendered:
            result = copie_session.copy(extra_answers=answers, template_dir=snapshot)
            assert result.exception is None, result.exception
            assert result.project_dir is not None
            assert answers.items() <= result.answers.items(), "Copier changed an answer."
            rendered[key] = result.project_dir
        return rendered[key]

    return render


@pytest.fixture(scope="session")
def default_project(render: Render) -> Path:
    """The project rendered with a name and the defaults; tests must not change it."""
    return render()


@pytest.fixture(scope="session")
def agent(default_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The default project, installed; a test that changes a file restores it."""
    folder = tmp_path_factory.mktemp("agent") / "weather-agent"
    shutil.copytree(default_project, folder)
    with one_worker_at_a_time(tmp_path_factory.getbasetemp().parent):
        agent = install(folder)
        share_bytecode(agent)
    return agent


@pytest.fixture(scope="session")
def package(default_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    """The Python package of the default project, imported into this process."""
    folder = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    # The default experiment stores artifacts in the current folder.
    experiment = mlflow.create_experiment("tests", artifact_location=folder.as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(default_project / "src")
        # Rendered projects contain no bytecode.
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        yield lambda name: importlib.import_module(f"weather_agent.{name}")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A fake LLM that is reached over HTTP."""
    with chat_server() as running:
        yield running


@pytest.fixture
def serve(agent: Agent, tmp_path: Path, server: ChatServer) -> Iterator[Serve]:
    """A function that runs `serve` with options and variables, and with the fake LLM."""
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{server.url}/v1"}
    with ExitStack() as stack:
        yield lambda *options, **variables: stack.enter_context(
            serving(agent, tmp_path, *options, **(llm | variables))
        )


@pytest.fixture(scope="session")
def served(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The default agent behind `serve`, with the offline LLM; tests must not stop it."""
    with serving(agent, tmp_path_factory.mktemp("serve")) as running:
        yield running
