"""The state of a process: its settings, and what it holds, such as threads and files."""

import asyncio
import gc
import locale
import logging
import os
import re
import signal
import socket
import ssl
import sys
import threading
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow

Held = dict[str, Counter[str]]


def state_of_process() -> dict[str, Any]:
    """Return settings that belong to the process, not to an agent."""
    return {
        "the tracking URI": mlflow.get_tracking_uri(),
        "the registry URI": mlflow.get_registry_uri(),
        "the experiment": os.environ.get("MLFLOW_EXPERIMENT_ID"),
        "the active run": getattr(mlflow.active_run(), "info", None) and "a run",
        "the working directory": str(Path.cwd()),
        "the level of the root logger": logging.getLogger().level,
        "the list of root log handlers": [str(one) for one in logging.getLogger().handlers],
        "the level of disabled logging": logging.root.manager.disable,
        "the default timeout of sockets": socket.getdefaulttimeout(),
        **{f"the handler of {one.name}": signal.getsignal(one) for one in signal.Signals},
        "the default TLS context": vars(ssl)["_create_default_https_context"].__name__,
        "the locale": locale.setlocale(locale.LC_ALL),
        "the hook for uncaught exceptions": sys.excepthook,
        "the recursion limit": sys.getrecursionlimit(),
    }


def variables() -> dict[str, Any]:
    """Return the environment variables except AGENT_LLM, which this program sets."""
    names = os.environ.keys() - {"AGENT_LLM"}
    return {f"the variable {name}": os.environ[name] for name in names}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of the settings that differ."""
    return [name for name in before | after if before.get(name) != after.get(name)]


def changes(before: dict[str, Any]) -> list[str]:
    """Describe the settings of this process that are not as before."""
    after = state_of_process()
    return [f"{name} is {after[name]!r}" for name in changed(before, after)]


def held_by_process(folder: Path) -> Held:
    """Describe what this process holds, by kind.

    Args:
        folder: The folder in which the process works, with its folder for temporary files.
    """
    gc.collect()
    loggers = [logging.root, *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    return {
        "threads": Counter(_threads()),
        "tasks": Counter(_tasks()),
        "child processes": Counter(_child_processes()),
        "open files and connections": Counter(_open_files()),
        "files": Counter(str(path.relative_to(folder)) for path in folder.rglob("*")),
        "log handlers": Counter(str(one) for logger in loggers for one in logger.handlers),
        "filters of warnings": Counter(str(one) for one in warnings.filters),
        "entries of sys.path": Counter(sys.path),
    }


def growth(before: Held, after: Held, requests: int) -> list[str]:
    """Describe what grew with each of several requests."""
    remaining = []
    for kind, held in after.items():
        count = held.total() - before[kind].total()
        if count >= requests:
            newest = next(iter(held - before[kind]))
            remaining.append(f"{requests} requests leave {count} {kind} behind, such as {newest}")
    return remaining


def _threads() -> list[str]:
    """Return the names of threads; those of one thread pool count as one, as pools grow slowly."""
    names = [thread.name for thread in threading.enumerate()]
    pools = {name.rpartition("_")[0] for name in names if re.search(r"_\d+$", name)}
    return [*pools, *(name for name in names if not re.search(r"_\d+$", name))]


def _tasks() -> list[str]:
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
    return [getattr(one.get_coro(), "__qualname__", "a task") for one in tasks if not one.done()]


def _child_processes() -> list[str]:
    """Return the names of child processes, on Linux."""
    names = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for number in children.read_text().split():
                names.append(Path(f"/proc/{number}/comm").read_text().strip())
    return names


def _open_files() -> list[str]:
    """Return the names of open files and sockets, on Linux and macOS."""
    names = []
    for path in list(Path("/dev/fd").iterdir()):
        with suppress(OSError):  # the list itself was open
            os.fstat(int(path.name))
            names.append(str(path.readlink()) if path.is_symlink() else "a file")
    return names
