"""Rules about loading the model in another process and folder, as a server does."""

import re
from pathlib import Path

import pytest
from mlflow.models import Model

from .harness.agents import LoadedAgent
from .harness.errors import AGENT_ERRORS, describe_error
from .harness.fresh_process import FreshProcess
from .harness.imports import entry_of, foreign_imports, is_of_repository
from .harness.observations import Observations
from .harness.programs import missing_in_image
from .harness.project import ROOT
from .harness.rules import FailedRuleError, NotCheckedError, rule


@pytest.fixture(scope="module")
def fresh(fresh_process: FreshProcess) -> Observations:
    """What the model did in a new process."""
    return fresh_process.observations()


def require_answer(fresh: Observations) -> None:
    """Stop a check that needs an answer of the model if there is none."""
    if fresh.error:
        raise NotCheckedError("the model does not answer, see `fresh-process`")


@rule(
    "fresh-process",
    "The model answers in a new process, in another folder, without credentials.",
    why="A server starts it like this. Whatever the agent needs from this machine, this folder or "
    "these environment variables is missing there.",
    fix="Read files with importlib.resources, read credentials when a request is answered, pass "
    "settings to log_model as `model_config`, and let offline:/demo answer without a login.",
)
def test_fresh_process(fresh: Observations, request: pytest.FixtureRequest) -> None:
    if fresh.is_refused and request.getfixturevalue("first_requests").refusal:
        raise NotCheckedError("the LLM refuses the agent's requests, see `llm-requests`")
    if fresh.error:
        raise FailedRuleError(f"The model failed: {fresh.error}", fresh.fix)


@rule(
    "loads-again",
    "The model can be loaded twice in one process.",
    why="Evaluations, notebooks and these tests load a model several times.",
    fix="Do not register a fixed name and do not keep anything open at import. Move what fails the "
    "second time into a function.",
)
def test_loads_again(model_path: Path, fresh: Observations) -> None:
    require_answer(fresh)
    try:
        LoadedAgent(model_path)
    except AGENT_ERRORS as error:
        raise FailedRuleError(describe_error(error)) from error


@rule(
    "packaged-code",
    "The model contains all code of the repository that it imports.",
    why="A server has the model and its requirements, but not this repository.",
    fix="Move the code in `src/` into the agent's package. `code_paths` in ops/log_model.py "
    "contains the whole package folder.",
)
def test_packaged_code(model: Model, model_path: Path, fresh: Observations) -> None:
    outside = fresh.modules_outside
    assert not outside, f"The model imports code from outside: {', '.join(outside)}."
    for name, file in foreign_imports(entry_of(model, model_path), model_path / "code").items():
        assert not is_of_repository(name, ROOT), (
            f"{file} imports {name}, which is not in the model."
        )
    require_answer(fresh)


@rule(
    "packaged-files",
    "The model contains all files that the agent reads.",
    why="A server does not have the files of this machine, and a relative path depends on the "
    "folder that the server runs in.",
    fix="Put the file into the agent's package, and read it with importlib.resources.",
)
def test_packaged_files(fresh: Observations) -> None:
    missing = ", ".join(dict.fromkeys(fresh.files_opened))
    assert not missing, f"The agent opens files that the model does not contain: {missing}."
    require_answer(fresh)


@rule(
    "installed-programs",
    "The image contains the programs that the agent starts.",
    why="The image has Python and the basic programs of Debian, and Model Serving installs only "
    "Python packages. A tool that starts another program fails there.",
    fix="Use a Python package instead, which `uv add` installs everywhere. For the image alone, "
    "install the program in the Dockerfile.",
)
def test_installed_programs(fresh: Observations, model_path: Path) -> None:
    path = ROOT / "Dockerfile"
    if not path.exists():
        pytest.skip("the repository has no Dockerfile")
    dockerfile = path.read_text(encoding="utf-8")
    missing = ", ".join(missing_in_image(fresh.programs, model_path, dockerfile))
    assert not missing, f"The agent starts programs that the image lacks: {missing}."
    require_answer(fresh)


