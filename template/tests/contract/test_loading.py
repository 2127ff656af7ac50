"""Rules about loading the model where a server does: elsewhere, with nothing of this machine."""

from pathlib import Path

import pytest
from mlflow.models import Model

from .harness.agents import LoadedAgent
from .harness.errors import described, mend_for
from .harness.fresh_process import FreshAnswer, FreshProcess
from .harness.imports import entry_of, foreign_imports, is_of_repository
from .harness.project import ROOT
from .harness.rules import BrokenRuleError, NoModelError, rule


@pytest.fixture(scope="module")
def fresh(fresh_process: FreshProcess) -> FreshAnswer:
    """What the model did in a new process."""
    return fresh_process.answer()


@rule(
    "fresh-process",
    "The model answers in a new process, in another folder, with no credentials.",
    why="That is where a server starts it: what the agent finds only on this machine, in this "
    "folder or in these variables is missing there.",
    mend="Read files with importlib.resources, look for credentials when a request is answered, "
    "give settings to log_model as `model_config`, and let offline:/demo answer without a login.",
)
def test_fresh_process(fresh: FreshAnswer) -> None:
    if fresh.error:
        raise BrokenRuleError(f"It did not answer: {fresh.error}", mend_for(fresh.error))


@rule(
    "loads-again",
    "The model can be loaded where it was loaded before.",
    why="Evaluations, notebooks and these tests load a model several times in one process.",
    mend="Register nothing under a fixed name and keep nothing open at import; what fails the "
    "second time belongs into a function.",
)
def test_loads_again(model_path: Path, fresh: FreshAnswer) -> None:
    if fresh.error:
        raise NoModelError("The model does not answer; the rule `fresh-process` says why.")
    try:
        LoadedAgent(model_path)
    except (Exception, SystemExit) as error:
        raise BrokenRuleError(described(error)) from error


@rule(
    "packaged-code",
    "All of the repository's code that the model imports is inside the model.",
    why="A server has the model and its requirements, and no checkout of this repository.",
    mend="Put the code below `src/` into the agent's package; `code_paths` in log_model.py takes "
    "the whole package folder along.",
)
def test_packaged_code(model: Model, model_path: Path, fresh: FreshAnswer) -> None:
    strays = fresh.seen.modules_outside
    assert not strays, f"Imported from outside the model: {', '.join(strays)}."
    for name, file in foreign_imports(entry_of(model, model_path), model_path / "code").items():
        assert not is_of_repository(name, ROOT), f"{file} imports {name}, which is not inside."
    if fresh.error:
        raise NoModelError("The model does not answer; the rule `fresh-process` says why.")


@rule(
    "packaged-files",
    "Every file that the agent reads is inside the model.",
    why="A file of this machine is not on a server, and a relative path is looked for in whatever "
    "folder the server happens to run in.",
    mend="Put the file into the agent's package, and read it with importlib.resources.",
)
def test_packaged_files(fresh: FreshAnswer) -> None:
    strays = dict.fromkeys(fresh.seen.files_opened)
    assert not strays, f"Looked for outside the model: {', '.join(strays)}."
    if fresh.error:
        raise NoModelError("The model does not answer; the rule `fresh-process` says why.")


@rule(
    "quiet-import",
    "Loading the model calls nobody, and leaves MLflow, logs and the process as they were.",
    why="A server loads the model before it has a network or a login, and chose its own store, "
    "logs and variables: an agent that sets others sends the traces of its users away.",
    mend="Take the call out of the code that runs at import: connect when a request is answered, "
    "and set up MLflow, logs and variables where the agent is started, not in the agent.",
)
def test_quiet_import(fresh: FreshAnswer) -> None:
    called = dict.fromkeys(fresh.seen.connections_at_import)
    assert not called, f"It called {', '.join(called)}."
    changes = dict.fromkeys(fresh.seen.changes_at_import)
    assert not changes, f"Afterwards {'; '.join(changes)}."
    if fresh.error:
        raise NoModelError("The model does not answer; the rule `fresh-process` says why.")


@rule(
    "one-model",
    "`set_model` is called once, while the agent's file is imported.",
    why="MLflow takes the last call: with two of them, which agent is deployed depends on the "
    "order of imports; with none, there is no agent.",
    mend="Call `mlflow.models.set_model(AGENT)` once, as the last line of agent.py.",
)
def test_one_model(fresh: FreshAnswer) -> None:
    calls = fresh.seen.set_model_calls
    if fresh.error and not calls:
        raise NoModelError("The model does not load; the rule `fresh-process` says why.")
    assert len(calls) == 1, f"It was called {len(calls)} times, with {', '.join(calls)}."
