"""A program that loads a model as a server does, asks it, and tells what it saw.

`fresh_process.py` runs it with the folder of a model, the folder of the repository that the model
came from, and a file for what was seen: a JSON object with the fields of `Seen`.
"""

import json
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
    """An audit hook that notes the files and the connections that a model opens."""

    def __init__(self, model: Path, repository: Path, seen: Seen) -> None:
        self.model = model
        self.repository = repository
        self.seen = seen
        self.importing = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = Path(os.path.realpath(os.fsdecode(arguments[0])))
            if self.is_stray(path):
                self.seen.files_opened.append(str(path))
        if event == "socket.getaddrinfo" and self.importing:
            self.refuse(f"{arguments[0]}:{arguments[1]}")
        if event == "socket.connect" and self.importing and isinstance(arguments[1], tuple):
            self.refuse("{}:{}".format(*arguments[1]))

    def refuse(self, address: str) -> None:
        """Note a connection, and let it fail at once instead of after minutes."""
        self.seen.connections_at_import.append(address)
        raise ConnectionRefusedError(f"{address} was called while the model was loaded.")

    def is_stray(self, path: Path) -> bool:
        """Whether a file belongs to this machine only, and the model's own code opens it."""
        if path == PROGRAM or any(map(path.is_relative_to, (self.model, *ENVIRONMENTS))):
            return False
        if path.is_relative_to(self.repository):
            return not _is_imported(sys._getframe(2))
        opened_by_model = Path(_opener(sys._getframe(2))).is_relative_to(self.model)
        if not opened_by_model or any(map(path.is_relative_to, SYSTEM)):
            return False
        return path.is_file() and path.stat().st_ctime < BEGUN


def _frames(frame: FrameType | None) -> Iterator[str]:
    while frame:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _is_imported(frame: FrameType) -> bool:
    """Whether a file is opened by Python's own import."""
    return next(_frames(frame)).startswith("<frozen importlib")


def _opener(frame: FrameType) -> str:
    """The file of the code that opens something, by way of Python's own library or not."""
    library = str(Path(os.__file__).parent)
    for name in _frames(frame):
        own = name.startswith(library) and "site-packages" not in name
        if not own and not name.startswith("<frozen"):
            return name
    return ""


def count_set_model(seen: Seen) -> None:
    """Note what `set_model` is given, each time."""
    set_model = mlflow.models.set_model

    def counted(model: Any) -> None:
        seen.set_model_calls.append(type(model).__name__)
        set_model(model)

    # Whichever of the two an agent imports it from.
    for module in (mlflow.models, mlflow.models.model):
        vars(module)["set_model"] = counted


def state_of_process() -> dict[str, Any]:
    """What is the same for everybody in a process, and not an agent's to change."""
    return {
        "MLflow's store": mlflow.get_tracking_uri(),
        "MLflow's registry": mlflow.get_registry_uri(),
        "MLflow's experiment": os.environ.get("MLFLOW_EXPERIMENT_ID"),
        "MLflow's active run": getattr(mlflow.active_run(), "info", None) and "a run",
        "the working folder": str(Path.cwd()),
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
    count_set_model(seen)
    before = state_of_process()
    watch = Watch(model_path, repository, seen)
    sys.addaudithook(watch)
    try:
        model = mlflow.pyfunc.load_model(str(model_path))
        watch.importing = False
        after = state_of_process()
        seen.changes_at_import = [
            f"{name} is now {after[name]!r}" for name in before if before[name] != after[name]
        ]
        example = json.loads((model_path / "input_example.json").read_text(encoding="utf-8"))
        model.predict(example)
        list(model.predict_stream(example))
        seen.answered = True
    except (Exception, SystemExit) as error:
        seen.error = described(error, model_path)
    finally:
        seen.modules_outside = modules_outside(model_path, repository)
        result.write_text(json.dumps(asdict(seen)), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
