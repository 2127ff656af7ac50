"""Records what the code of a model does to the process, the disk and the network."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import mlflow
import mlflow.models

from .observations import Observations
from .programs import program_of
from .project import ENVIRONMENTS, PACKAGE
from .provider import Provider

CONTRACT = Path(__file__).resolve().parents[1]
START = time.time()
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
        # Folders here, and folders of the repository with the same files. MLflow copies agent.py
        # to the folder of the model, and the package to `code`.
        sources = (Path("src", PACKAGE), Path("src"), Path())
        self.counterparts = {
            model / "code": Path("src"),
            **dict(zip((model, *model.parents), sources, strict=False)),
            Path.cwd(): Path(),
        }
        self.importing = True
        self.provider: Provider | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = Path(os.fsdecode(arguments[0]))
            self.record_file(path, sys._getframe(1))
            if self.importing and _writes(arguments[1]):
                self.record_written_file(path, sys._getframe(1))
        elif event in ("os.listdir", "os.scandir") and isinstance(arguments[0], str):
            self.record_search(Path(arguments[0]), sys._getframe(1))
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

    def record_search(self, name: Path, frame: FrameType) -> None:
        """Record a path that exists in the repository, but neither in the model nor here."""
        path = Path(os.path.realpath(name))
        if os.path.lexists(path) or path.name.startswith(".") or not self.is_own(frame):
            return
        for folder, source in self.counterparts.items():
            if path.is_relative_to(folder):
                relative = source / path.relative_to(folder)
                if os.path.lexists(self.repository / relative):
                    self.observations.files_opened.append(str(relative))

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


def record_searches(hook: AuditHook) -> None:
    """Record the paths that the code of the model looks for, and does not find."""
    stat = os.stat

    def recording_stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        try:
            return stat(path, *arguments, **options)
        except FileNotFoundError:
            hook.record_search(Path(os.fsdecode(path)), sys._getframe(1))
            raise

    vars(os)["stat"] = recording_stat


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