@rule(
    "quiet-import",
    "Loading the model uses no network and changes no MLflow, logging or process state.",
    why="A server loads the model before it has a network or a login, and selects its own store, "
    "logging and variables. An agent that changes them can send users' traces elsewhere.",
    fix="Remove the call from code that runs at import: connect when a request is answered, and "
    "configure MLflow, logging and variables where the agent is started, in commands/ or server/.",
)
def test_quiet_import(fresh: Observations) -> None:
    connections = dict.fromkeys(fresh.connections_at_import)
    assert not connections, f"Loading the model connects to {', '.join(connections)}."
    changes = dict.fromkeys(fresh.changes_at_import)
    assert not changes, f"After loading the model, {'; '.join(changes)}."
    require_answer(fresh)


@rule(
    "no-leftovers",
    "Answering leaves nothing behind, and changes no settings of the process.",
    why="A server answers thousands of requests. What each leaves, such as a thread or an open "
    "file, adds up until the server stops. Changed settings apply to all other requests.",
    fix="Close files, clients and processes with `with` or `async with`, wait for threads and "
    "tasks, and use `tempfile.TemporaryDirectory`. Do not change logging, warnings, TLS, signals, "
    "environment variables, `sys.path` or random seeds in the agent, and do not replace functions "
    "of other modules; pass the setting to the one client, function or object that needs it.",
)
def test_no_leftovers(fresh: Observations) -> None:
    require_answer(fresh)
    changes, left = dict.fromkeys(fresh.changes_meanwhile), dict.fromkeys(fresh.left_behind)
    assert not changes, f"While the agent answers, {'; '.join(changes)}."
    assert not left, f"After the answers, {'; '.join(left)}."


CURRENT_DATE = rule(
    "current-date",
    "An agent that was loaded on another day uses the date of the request.",
    why="A server loads the model once and runs for weeks. A date that is computed at import, in a "
    "default argument or in a cached function is soon wrong, and the LLM believes it.",
    fix="Compute the date for each request: call `datetime.now(UTC)` in the function of agent.py "
    "that adds to the instructions, such as `system_message`, and inside the functions of "
    "tools.py, not in their arguments.",
)
# At the start of a sentence; in quotes it is an example.
WRITTEN_DATE = re.compile(
    r"(?:^|[.!?] )((?:today(?:'s date)?|the current (?:date|day|month|year))(?: is|:)"
    r"[^.\n]{0,40}\b20\d\d\b)",
    re.IGNORECASE | re.MULTILINE,
)


@CURRENT_DATE
def test_date_in_instructions(model_path: Path) -> None:
    for path in model_path.rglob("instructions.md"):
        found = WRITTEN_DATE.search(path.read_text(encoding="utf-8"))
        assert not found, f"instructions.md says {found[1]!r}, on every day."


@CURRENT_DATE
def test_current_date(fresh: Observations) -> None:
    require_answer(fresh)
    stale = next(iter(fresh.stale_dates), "")
    assert not stale, f"On a later day, the LLM or the caller gets the date of loading: {stale!r}."
    stale = next(iter(fresh.stale_texts), "")
    assert not stale, f"On a later day, the LLM or the caller gets {stale}."


@rule(
    "one-model",
    "`set_model` is called once, while the agent's file is imported.",
    why="MLflow uses the last call. With two calls, the order of imports decides which agent is "
    "deployed. Without a call, MLflow cannot load the model.",
    fix="Call `mlflow.models.set_model(AGENT)` once, as the last line of agent.py.",
)
def test_one_model(fresh: Observations) -> None:
    calls = fresh.set_model_calls
    if not calls:
        require_answer(fresh)
    assert len(calls) == 1, f"It is called {len(calls)} times, with {', '.join(calls)}."
