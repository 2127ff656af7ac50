"""A program that loads a model as a server does, calls it, and records what it does.

`fresh_process.py` runs it with three paths: the folder of a model, the folder of the repository
that the model was logged from, and a file for the result, a JSON object with the fields of
`Observations`.
"""

import gc
import json
import os
import random
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import mlflow.models
import mlflow.pyfunc
import pytest
import time_machine

from .agents import HELLO, Request, implements_streams, instance_in, read_example
from .audit_hook import (
    CONTRACT,
    AuditHook,
    record_mlflow_calls,
    record_redirections,
    record_searches,
)
from .call_order import compare_orders
from .clock import (
    UNUSUAL_TIMES,
    ZONES,
    date_of_loading,
    on_a_machine_in,
    on_an_earlier_day,
    stale_dates,
)
from .errors import AGENT_ERRORS, describe_error, is_refusal
from .fixes import fix_for
from .leftovers import (
    changed,
    changes,
    growth,
    held_by_process,
    replaced_functions,
    state_after_loading,
    state_of_process,
    variables,
)
from .library_settings import changed_settings, library_settings
from .modules import imported_files
from .observations import Observations, progress_file
from .offline import OfflineLLM
from .project import COMMAND, ENVIRONMENTS
from .provider import Provider
from .reloading import stale_since_loading, sure_dates
from .tool_calls import calls_in
from .undefined_names import undefined_names
from .waiting import Attempt, eventually

REPEATS = 3
LONGEST_START = 2  # seconds until the first event of a stream


def modules_outside(model: Path, repository: Path) -> list[str]:
    """Return the modules imported from the repository, not from the model or an environment."""
    return sorted(
        name
        for name, file in imported_files().items()
        if file.is_relative_to(repository)
        and not any(map(file.is_relative_to, (CONTRACT, model, *ENVIRONMENTS)))
    )


def random_generators() -> list[Any]:
    """Return the generators of random numbers that all code of this process shares."""
    numpy = sys.modules.get("numpy")
    return [random, *([numpy.random] if numpy else [])]


def left_behind(model: Any, request: Request, folder: Path, llm: OfflineLLM) -> list[str]:
    """Describe what each of several requests leaves in the process."""
    before = held_by_process(folder)
    generators = random_generators()
    states = []
    for seed in range(REPEATS):
        for generator in generators:
            generator.seed(seed)
        model.predict(request)
        calls = llm.calls
        list(model.predict_stream(request))
        llm.held_back = llm.calls + (llm.calls - calls)  # the last call of the next answer
        abandon(model, request, llm)
        states.append([str(generator.random()) for generator in generators])

    def remaining() -> list[str]:
        return growth(before, held_by_process(folder), REPEATS)

    left = [] if eventually(lambda: not remaining()) else remaining()
    starts_again = any(first == second for first, second in zip(*states[:2], strict=True))
    return [*left, "the random numbers start again"] if starts_again else left


def abandon(model: Any, request: Request, llm: OfflineLLM) -> None:
    """Read the start of a stream, as a client that leaves before the LLM has finished."""

    def leave(request: Request) -> None:
        stream = model.predict_stream(request)
        next(stream, None)
        stream.close()

    llm.released = False
    leaving = Attempt(leave, request)
    leaving.finished(LONGEST_START)
    llm.released = True  # an agent that collects the answer yields nothing earlier
    leaving.finished()


def hide_distribution(name: str) -> None:
    """Hide the metadata of a package: Model Serving copies the code, and installs no distribution.

    Args:
        name: The name of the distribution.
    """
    from_name = metadata.Distribution.from_name

    def find(_cls: type, wanted: str) -> metadata.Distribution:
        if wanted.replace("_", "-").casefold() == name:
            raise metadata.PackageNotFoundError(wanted)
        return from_name(wanted)

    distribution: Any = metadata.Distribution
    distribution.from_name = classmethod(find)


def start_recording(model: Path, repository: Path, observations: Observations) -> AuditHook:
    """Record from now on what the code of the model does to this process."""
    hook = AuditHook(model, repository, observations)
    record_mlflow_calls(hook)
    record_redirections(hook)
    record_searches(hook)
    sys.addaudithook(hook)
    return hook


class ReportingModel:
    """A model that appends a byte to a file after each answer.

    Without an implementation of `predict_stream`, streams are empty; the rule `streams` fails.
    """

    def __init__(self, model: mlflow.pyfunc.PyFuncModel, progress: Path) -> None:
        self._model = model
        self._progress = progress
        self._can_stream = implements_streams(instance_in(model))

    def predict(self, request: Request) -> Any:
        """Return an answer."""
        answer: Any = self._model.predict(request)
        self._report()
        return answer

    def predict_stream(self, request: Request) -> Generator[Any]:
        """Yield the events of an answer."""
        if self._can_stream:
            yield from self._model.predict_stream(request)
        self._report()

    def _report(self) -> None:
        with self._progress.open("ab") as file:
            file.write(b".")


