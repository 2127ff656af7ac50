"""Rules about the logged model: what Databricks reads before it runs anything."""

import json
from importlib.metadata import (
    PackageNotFoundError,
    packages_distributions,
    requires,
    version,
)
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.models import Model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    RESPONSES_AGENT_INPUT_SCHEMA,
    RESPONSES_AGENT_OUTPUT_SCHEMA,
    ResponsesAgentRequest,
)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from .harness.agents import Item, LoadedAgent, example_in
from .harness.errors import described, mend_for
from .harness.imports import entry_of, foreign_imports, is_of_repository, source_files
from .harness.project import PACKAGE, ROOT
from .harness.resources import resources_in_settings, resources_in_source
from .harness.rules import BrokenRuleError, rule
from .harness.secret_patterns import secrets_below

PICKLES = {".pkl", ".pickle", ".cloudpickle", ".dill", ".joblib"}
KNOWN_REQUEST_KEYS = ResponsesAgentRequest.model_fields.keys()


@rule(
    "accepted",
    "MLflow logs the agent.",
    why="An agent that cannot be logged cannot be deployed, and nothing else can be checked.",
    mend="Mend the error that was seen; the command `log`, with `--debug` before it, shows more.",
)
def test_accepted(
    url: str | None, given_model: Path | None, request: pytest.FixtureRequest
) -> None:
    if url or given_model:
        pytest.skip("The agent is logged already.")
    logged = request.getfixturevalue("logged")
    if isinstance(logged, BaseException):
        seen = described(logged)
        raise BrokenRuleError(seen, mend_for(seen)) from logged


@rule(
    "task",
    "The logged model declares the task agent/v1/responses.",
    why="AI Playground, Review App and Model Serving choose how to talk to a model by its task.",
    mend="Subclass mlflow.pyfunc.ResponsesAgent, and pass no `task` in `metadata` to log_model.",
)
def test_task(model: Model) -> None:
    task = (model.metadata or {}).get("task")
    assert task == "agent/v1/responses", f"The task is {task!r}."


@rule(
    "signature",
    "The signature is MLflow's own for Responses agents, input and output, every column.",
    why="Databricks refuses to deploy any other, or shows the agent without its chat.",
    mend="Remove every `signature=` and `set_signature`; MLflow sets it for a ResponsesAgent. "
    "If none is there, log again with the version of MLflow that will deploy the model.",
)
def test_signature(model: Model) -> None:
    signature = model.signature
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
    "have the type `input_text`. Pass `input_example=input_example()` to log_model.",
)
def test_input_example(
    url: str | None, given_model: Path | None, request: pytest.FixtureRequest
) -> None:
    own = ROOT / "src" / PACKAGE
    example = example_in(own if url else request.getfixturevalue("model_path"))
    assert example is not None, "The model has none."
    assert isinstance(example, dict), f"It is no JSON object: {example!r}."
    unknown = example.keys() - KNOWN_REQUEST_KEYS
    assert not unknown, f"Keys that no Responses request has: {', '.join(sorted(unknown))}."
    try:
        ResponsesAgentRequest.model_validate(example)
    except ValidationError as error:
        raise BrokenRuleError(f"It is no Responses request: {error}") from error
    users = [item for item in example["input"] if item.get("role") == "user"]
    assert users, "It holds no message with the role user."
    for part in (part for item in users for part in parts_of(item)):
        assert str(part["type"]).startswith("input_"), f"A part has the type {part['type']!r}."
    said = [part.get("text", part["type"]) for part in parts_of(users[-1])]
    assert "".join(said).strip(), "The user says nothing in it."
    assert given_model or example == example_in(own), (
        f"It is not the example of the repository: {json.dumps(example)}."
    )


def parts_of(message: Item) -> list[dict[str, Any]]:
    """The parts of a message's content; a text is one part."""
    content = message["content"]
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


@rule(
    "models-from-code",
    "The model is source code, and nothing in it is pickled.",
    why="A pickle breaks with another Python or library, can run anything when it is loaded, and "
    "cannot be read in a review.",
    mend="Pass the path of agent.py as `python_model`, and end that file with "
    "`mlflow.models.set_model(AGENT)`.",
)
def test_models_from_code(model: Model, model_path: Path) -> None:
    pickles = [
        path.relative_to(model_path).as_posix()
        for path in model_path.rglob("*")
        if path.suffix in PICKLES
    ]
    assert not pickles, f"Pickled: {', '.join(pickles)}."
    flavor = model.flavors.get("python_function", {})
    assert flavor.get("model_code_path"), "The model was not logged from a file of source code."


