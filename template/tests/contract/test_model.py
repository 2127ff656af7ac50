"""Rules about the logged model: what Databricks reads before it runs anything."""

from pathlib import Path

import pytest
from mlflow.models.model import ModelInfo
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    RESPONSES_AGENT_INPUT_SCHEMA,
    RESPONSES_AGENT_OUTPUT_SCHEMA,
    ResponsesAgentRequest,
)
from pydantic import ValidationError

from .fresh_process import FreshAnswer, answer_in_fresh_process
from .rules import BrokenRuleError, NoModelError, rule
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
