"""The agent under test: logged and loaded once, or selected with an option."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.genai.agent_server.utils import set_request_headers
from mlflow.models import Model
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import ResponsesAgent

from .harness.agents import (
    OTHER_LLM,
    Agent,
    LoadedAgent,
    Request,
    ServedAgent,
    implements_streams,
    read_example,
)
from .harness.conversation import CONVERSATION
from .harness.errors import AGENT_ERRORS, is_refusal
from .harness.fresh_process import FreshProcess
from .harness.observations import Observations
from .harness.offline import OfflineLLM
from .harness.project import PACKAGE, ROOT
from .harness.provider import Provider
from .harness.reporting import RuleReporter
from .harness.rules import NotCheckedError
from .harness.sample_requests import EARLIER_USER, headers_of

Observe = Callable[[], Observations]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract")
    group.addoption("--model-path", type=Path, help="Check the logged model in this folder.")
    group.addoption("--url", help="Check the agent at this URL.")
    group.addoption("--rule", action="append", help="Check this rule; repeatable.")
    group.addoption("--allow-skipped", action="store_true", help="Skip rules that are not proven.")
    group.addoption("--json-events", action="store_true", help="Print results as JSON records.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rule(rule): the rule of the contract that a test checks")
    config.pluginmanager.register(RuleReporter(config), "rules")


def pytest_collection_finish() -> None:
    gc.freeze()  # MLflow's objects stay, so collections need not visit them again


@pytest.fixture(scope="session")
def url(pytestconfig: pytest.Config) -> str | None:
    """The URL of the agent to check, or None for a model."""
    return pytestconfig.getoption("url", None)


@pytest.fixture(scope="session")
def external_model(pytestconfig: pytest.Config) -> Path | None:
    """The folder of the model to check, or None to log the source."""
    return pytestconfig.getoption("model_path", None)


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The LLM's provider for an agent with its own client, which may connect when it is loaded."""
    provider = Provider()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
            patch.delenv(name)
        for name, value in provider.variables().items():
            patch.setenv(name, value)
        yield provider


@pytest.fixture(scope="session")
def logged(provider: Provider) -> ModelInfo | BaseException:
    """The model logged from the source, or the error that logging raised."""
    with pytest.MonkeyPatch.context() as patch:
        # Another one than in config.yml; the model must not be logged with it.
        patch.setenv("AGENT_LLM", "offline:/demo@vllm")
        try:
            return importlib.import_module(f"{PACKAGE}.ops.log_model").log_agent()
        except AGENT_ERRORS as error:
            return error


@pytest.fixture(scope="session")
def model_path(
    url: str | None, external_model: Path | None, request: pytest.FixtureRequest
) -> Path:
    """The folder of the logged model."""
    if url:
        pytest.skip("with --url, the logged model is not available")
    if external_model:
        return external_model
    logged = request.getfixturevalue("logged")
    if isinstance(logged, BaseException):
        is_project_error = type(logged).__name__ == "ProjectError"
        cause = str(logged).partition(". ")[0] if is_project_error else "the agent is not logged"
        raise NotCheckedError(f"{cause}, see `accepted`")
    return Path(mlflow.artifacts.download_artifacts(logged.model_uri))


@pytest.fixture(scope="session")
def model(model_path: Path) -> Model:
    """MLflow's description of the logged model."""
    return Model.load(str(model_path))


