"""A fork that runs one Python program, in place of a new process that imports MLflow again.

`workbench_program.py` uses it in the agent's environment.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAMS = ("fresh_process_main", "mlflow_alone")


class SpareProcess:
    """A process that was forked before the agent was imported, and waits for a program to run.

    It has the methods of `subprocess.Popen` that the callers of these programs use.
    """

    def __init__(self) -> None:
        read, self._write = os.pipe()
        self.is_used = False
        self.returncode: int | None = None
        self._process_id = os.fork()
        if not self._process_id:
            os.close(self._write)
            run_from_pipe(read)
        os.close(read)

    def run(
        self, command: Sequence[str | Path], cwd: Path, env: dict[str, str], stderr: str
    ) -> None:
        """Run a Python program in a folder, with these environment variables only.

        Its standard error goes to a file.
        """
        self.is_used = True
        words = [str(part) for part in command]
        job = {"command": words, "cwd": str(cwd), "env": env, "stderr": stderr}
        with os.fdopen(self._write, "w") as pipe:
            json.dump(job, pipe)

    def poll(self) -> int | None:
        """Return the exit status of the program, or None if it still runs."""
        if self.returncode is None:
            process_id, status = os.waitpid(self._process_id, os.WNOHANG)
            if process_id:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Wait for the program, and return its exit status."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the program", timeout)
            time.sleep(0.02)
        return status

    def kill(self) -> None:
        """End the program if it still runs."""
        if self.returncode is None:
            os.kill(self._process_id, signal.SIGKILL)


def run_from_pipe(read: int) -> None:
    """Run the program that is sent through a pipe, if there is one, and exit."""
    status = 1
    try:
        with os.fdopen(read) as pipe:
            text = pipe.read()
        if text:
            run_program(**json.loads(text))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_program(command: list[str], cwd: str, env: dict[str, str], stderr: str) -> None:
    """Run `python -m module` or `python file` with its arguments."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(2):
        os.dup2(null, stream)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_APPEND), 2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    _, *arguments = command
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else arguments
    sys.path[0] = cwd if is_module else str(Path(arguments[0]).parent)
    sys.path[1:1] = env.get("PYTHONPATH", "").split(os.pathsep) if "PYTHONPATH" in env else []
    if is_module:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(arguments[0], run_name="__main__")


def use_for_programs(spare: SpareProcess) -> None:
    """Let `subprocess.Popen` run the first of `PROGRAMS` in the spare process."""

    class Popen(subprocess.Popen[Any]):
        def __new__(cls, command: Any, *arguments: Any, **options: Any) -> Any:
            names = " ".join(map(str, command))
            if spare.is_used or not any(program in names for program in PROGRAMS):
                return super().__new__(cls)
            stderr = getattr(options.get("stderr"), "name", os.devnull)
            spare.run(command, options["cwd"], options["env"], stderr)
            return spare

    vars(subprocess)["Popen"] = Popen
