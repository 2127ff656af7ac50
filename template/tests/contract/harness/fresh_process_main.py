"""A program that loads a model as a server does, calls it, and records what it does.

`fresh_process.py` runs it with three paths: the folder of a model, the folder of the repository
that the model was logged from, and a file for the result, a JSON object with the fields of
`Observations`.
"""

import contextlib
import gc
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow
import mlflow.models
import mlflow.pyfunc
import pytest
import time_machine

from .agents import HELLO, Item, Request, read_example
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
from .programs import program_of
from .project import COMMAND, ENVIRONMENTS
from .provider import Provider
from .reloading import stale_since_loading
from .tool_calls import calls_in
from .undefined_names import undefined_names
from .waiting import Attempt, eventually

CONTRACT = Path(__file__).resolve().parents[1]
START = time.time()
REPEATS = 3
LONGEST_START = 2  # seconds until the first event of a stream
# Events of `sys.audit` that change the process, and their descriptions with the first argument.
CHANGES = {
    "os.putenv": "the variable {} is set",
    "os.unsetenv": "the variable {} is removed",
    "os.chdir": "the working directory changes to {}",
}
SYSTEM = ("/dev", "/etc", "/proc", "/sys", "/usr", "/System", "/Library")


class AuditHook:
    """Records the files, connections, programs and environment variables that a model uses.

    Only the model's own code counts, not what its libraries do. Two kinds of events always count:
    opening a file of the repository, and connecting.
    """

    def __init__(self, model: Path, repository: Path, observations: Observations) -> None:
        self.model = model
        self.repository = repository
        self.observations = observations
        self.importing = True
        self.provider: Provider | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = Path(os.fsdecode(arguments[0]))
            self.record_file(path, sys._getframe(1))
            if self.importing and _writes(arguments[1]):
                self.record_written_file(path, sys._getframe(1))
        elif event == "socket.getaddrinfo":
            self.record_connection(f"{arguments[0]}:{arguments[1]}")
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self.record_connection("{}:{}".format(*arguments[1][:2]))
        elif event == "subprocess.Popen" and self.is_own(sys._getframe(1)):
            self.observations.programs.append(program_of(arguments[1]))
        elif event == "os.system" and self.is_own(sys._getframe(1)):
            self.observations.programs.append(program_of(["sh", "-c", arguments[0]]))
        elif event in CHANGES and self.is_own(sys._getframe(1)):
            value = arguments[0]
            name = os.fsdecode(value) if isinstance(value, (str, bytes)) else value
            self.record_change(CHANGES[event].format(name))

    def record_change(self, change: str) -> None:
        """Record a change of the process, even if the code undoes it: others see it meanwhile."""
        if self.importing:
            self.observations.changes_at_import.append(change)
        else:
            self.observations.changes_meanwhile.append(change)

    def record_connection(self, address: str) -> None:
        """Record a connection; at import, refuse it at once instead of after a long timeout."""
        if self.importing:
            self.observations.connections_at_import.append(address)
            raise ConnectionRefusedError(f"A connection to {address} was opened at import.")
        is_known = address in self.observations.connections
        if not is_known and not (self.provider and address == self.provider.address):
            self.observations.connections.append(address)

    def record_file(self, name: Path, frame: FrameType) -> None:
        """Record a file that exists only on this machine, or is missing in the model."""
        path = Path(os.path.realpath(name))
        if any(map(path.is_relative_to, (CONTRACT, *ENVIRONMENTS))):
            return
        imported = frame.f_code.co_filename.startswith("<frozen importlib")
        if path.is_relative_to(self.model):
            is_local = not imported and not path.exists() and self.is_own(frame)
        elif path.is_relative_to(self.repository) and path.is_file():
            is_local = not imported and ".git" not in path.parts  # MLflow reads the commit
        else:
            is_local = self.is_own(frame) and _is_on_this_machine(name)
        if is_local:
            self.observations.files_opened.append(str(name))

    def record_written_file(self, path: Path, frame: FrameType) -> None:
        """Record a file of the model that its own code writes at import."""
        if path.is_relative_to(self.model) and self.is_own(frame):
            name = path.relative_to(self.model).as_posix()
            self.observations.changes_at_import.append(f"{name} is written")

    def is_own(self, frame: FrameType) -> bool:
        """Return whether the model's own code runs, directly or through the standard library."""
        library = str(Path(os.__file__).parent)
        for name in _files_of_calls(frame):
            if "site-packages" in name or not name.startswith((library, "<frozen")):
                return Path(name).is_relative_to(self.model)
        return False


def _writes(mode: str | None) -> bool:
    """Return whether a file is opened for writing."""
    return mode is not None and not set("wax+").isdisjoint(mode)


def _files_of_calls(frame: FrameType | None) -> Iterator[str]:
    """Yield the files of the call stack, the innermost first."""
    while frame:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _is_on_this_machine(path: Path) -> bool:
    """Return whether a path is relative, or existed before this process."""
    if not path.is_absolute():
        return True
    in_system = any(map(path.is_relative_to, SYSTEM))
    return path.is_file() and path.stat().st_ctime < START and not in_system


def record_redirections(hook: AuditHook) -> None:
    """Record that the code of the model redirects the output of the whole process."""
    enter = contextlib.redirect_stdout.__enter__

    def recording_enter(redirection: Any) -> Any:
        if hook.is_own(sys._getframe(1)):
            hook.record_change(f"sys.{redirection._stream} is redirected")
        return enter(redirection)

    for cls in (contextlib.redirect_stdout, contextlib.redirect_stderr):
        cls.__enter__ = recording_enter


def record_mlflow_calls(hook: AuditHook) -> None:
    """Record each call of `set_model`, and changes of tracing."""
    observations = hook.observations
    set_model = mlflow.models.set_model

    def recording_set_model(model: Any) -> None:
        observations.set_model_calls.append(type(model).__name__)
        set_model(model)

    def record(change: str) -> None:
        changes = observations.changes_at_import if hook.importing else observations.left_behind
        changes.append(change)

    def recording_disable() -> None:
        record("tracing is off")

    def recording_set_destination(*_: Any, context_local: bool = False, **__: Any) -> None:
        if hook.importing or not context_local:  # a request may have its own destination
            record("traces have another destination")

    # Agents import it from either module.
    for module in (mlflow.models, mlflow.models.model):
        vars(module)["set_model"] = recording_set_model
    vars(mlflow.tracing)["disable"] = recording_disable
    vars(mlflow.tracing)["set_destination"] = recording_set_destination


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
    observations = Observations()
    # The model must not be able to import this program.
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != CONTRACT]
    mlflow.tracing.disable()  # a trace would need a store, which takes seconds to create
    hide_distribution(COMMAND)
    before = state_of_process()
    hook = AuditHook(model_path, repository, observations)
    record_mlflow_calls(hook)
    record_redirections(hook)
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
