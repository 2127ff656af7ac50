"""The agent under test: logged and loaded once, or given as a model's folder or as a URL."""

import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from mlflow.models import Model
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import ResponsesAgent
from mlflow.tracing.provider import is_tracing_enabled

from .harness.agents import LoadedAgent, Request, ServedAgent, Subject, example_in
from .harness.fresh_process import FreshProcess
from .harness.offline import Asked
from .harness.project import PACKAGE, ROOT
from .harness.reporting import RuleReporter
from .harness.rules import NoModelError

NO_OTHER_LLM = "Behind a URL the LLM cannot be replaced."


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract")
    group.addoption("--model-path", type=Path, help="Check the logged model in this folder.")
    group.addoption("--url", help="Check the agent that answers at this URL.")
    group.addoption("--rule", action="append", help="Check this rule; may be repeated.")
    group.addoption("--findings", type=Path, help="Write the findings to this file, as JSON lines.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rule(rule): the rule of the contract that a test checks")
    only, findings = config.getoption("rule", None), config.getoption("findings", None)
    config.pluginmanager.register(RuleReporter(only or (), findings))


@pytest.fixture(scope="session")
def url(pytestconfig: pytest.Config) -> str | None:
    """Where the agent answers that is to be checked; None for a model."""
    return pytestconfig.getoption("url", None)


@pytest.fixture(scope="session")
def given_model(pytestconfig: pytest.Config) -> Path | None:
    """The folder of the model that is to be checked; None to log the source tree."""
    return pytestconfig.getoption("model_path", None)


@pytest.fixture(scope="session")
def logged() -> ModelInfo | BaseException:
    """The source tree, logged as it is for deployment, or the error that this ended in."""
    try:
        return importlib.import_module(f"{PACKAGE}.ops.log_model").log_agent()
    except (Exception, SystemExit) as error:
        return error


@pytest.fixture(scope="session")
def model_path(url: str | None, given_model: Path | None, request: pytest.FixtureRequest) -> Path:
    """The folder of the logged model."""
    if url:
        pytest.skip("A URL shows no logged model.")
    if given_model:
        return given_model
    logged = request.getfixturevalue("logged")
    if isinstance(logged, BaseException):
        raise NoModelError("There is no logged model; the rule `accepted` says why.")
    return Path(mlflow.artifacts.download_artifacts(logged.model_uri))


@pytest.fixture(scope="session")
def model(model_path: Path) -> Model:
    """What MLflow wrote down about the logged model."""
    return Model.load(str(model_path))


@pytest.fixture(scope="session")
def fresh_process(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshProcess:
    """A new process that loads the model."""
    return FreshProcess(model_path, ROOT, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session", autouse=True)
def begin_with_slowest(request: pytest.FixtureRequest) -> None:
    """Start the new process at once, where a test will ask for it: it takes as long as the rest."""
    if any("fresh" in getattr(item, "fixturenames", ()) for item in request.session.items):
        with suppress(NoModelError, pytest.skip.Exception):
            request.getfixturevalue("fresh_process")


@pytest.fixture(scope="session")
def loaded(model_path: Path) -> LoadedAgent:
    """The model, loaded as a server loads it, whatever it is."""
    try:
        return LoadedAgent(model_path)
    except (Exception, SystemExit) as error:
        raise NoModelError("The model does not load; the rules about loading say why.") from error


@pytest.fixture(scope="session")
def agent(url: str | None, request: pytest.FixtureRequest) -> Subject:
    """The agent that is asked: behind the given URL, or in the loaded model."""
    if url:
        example = example_in(ROOT / "src" / PACKAGE) or {}
        return ServedAgent(url, example, os.environ.get("AGENT_TOKEN"))
    loaded = request.getfixturevalue("loaded")
    if not isinstance(loaded.instance, ResponsesAgent):
        raise NoModelError("The model is no ResponsesAgent; `base-class` says more.")
    return loaded


@pytest.fixture(scope="session")
def example(url: str | None, request: pytest.FixtureRequest) -> Request:
    """The request that was saved with the model, or for a URL the repository's."""
    folder = ROOT / "src" / PACKAGE if url else request.getfixturevalue("model_path")
    saved = example_in(folder)
    if not isinstance(saved, dict) or "input" not in saved:
        raise NoModelError("There is no request to ask; the rule `input-example` says why.")
    return saved


@pytest.fixture
def asked(agent: Subject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The offline LLM, counting what it is asked."""
    if isinstance(agent, ServedAgent):
        pytest.skip(NO_OTHER_LLM)
    asked = Asked(monkeypatch)
    yield asked
    asked.over = True


@pytest.fixture(params=["demo", "tools"])
def llm(agent: Subject, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The offline LLM as it answers without tools, then with all of them."""
    if isinstance(agent, ServedAgent) and request.param != "demo":
        pytest.skip(NO_OTHER_LLM)
    monkeypatch.setenv("AGENT_LLM", f"offline:/{request.param}")
    return request.param


@pytest.fixture
def untraced(agent: Subject) -> Iterator[None]:
    """No traces for a while: SQLite takes them one by one, which slows a crowd down to a queue.

    It asks for the agent first, since MLflow logs no model while tracing is off.
    """
    enabled = is_tracing_enabled()
    mlflow.tracing.disable()
    yield
    if enabled:
        mlflow.tracing.enable()
