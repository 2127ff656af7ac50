"""Runs an agent's commands in forks of one process, which has imported the slow libraries.

`forked_commands.py` starts it in the environment of the agent, with the name of the agent's package
as its argument. Each line of its input is a command as JSON:

    {"arguments": [STRING, …], "environment": {NAME: VALUE}, "stdout": FILE, "stderr": FILE}

It answers with a line that contains the exit code. The second argument is a Python file to run
before each command, or empty. Other arguments are the names of more slow modules.
"""

import os

# A fork has no threads, so no library may start one before.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OPENBLAS_NUM_THREADS": "1"}

import atexit
import gc
import importlib
import json
import runpy
import signal
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any

IMPORTED_ONCE = (
    "alembic.command",
    "docstring_parser",
    "mlflow",
    "mlflow.openai",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "openai.types.chat",
    "openai.types.responses",
    "pandas",
    "sqlalchemy.dialects.sqlite",
)
# Of the extra `databricks`, if the agent has it.
IMPORTED_IF_INSTALLED = ("databricks.agents",)


def main() -> None:
    """Run one command after the other until the input ends."""
    for name in (*IMPORTED_ONCE, *MODULES):
        importlib.import_module(name)
    for name in IMPORTED_IF_INSTALLED:
        with suppress(ImportError):
            importlib.import_module(name)
    assert threading.active_count() == 1
    # A collection in a fork would copy the memory of all these modules.
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(command: dict[str, Any]) -> None:
    """Run a command in this process, which ends with it."""
    files = (os.devnull, command["stdout"], command["stderr"])
    for descriptor, file in enumerate(files):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if descriptor else os.O_RDONLY
        os.dup2(os.open(file, flags), descriptor)
    signal.alarm(120)  # for a server that starts although it must not
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv[1:] = command["arguments"]
    # Without the destruction of all modules, which takes a second; exit handlers run.
    os._exit(exit_code_of_command())


def exit_code_of_command() -> int:
    """Run the command in `sys.argv`, and the exit handlers after it."""
    code = 1
    try:
        if PRELUDE:
            runpy.run_path(PRELUDE, {"PACKAGE": PACKAGE})
        cli = importlib.import_module(f"{PACKAGE}.commands.cli")
        cli.main(prog_name=PACKAGE.replace("_", "-"))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    PACKAGE, PRELUDE, *MODULES = sys.argv[1:]
    main()
