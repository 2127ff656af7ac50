"""Rules about the logged model: what Databricks reads before it runs anything."""

from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    RESPONSES_AGENT_INPUT_SCHEMA,
    RESPONSES_AGENT_OUTPUT_SCHEMA,
    ResponsesAgentRequest,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from .fresh_process import FreshAnswer, answer_in_fresh_process
from .imports import foreign_imports
from .rules import BrokenRuleError, NoModelError, rule
from .secret_patterns import secrets_below
from .subject import LoadedAgent, Request

KNOWN_REQUEST_KEYS = ResponsesAgentRequest.model_fields.keys()


@rule(
    "accepted",
    "MLflow logs the agent.",
    why="An agent that cannot be logged cannot be deployed, and nothing else can be checked.",
    mend="Mend the error that was seen; the command `log`, with `--debug` before it, shows more.",
)
def test_accepted(logged: ModelInfo | Exception) -> None:
    assert not isinstance(logged, Exception), f"{type(logged).__name__}: {logged}"


@rule(
    "task",
    "The logged model declares the task agent/v1/responses.",
    why="AI Playground, Review App and Model Serving choose how to talk to a model by its task.",
    mend="Subclass mlflow.pyfunc.ResponsesAgent, and pass no `task` in `metadata` to log_model.",
)
def test_task(model_info: ModelInfo) -> None:
    task = (model_info.metadata or {}).get("task")
    assert task == "agent/v1/responses", f"The task is {task!r}."


@rule(
    "signature",
    "The signature is MLflow's own for Responses agents, input and output, every column.",
    why="Databricks refuses to deploy any other, or shows the agent without its chat.",
    mend="Remove every `signature=` and `set_signature`; MLflow sets it for a ResponsesAgent. "
    "If none is there, log again with the version of MLflow that will deploy the model.",
)
def test_signature(model_info: ModelInfo) -> None:
    signature = model_info.signature
    assert signature is not None, "The model has no signature."
    for side, schema, expected in (
        ("input", signature.inputs, RESPONSES_AGENT_INPUT_SCHEMA),
        ("output", signature.outputs, RESPONSES_AGENT_OUTPUT_SCHEMA),
    ):
        assert schema == expected, f"The {side} schema is {schema}, not MLflow's {expected}."


@rule(
    "input-example",
    "The saved input example is a Responses request with a user's message, and nothing else.",
    why="Databricks shows it as the way to call the agent, and servers are tried out with it.",
    mend='Write `input_example.json` as {"input": [{"role": "user", "content": "…"}]}, '
    "other data under `custom_inputs`; `messages` is of another API, and parts of a content "
    "have the type `input_text`.",
)
def test_input_example(example: Request) -> None:
    unknown = example.keys() - KNOWN_REQUEST_KEYS
    assert not unknown, f"Keys that no Responses request has: {', '.join(sorted(unknown))}."
    try:
        ResponsesAgentRequest.model_validate(example)
    except ValidationError as error:
        raise BrokenRuleError(f"It is no Responses request: {error}") from error
    users = [item for item in example["input"] if item.get("role") == "user"]
    assert users, "It holds no message with the role user."
    for part in (part for item in users for part in item["content"] if isinstance(part, dict)):
        assert str(part["type"]).startswith("input_"), f"A part has the type {part['type']!r}."


@rule(
    "models-from-code",
    "The model is source code, and nothing in it is pickled.",
    why="A pickle breaks with another Python or library, can run anything when it is loaded, and "
    "cannot be read in a review.",
    mend="Pass the path of agent.py as `python_model`, and end that file with "
    "`mlflow.models.set_model(AGENT)`.",
)
def test_models_from_code(model_info: ModelInfo, model_path: Path) -> None:
    pickles = [
        path.relative_to(model_path).as_posix()
        for path in model_path.rglob("*")
        if path.suffix in {".pkl", ".pickle", ".cloudpickle", ".joblib"}
    ]
    assert not pickles, f"Pickled: {', '.join(pickles)}."
    flavor = model_info.flavors["python_function"]
    assert flavor.get("model_code_path"), "The model was not logged from a file of source code."


@rule(
    "base-class",
    "What `set_model` was given is an instance of mlflow.pyfunc.ResponsesAgent.",
    why="Only a ResponsesAgent takes `input` and answers with `output`; every other base has "
    "another shape, which callers of the Responses API cannot read.",
    mend="Derive the agent's class from mlflow.pyfunc.ResponsesAgent, and give `set_model` an "
    "instance of it.",
)
def test_base_class(agent: LoadedAgent) -> None:
    instance = agent.instance
    assert isinstance(instance, ResponsesAgent), f"It is a {type(instance).__mro__[1].__name__}."


