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

from .agents import HELLO, Item, Request, read_example
from .audit_hook import (
    CONTRACT,
    AuditHook,
    record_mlflow_calls,
    record_redirections,
    record_searches,
)
from .clock import UNUSUAL_TIMES, date_of_loading, excerpts_with_date, llm_data, on_an_earlier_day
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
from .observations import Observations
from .offline import OfflineLLM
from .project import COMMAND, ENVIRONMENTS
from .provider import Provider
from .reloading import stale_since_loading
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


def stale_dates(llm: OfflineLLM, output: list[Item], loaded: datetime) -> list[str]:
    """Return texts of an answer that contain the day on which the model was loaded."""
    texts = [item.get("output") or item.get("content") for item in output]
    return list(excerpts_with_date([*llm_data(llm.bodies), texts], loaded))


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


def main(model_path: Path, repository: Path, result: Path) -> None:
    observations = Observations(error="It raised an error that cannot be described.")
    # The model must not be able to import this program.
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != CONTRACT]
    mlflow.tracing.disable()  # a trace would need a store, which takes seconds to create
    hide_distribution(COMMAND)
    before = state_of_process()
    hook = AuditHook(model_path, repository, observations)
    record_mlflow_calls(hook)
    record_redirections(hook)
    record_searches(hook)
    sys.addaudithook(hook)
    loaded = date_of_loading(model_path)
    try:
        with on_an_earlier_day(loaded):
            model = mlflow.pyfunc.load_model(str(model_path), suppress_warnings=True)
            hook.importing = False
            observations.changes_at_import += changes(before, state_of_process())
            replaced = sorted(replaced_functions(model_path))
            observations.changes_at_import += [f"{name} is another function" for name in replaced]
            hook.provider = Provider()
            os.environ |= hook.provider.variables()
            before, variables_before = state_after_loading(model_path), variables()
            settings = library_settings()
            observations.undefined_names = undefined_names(model_path)
            gc.freeze()  # so that later collections are fast
            request = read_example(model_path) or HELLO
            model.predict(request)
            list(model.predict_stream(request))
            os.environ["AGENT_LLM"] = "offline:/tools"  # calls what the example does not use
            first_answer: Any = model.predict(request)
        llm = OfflineLLM(pytest.MonkeyPatch(), Observations)
        later_answer: Any = model.predict(request)
        answers_by_time: dict[str, Any] = {}
        for now in UNUSUAL_TIMES:
            with time_machine.travel(now):
                answers_by_time[f"{now.day} {now:%B, %H:%M} UTC"] = model.predict(request)
        observations.stale_dates = stale_dates(llm, later_answer["output"], loaded)
        observations.left_behind += left_behind(model, request, result.parent, llm)
        last_answer: Any = model.predict(request)
        for answer, calls in (
            (first_answer, observations.tool_calls),
            (later_answer, observations.later_tool_calls),
            (last_answer, observations.later_tool_calls),
        ):
            calls += map(asdict, calls_in(answer["output"]))
        observations.tool_calls_by_time = {
            now: [asdict(call) for call in calls_in(answer["output"])]
            for now, answer in answers_by_time.items()
        }
        observations.left_behind += changes(before, state_after_loading(model_path))
        observations.left_behind += changed_settings(settings)
        # Not with their values, which may be secret.
        names = changed(variables_before, variables())
        observations.left_behind += [f"{name} has another value" for name in names]
        observations.error = ""
    except AGENT_ERRORS as error:
        observations.error, observations.fix = describe_error(error), fix_for(error)
        observations.is_refused = is_refusal(error)
    finally:
        observations.modules_outside = modules_outside(model_path, repository)
        observed = asdict(observations)  # what happens later does not count
        result.write_text(json.dumps(observed), encoding="utf-8")
    if not observations.error and not observations.stale_dates:
        observed["stale_texts"] = stale_since_loading(model, model_path, request, loaded)
        result.write_text(json.dumps(observed), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