def load(model: Path, hook: AuditHook, progress: Path) -> Any:
    """Load the model, and record what it changes; afterwards, it can reach the provider."""
    before = state_of_process()
    loaded = mlflow.pyfunc.load_model(str(model), suppress_warnings=True)
    hook.importing = False
    observations = hook.observations
    observations.changes_at_import += changes(before, state_of_process())
    replaced = sorted(replaced_functions(model))
    observations.changes_at_import += [f"{name} is another function" for name in replaced]
    observations.undefined_names = undefined_names(model)
    hook.provider = Provider()
    os.environ |= hook.provider.variables()
    return ReportingModel(loaded, progress)


def record_changes(model: Path, observations: Observations) -> Callable[[], None]:
    """Return a function that records how the process differs from now."""
    before, variables_before = state_after_loading(model), variables()
    settings = library_settings()

    def record() -> None:
        observations.left_behind += changes(before, state_after_loading(model))
        observations.left_behind += changed_settings(settings)
        # Not with their values, which may be secret.
        names = changed(variables_before, variables())
        observations.left_behind += [f"{name} has another value" for name in names]

    return record


def answer_at_unusual_times(model: Any, request: Request) -> dict[str, list[dict[str, Any]]]:
    """Return the tool calls in the answers at each of the times."""
    calls = {}
    for now in UNUSUAL_TIMES:
        with time_machine.travel(now):
            calls[now.isoformat()] = tool_calls_in(model.predict(request))
    return calls


def answer_in_zones(model: Any, request: Request) -> list[list[dict[str, Any]]]:
    """Return the tool calls in the answers in each of the time zones."""
    calls = []
    for zone in ZONES:
        with on_a_machine_in(zone):
            calls.append(tool_calls_in(model.predict(request)))
    return calls


def tool_calls_in(answer: Any) -> list[dict[str, Any]]:
    """Return the tool calls in an answer as JSON objects."""
    return [asdict(call) for call in calls_in(answer["output"])]


def observe(
    model_path: Path, hook: AuditHook, folder: Path, loaded: datetime
) -> tuple[Any, Request]:
    """Load the model on an earlier day, and call it on that day, today and at unusual times.

    Args:
        model_path: The folder of the model.
        hook: Records what its code does.
        folder: The folder in which this process works.
        loaded: The earlier day.

    Returns:
        The model, and a request that it has answered.
    """
    observations = hook.observations
    with on_an_earlier_day(loaded):
        model = load(model_path, hook, progress_file(folder))
        record_changes_since_loading = record_changes(model_path, observations)
        gc.freeze()  # so that later collections are fast
        request = read_example(model_path) or HELLO
        model.predict(request)
        list(model.predict_stream(request))
        os.environ["AGENT_LLM"] = "offline:/tools"  # calls what the example does not use
        observations.tool_calls = tool_calls_in(model.predict(request))
    llm = OfflineLLM(pytest.MonkeyPatch(), Observations)
    later_answer: Any = model.predict(request)
    observations.tool_calls_by_time = answer_at_unusual_times(model, request)
    observations.tool_calls_by_zone = answer_in_zones(model, request)
    observations.stale_dates = stale_dates(llm.bodies, later_answer["output"], loaded)
    observations.left_behind += left_behind(model, request, folder, llm)
    last_answer = model.predict(request)
    with time_machine.travel(loaded):
        observations.repeated_tool_calls = tool_calls_in(model.predict(request))
    observations.later_tool_calls = [*tool_calls_in(later_answer), *tool_calls_in(last_answer)]
    record_changes_since_loading()
    return model, request


def main(model_path: Path, repository: Path, result: Path) -> None:
    observations = Observations(error="It raised an error that cannot be described.")
    # The model must not be able to import this program.
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != CONTRACT]
    mlflow.tracing.disable()  # a trace would need a store, which takes seconds to create
    hide_distribution(COMMAND)
    hook = start_recording(model_path, repository, observations)
    loaded = date_of_loading(model_path)
    try:
        model, request = observe(model_path, hook, result.parent, loaded)
        observations.error = ""
    except AGENT_ERRORS as error:
        observations.error, observations.fix = describe_error(error), fix_for(error)
        observations.is_refused = is_refusal(error)
    finally:
        observations.modules_outside = modules_outside(model_path, repository)
        observed = asdict(observations)  # what happens later does not count
        result.write_text(json.dumps(observed), encoding="utf-8")
    if not observations.error:
        dates = sure_dates(observations.stale_dates, model_path, request, loaded)
        texts = [] if dates else stale_since_loading(model, model_path, request, loaded)
        calls = asdict(compare_orders(model_path, request))
        observed |= {"stale_dates": dates, "stale_texts": texts, "compared_calls": calls}
        result.write_text(json.dumps(observed), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