@pytest.fixture(scope="module")
def fresh_answer(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> FreshAnswer:
    return answer_in_fresh_process(model_path, tmp_path_factory.mktemp("elsewhere"))


@rule(
    "fresh-process",
    "The model answers in a new process, in another folder, with no credentials.",
    why="That is where a server starts it: what the agent finds only on this machine, in this "
    "folder or in these variables is missing there.",
    mend="Read files with importlib.resources, look for credentials when a request is answered, "
    "and give settings to log_model as `model_config`.",
)
def test_fresh_process(fresh_answer: FreshAnswer) -> None:
    assert fresh_answer.output, f"It did not answer: {fresh_answer.error}"


@rule(
    "packaged-code",
    "All of the repository's code that the model imports is inside the model.",
    why="A server has the model and its requirements, and no checkout of this repository.",
    mend="Put the code below `src/` into the agent's package; `code_paths` in log_model.py takes "
    "the whole package folder along.",
)
def test_packaged_code(fresh_answer: FreshAnswer) -> None:
    if fresh_answer.error:
        raise NoModelError("The model does not answer; the rule `fresh-process` says why.")
    strays = fresh_answer.modules_outside_model
    assert not strays, f"Imported from outside the model: {', '.join(strays)}."


@rule(
    "no-secrets",
    "Nothing in the model looks like a credential.",
    why="Whoever may read the model may read its files: source, settings and example.",
    mend="Revoke the credential first. Then take it out, and read it from the environment when a "
    "request is answered; a deployed agent gets it as {{secrets/scope/key}}.",
)
def test_no_secrets(model_path: Path) -> None:
    found = list(secrets_below(model_path))
    assert not found, "; ".join(found) + "."


@rule(
    "pinned-requirements",
    "The requirements pin exactly what is installed here, MLflow included.",
    why="What is tested here is what a server must install; another version of MLflow may "
    "even have another signature, which Databricks then refuses.",
    mend="Pass `pip_requirements=locked_requirements()` to log_model, and run `uv sync`.",
)
def test_pinned_requirements(requirements: dict[str, Requirement]) -> None:
    assert "mlflow" in requirements, "MLflow is not among them."
    for name, requirement in requirements.items():
        pins = [one.version for one in requirement.specifier if one.operator == "=="]
        assert len(pins) == 1, f"{requirement} is not pinned."
        assert "*" not in pins[0], f"{requirement} is not pinned."
        installed = installed_version(name)
        assert installed in (None, pins[0]), f"{requirement}, but {installed} is installed."


@rule(
    "covered-imports",
    "Every package that the agent's code imports is among its requirements.",
    why="On a server there is nothing else; an import inside a function fails only when a request "
    "comes that way.",
    mend="`uv add` the package that was seen, without `--dev`, and log again.",
)
def test_covered_imports(
    model_info: ModelInfo, model_path: Path, requirements: dict[str, Requirement]
) -> None:
    entry = model_path / Path(model_info.flavors["python_function"]["model_code_path"]).name
    distributions = packages_distributions()
    for package, file in foreign_imports(entry, model_path / "code").items():
        providers = {canonicalize_name(name) for name in distributions.get(package, [package])}
        assert providers & requirements.keys(), f"{file} imports {package}."


@rule(
    "declared-resources",
    "Whatever the settings name in Databricks is declared as a resource of the model.",
    why="A deployed agent gets access to its declared resources only; the rest answers 403.",
    mend="Pass `resources=declared_resources(config)` to log_model, and list what the agent uses "
    "besides its LLM under `resources` in config.yml.",
)
def test_declared_resources(model_info: ModelInfo, model_path: Path) -> None:
    model = yaml.safe_load((model_path / "MLmodel").read_text(encoding="utf-8"))
    listed = (model.get("resources") or {}).get("databricks", {})
    declared = {(kind, one["name"]) for kind, names in listed.items() for one in names}
    settings = model_info.flavors["python_function"].get("config") or {}
    missing = resources_named_in(settings) - declared
    assert not missing, f"Not declared: {', '.join(f'{kind} {name}' for kind, name in missing)}."


def resources_named_in(settings: dict[str, Any]) -> set[tuple[str, str]]:
    """The kind and name of each resource that settings name: by `resources`, or as an LLM."""
    named = {
        (kind, name) for kind, names in (settings.get("resources") or {}).items() for name in names
    }
    for value in settings.values():
        if isinstance(value, str) and value.startswith("databricks:/"):
            named.add(("serving_endpoint", value.removeprefix("databricks:/")))
    return named


@pytest.fixture
def requirements(model_path: Path) -> dict[str, Requirement]:
    """The model's requirements by the names of their packages."""
    lines = (model_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    parsed = (Requirement(line) for line in lines if line and not line.startswith(("#", "-")))
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def installed_version(name: str) -> str | None:
    """The version of a package in this environment, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