@rule(
    "base-class",
    "What `set_model` was given is an instance of mlflow.pyfunc.ResponsesAgent.",
    why="Only a ResponsesAgent takes `input` and answers with `output`; every other base has "
    "another shape, which callers of the Responses API cannot read.",
    mend="Derive the agent's class from mlflow.pyfunc.ResponsesAgent, and give `set_model` an "
    "instance of it.",
)
def test_base_class(loaded: LoadedAgent) -> None:
    kind = type(loaded.instance)
    bases = ", ".join(base.__name__ for base in kind.__mro__[1:-1])
    assert issubclass(kind, ResponsesAgent), (
        f"It is of the class {kind.__name__}, derived from {bases or 'nothing'}."
    )


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
def test_pinned_requirements(model_path: Path, requirements: dict[str, Requirement]) -> None:
    assert requirements.keys() & {"mlflow", "mlflow-skinny"}, "MLflow is not among them."
    lines = requirement_lines(model_path)
    problems = [f"`{line}` is no released version" for line in lines if not parsed(line)]
    problems += [problem for one in requirements.values() if (problem := problem_with_pin(one))]
    assert not problems, f"{'; '.join(problems)}."


def problem_with_pin(requirement: Requirement) -> str:
    """Why a requirement does not give what is installed here; nothing when it does."""
    if requirement.url:
        return f"{requirement} is no released version"
    pins = [one.version for one in requirement.specifier if one.operator == "=="]
    if len(pins) != 1 or "*" in pins[0]:
        return f"{requirement} is not pinned"
    installed = installed_version(requirement.name)
    if installed not in (None, pins[0]):
        return f"{requirement}, but {installed} is installed"
    return ""


@rule(
    "covered-imports",
    "Every package that the agent's code imports is among its requirements.",
    why="On a server there is nothing else; an import inside a function fails only when a request "
    "comes that way.",
    mend="`uv add` the package that was seen, without `--dev`, and pass "
    "`pip_requirements=locked_requirements()` to log_model.",
)
def test_covered_imports(
    model: Model, model_path: Path, requirements: dict[str, Requirement]
) -> None:
    installed = with_dependencies(requirements)
    distributions = packages_distributions()
    missing = []
    for package, file in foreign_imports(entry_of(model, model_path), model_path / "code").items():
        providers = {canonicalize_name(name) for name in distributions.get(package, [package])}
        if not providers & installed and not is_of_repository(package, ROOT):
            missing.append(f"{file} imports {package}")
    assert not missing, f"{'; '.join(missing)}."


@rule(
    "declared-resources",
    "Whatever the agent names in Databricks is declared as a resource of the model.",
    why="A deployed agent gets access to its declared resources only; the rest answers 403.",
    mend="Pass `resources=declared_resources(config)` to log_model, and list what the agent uses "
    "besides its LLM under `resources` in config.yml.",
)
def test_declared_resources(model: Model, model_path: Path) -> None:
    content = yaml.safe_load((model_path / "MLmodel").read_text(encoding="utf-8"))
    declared = declared_in(content.get("resources") or {})
    named = resources_in_settings(model.flavors["python_function"].get("config") or {})
    for file in source_files(entry_of(model, model_path), model_path / "code"):
        named |= resources_in_source(file)
    missing = sorted(named - declared)
    assert not missing, f"Not declared: {', '.join(f'{kind} {name}' for kind, name in missing)}."


def declared_in(listed: Any) -> set[tuple[str, str]]:
    """The kind and name of each resource that an MLmodel file lists."""
    assert isinstance(listed, dict), f"The resources are no resource objects: {listed}."
    kinds = listed.get("databricks", {})
    return {(kind, one["name"]) for kind, names in kinds.items() for one in names}


def requirement_lines(model_path: Path) -> list[str]:
    """The lines of the model's requirements that say something."""
    lines = (model_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def requirements(model_path: Path) -> dict[str, Requirement]:
    """The model's requirements by the names of their packages."""
    lines = requirement_lines(model_path)
    return {canonicalize_name(one.name): one for line in lines if (one := parsed(line))}


def parsed(line: str) -> Requirement | None:
    """A requirement by the name of a package; None for a path or an option of pip."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def installed_version(name: str) -> str | None:
    """The version of a package in this environment, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def with_dependencies(requirements: dict[str, Requirement]) -> set[str]:
    """The names of the required packages and of all that they bring along, extras left out."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        name = waiting.pop()
        if name not in found and installed_version(name):
            needed = map(Requirement, requires(name) or [])
            waiting += [
                canonicalize_name(one.name)
                for one in needed
                if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
        found.add(name)
    return found