@pytest.fixture(scope="session")
def fresh_process(
    model_path: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[FreshProcess]:
    """A new process that loads the model."""
    reporter: Any = pytestconfig.pluginmanager.get_plugin("rules")
    folder = tmp_path_factory.mktemp("elsewhere")
    process = FreshProcess(model_path, ROOT, folder, reporter.report_progress)
    yield process
    process.end()


@pytest.fixture(scope="session", autouse=True)
def start_fresh_process(request: pytest.FixtureRequest) -> None:
    """Start the new process first, if a test needs it: it takes as long as all other tests."""
    fixtures = (getattr(item, "fixturenames", ()) for item in request.session.items)
    if any("fresh_process" in names for names in fixtures):
        with suppress(NotCheckedError, pytest.skip.Exception):
            request.getfixturevalue("fresh_process")


@pytest.fixture(scope="session")
def observe(request: pytest.FixtureRequest) -> Observe:
    """A function that waits for the new process, and starts it if no other test needs it."""
    return lambda: request.getfixturevalue("fresh_process").observations()


@pytest.fixture(scope="session")
def loaded(model_path: Path, provider: Provider) -> LoadedAgent:
    """The loaded model, of any class.

    From now on tracing is off, except for the rules about traces: storing a trace of each request
    takes seconds. MLflow cannot log a model while tracing is off.
    """
    try:
        loaded = LoadedAgent(model_path)
    except AGENT_ERRORS as error:
        raise NotCheckedError("the model does not load, see `fresh-process`") from error
    mlflow.tracing.disable()
    return loaded


@pytest.fixture(scope="session")
def loaded_agent(loaded: LoadedAgent) -> LoadedAgent:
    """The loaded model, a ResponsesAgent."""
    if not isinstance(loaded.instance, ResponsesAgent):
        raise NotCheckedError("the model is not a ResponsesAgent, see `base-class`")
    return loaded


@dataclass(frozen=True)
class FirstRequests:
    """What happened when an LLM checked the first requests of the agent.

    Attributes:
        llm: The offline LLM.
        refusal: The error of the agent if the LLM refused a request as invalid.
        failure: Another error of the agent in its answer to the example.
    """

    llm: OfflineLLM
    refusal: BaseException | None = None
    failure: BaseException | None = None


@pytest.fixture(scope="session")
def first_requests(loaded_agent: LoadedAgent, observe: Observe) -> FirstRequests:
    """The requests to the LLM for the example and for a long conversation."""
    set_request_headers(headers_of(EARLIER_USER))
    with pytest.MonkeyPatch.context() as patch:
        llm = OfflineLLM(patch, observe)
        example, conversation = loaded_agent.example, {"input": CONVERSATION}
        for name, request in (
            ("demo", example),
            ("tools", example),
            ("wrong-tools", example),
            ("tools", conversation),
        ):
            llm.use(name)
            try:
                loaded_agent.predict(request)
            except AGENT_ERRORS as error:
                if is_refusal(error):
                    return FirstRequests(llm, refusal=error)
                if name == "demo" and "input" in example:
                    return FirstRequests(llm, failure=error)
    return FirstRequests(llm)


@pytest.fixture(scope="session")
def any_agent(url: str | None, request: pytest.FixtureRequest) -> Agent:
    """The agent to call: behind the URL, or in the loaded model. It may fail for every request."""
    if url:
        example = read_example(ROOT / "src" / PACKAGE) or {}
        return ServedAgent(url, example, os.environ.get("AGENT_TOKEN"))
    loaded = request.getfixturevalue("loaded_agent")
    if not implements_streams(loaded.instance):
        raise NotCheckedError("the agent does not implement predict_stream, see `streams`")
    if request.getfixturevalue("first_requests").refusal:
        raise NotCheckedError("the LLM refuses the agent's requests, see `llm-requests`")
    return loaded


@pytest.fixture(scope="session")
def agent(any_agent: Agent, request: pytest.FixtureRequest) -> Agent:
    """The agent to call, which answers its input example."""
    is_loaded = isinstance(any_agent, LoadedAgent)
    if is_loaded and request.getfixturevalue("first_requests").failure:
        raise NotCheckedError("the agent does not answer its input example, see `every-request`")
    return any_agent


@pytest.fixture(scope="session")
def example(url: str | None, request: pytest.FixtureRequest) -> Request:
    """The input example of the model, or with a URL that of the repository."""
    folder = ROOT / "src" / PACKAGE if url else request.getfixturevalue("model_path")
    saved = read_example(folder)
    if not isinstance(saved, dict) or "input" not in saved:
        raise NotCheckedError("the input example is not a valid request, see `input-example`")
    return saved


@pytest.fixture
def offline_llm(
    agent: Agent, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OfflineLLM]:
    """The offline LLM, which records its requests."""
    if isinstance(agent, ServedAgent):
        pytest.skip(OTHER_LLM)
    llm = OfflineLLM(monkeypatch, observe)
    yield llm
    llm.released = True


@pytest.fixture(params=["demo", "tools"])
def llm(agent: Agent, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A model of the offline LLM: one that calls matching tools, then one that calls all."""
    if isinstance(agent, ServedAgent) and request.param != "demo":
        pytest.skip(OTHER_LLM)
    monkeypatch.setenv("AGENT_LLM", f"offline:/{request.param}")
    return request.param
