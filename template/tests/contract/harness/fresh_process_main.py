"""A program that loads a model as a server does, asks it, and tells what it saw.

`fresh_process.py` runs it with the folder of a model, the folder of the repository that the model
came from, and a file for what was seen: a JSON object with the fields of `Seen`.
"""

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow
import mlflow.models
import mlflow.pyfunc

PROGRAM = Path(__file__).resolve()
BEGUN = time.time()
ENVIRONMENTS = (sys.prefix, sys.base_prefix)
SYSTEM = ("/dev", "/etc", "/proc", "/sys", "/usr", "/System", "/Library")


@dataclass
class Seen:
    """What a model did while it was loaded and asked."""

    answered: bool = False
    error: str = ""
    set_model_calls: list[str] = field(default_factory=list)
    connections_at_import: list[str] = field(default_factory=list)
    changes_at_import: list[str] = field(default_factory=list)
    files_opened: list[str] = field(default_factory=list)
    modules_outside: list[str] = field(default_factory=list)


class Watch:
    """An audit hook that notes which files, connections and other people's things a model touches.

    What the libraries of a model do is theirs; only what the model's own code does is noted, and
    everything that opens a file of the repository or, while importing, a connection.
    """

    def __init__(self, model: Path, repository: Path, seen: Seen) -> None:
        self.model = model
        self.repository = repository
        self.seen = seen
        self.importing = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            self.note_file(Path(os.fsdecode(arguments[0])), sys._getframe(1))
        elif not self.importing:
            return
        elif event == "socket.getaddrinfo":
            self.refuse(f"{arguments[0]}:{arguments[1]}")
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self.refuse("{}:{}".format(*arguments[1][:2]))
        elif event == "os.putenv" and self.is_own(sys._getframe(1)):
            self.seen.changes_at_import.append(f"{os.fsdecode(arguments[0])} is set")

    def refuse(self, address: str) -> None:
        """Note a connection, and let it fail at once instead of after minutes."""
        self.seen.connections_at_import.append(address)
        raise ConnectionRefusedError(f"{address} was called while the model was loaded.")

    def note_file(self, named: Path, frame: FrameType) -> None:
        """Note a file that is of this machine only."""
        path = Path(os.path.realpath(named))
        if path == PROGRAM or any(map(path.is_relative_to, (self.model, *ENVIRONMENTS))):
            return
        if path.is_relative_to(self.repository) and path.is_file():
            imported = frame.f_code.co_filename.startswith("<frozen importlib")
            stray = not imported and ".git" not in path.parts  # MLflow looks for the commit
        else:
            stray = self.is_own(frame) and _is_of_machine(named)
        if stray:
            self.seen.files_opened.append(str(named))

    def is_own(self, frame: FrameType) -> bool:
        """Whether the model's own code does something, by way of Python's library or directly."""
        library = str(Path(os.__file__).parent)
        for name in _files_of_calls(frame):
            if "site-packages" in name or not name.startswith((library, "<frozen")):
                return Path(name).is_relative_to(self.model)
        return False


def _files_of_calls(frame: FrameType | None) -> Iterator[str]:
    """The files of the code that is running, from the inside out."""
    while frame:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _is_of_machine(path: Path) -> bool:
    """Whether a path is looked for in the current folder, or was there before this process."""
    if not path.is_absolute():
        return True
    in_system = any(map(path.is_relative_to, SYSTEM))
    return path.is_file() and path.stat().st_ctime < BEGUN and not in_system


def listen_to_mlflow(seen: Seen) -> None:
    """Note what `set_model` is given, each time, and whether tracing is switched off."""
    set_model = mlflow.models.set_model

    def noted_set_model(model: Any) -> None:
        seen.set_model_calls.append(type(model).__name__)
        set_model(model)

    def noted_disable() -> None:
        seen.changes_at_import.append("MLflow's tracing is off")

    # Whichever of the two an agent imports it from.
    for module in (mlflow.models, mlflow.models.model):
        vars(module)["set_model"] = noted_set_model
    vars(mlflow.tracing)["disable"] = noted_disable


def state_of_process() -> dict[str, Any]:
    """What is the same for everybody in a process, and not an agent's to change."""
    return {
        "MLflow's store": mlflow.get_tracking_uri(),
        "MLflow's registry": mlflow.get_registry_uri(),
        "MLflow's experiment": os.environ.get("MLFLOW_EXPERIMENT_ID"),
        "MLflow's active run": getattr(mlflow.active_run(), "info", None) and "a run",
        "the working folder": str(Path.cwd()),
        "the level of all logs": logging.getLogger().level,
        "the handlers of all logs": [str(one) for one in logging.getLogger().handlers],
    }


def modules_outside(model: Path, repository: Path) -> list[str]:
    """The modules that were found in the repository, not in the model nor in an environment."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return sorted(
        name
        for name, file in files.items()
        if file
        and Path(file) != PROGRAM
        and Path(file).is_relative_to(repository)
        and not any(map(Path(file).is_relative_to, (model, *ENVIRONMENTS)))
    )


def request_for(model: Path) -> Any:
    """The input example of a model, or a greeting where it has none."""
    path = model / "input_example.json"
    if not path.exists():
        return {"input": [{"role": "user", "content": "Hello, who are you?"}]}
    return json.loads(path.read_text(encoding="utf-8"))


def described(error: BaseException, model: Path) -> str:
    """Name an error, what it says, and the line of the model's code it comes from."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    cause: BaseException | None = error
    while cause:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if Path(frame.filename).is_relative_to(model):
                return f"{text} ({Path(frame.filename).name}, line {frame.lineno}: `{frame.line}`)"
        cause = cause.__cause__ or cause.__context__
    return text


def main(model_path: Path, repository: Path, result: Path) -> None:
    seen = Seen()
    mlflow.tracing.disable()  # a trace would need a store, and making one takes long
    listen_to_mlflow(seen)
    before = state_of_process()
    watch = Watch(model_path, repository, seen)
    sys.addaudithook(watch)
    try:
        model = mlflow.pyfunc.load_model(str(model_path))
        watch.importing = False
        after = state_of_process()
        seen.changes_at_import += [
            f"{name} is {after[name]!r}" for name in before if before[name] != after[name]
        ]
        request = request_for(model_path)
        model.predict(request)
        list(model.predict_stream(request))
        seen.answered = True
    except (Exception, SystemExit) as error:
        seen.error = described(error, model_path)
    finally:
        seen.modules_outside = modules_outside(model_path, repository)
        result.write_text(json.dumps(asdict(seen)), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
