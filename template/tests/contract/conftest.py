"""The agent under test: logged and loaded once, or given as a model's folder or as a URL."""

import asyncio
import importlib
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from mlflow.models import Model
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import ResponsesAgent
from mlflow.tracing.provider import is_tracing_enabled

from .fresh_process import FreshProcess
from .patience import PATIENCE, Outcome, comes_about
from .reporting import RuleReporter
from .rules import NoModelError
from .subject import HELLO, LoadedAgent, Request, ServedAgent, Subject, example_in

PACKAGE = "{{ package_name }}"
ROOT = Path(__file__).parents[2]
# A model of the LLM that answers nobody for as long as a test lasts.
SILENT = "silent"
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
        return importlib.import_module(f"{PACKAGE}.log_model").log_agent()
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


class Asked:
    """Which model of the offline LLM answers, how often the agent asks it, and what at last.

    Attributes:
        times: How often it was asked.
        under_way: How many of those who asked wait for it still.
        last: What it was asked last.
        over: Whether the silence of `SILENT` has ended.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.times = 0
        self.under_way = 0
        self.last = ""
        self.over = False
        try:
            transport = importlib.import_module(f"{PACKAGE}.offline_llm").OfflineTransport
        except (ImportError, AttributeError):
            return
        answer = transport.handle_async_request

        async def count(transport: Any, request: httpx.Request) -> httpx.Response:
            self.times += 1
            self.last = body = (await request.aread()).decode()
            self.under_way += 1
            try:
                while json.loads(body)["model"] == SILENT and not self.over:
                    await asyncio.sleep(0.02)
                return await answer(transport, request)
            finally:
                self.under_way -= 1

        patch.setattr(transport, "handle_async_request", count)

    def use(self, model: str) -> None:
        """Let this model of the offline LLM answer, or none if it is `SILENT`."""
        self._patch.setenv("AGENT_LLM", f"offline:/{model}")

    @contextmanager
    def one_waiting(self, ask: Callable[[Request], object]) -> Generator[None]:
        """While the block runs, one request waits for the LLM, which answers all others."""
        self.use(SILENT)
        waiting = Outcome(ask, HELLO)
        begun = comes_about(lambda: self.times or waiting.ended(0))
        assert begun, f"For {PATIENCE} s a request neither asked the LLM nor ended."
        self.skip_unless_asked()
        self.use("demo")
        try:
            yield
        finally:
            self.over = True
            waiting.ended()  # lest it leaves a trace in the middle of another test

    def skip_unless_asked(self) -> None:
        """Leave a rule open for an agent that has an LLM of its own, or none."""
        if not self.times:
            pytest.skip("The agent asks no LLM through llm.py, so none can be made to fail.")


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
