"""The state of a process: its settings, and what it holds, such as threads and files."""

import asyncio
import atexit
import builtins
import gc
import locale
import logging
import multiprocessing
import os
import re
import signal
import socket
import ssl
import sys
import threading
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
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
        "the switch interval of threads": sys.getswitchinterval(),
    }


def variables() -> dict[str, Any]:
    """Return the environment variables except AGENT_LLM, which this program sets."""
    names = os.environ.keys() - {"AGENT_LLM"}
    return {f"the variable {name}": os.environ[name] for name in names}


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of the settings that differ."""
    return [name for name in before | after if before.get(name) != after.get(name)]


def state_after_loading(model: Path) -> dict[str, Any]:
    """Return settings of the process that change when a model is loaded, but not when it answers.

    Args:
        model: The folder of the model.
    """
    names = (name for name, value in vars(builtins).items() if callable(value))
    return state_of_process() | {
        "sys.path": list(sys.path),
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "the mask for new files": _umask(),
        "whether garbage is collected": gc.isenabled(),
        "how processes start": _start_method(),
        "whether tracemalloc traces": tracemalloc.is_tracing(),
        "the list of filters that ignore all warnings": _ignoring_filters(),
        "the list of replaced functions": sorted(replaced_functions(model)),
        "the list of settings of event loops": _settings_of_event_loops(model),
        **{f"builtins.{name}": getattr(builtins, name) for name in names if name != "_"},
    }


def _start_method() -> str:
    names = multiprocessing.get_all_start_methods()  # the default first
    return multiprocessing.get_start_method(allow_none=True) or names[0]


def _umask() -> str:
    mask = os.umask(0o077)
    os.umask(mask)
    return oct(mask)


def _ignoring_filters() -> list[str]:
    """Return the filters without a message or a module; libraries add others."""
    found = [one for one in warnings.filters if one[0] == "ignore" and one[2] is Warning]
    return [str(one) for one in found if (one[1], one[3]) == (None, None)]


def replaced_functions(model: Path) -> Iterator[str]:
    """Yield the functions of the standard library that the model has replaced by its own."""
    folder = str(model)
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or name not in sys.stdlib_module_names:
            continue
        for key, value in list(vars(module).items()):
            if _is_code_in(folder, value):
                yield f"{name}.{key}"
            if isinstance(value, type) and value.__module__.partition(".")[0] == name:
                inner = list(vars(value).items())
                yield from (f"{name}.{key}.{one}" for one, it in inner if _is_code_in(folder, it))


def _settings_of_event_loops(model: Path) -> list[str]:
    """Return what the code of the model has set on event loops, which all requests share."""
    loops = [one for one in gc.get_objects() if isinstance(one, asyncio.AbstractEventLoop)]
    handlers = [one.get_exception_handler() for one in loops if not one.is_closed()]
    executors = [vars(one).get("_default_executor") for one in loops if hasattr(one, "__dict__")]
    names = [getattr(one, "_thread_name_prefix", "asyncio") for one in executors if one]
    return [
        *("an exception handler" for one in handlers if _is_code_in(str(model), one)),
        *("a default executor" for name in names if name != "asyncio"),
    ]


def _is_code_in(folder: str, value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__code__.co_filename.startswith(folder)


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Describe the settings of this process that are not as before."""
    return [_description(name, before.get(name), after[name]) for name in changed(before, after)]


def _description(name: str, before: Any, after: Any) -> str:
    new = [one for one in after if one not in before] if isinstance(after, list) and before else []
    return f"{name} has {new} as well" if new else f"{name} is {after!r}"


def held_by_process(folder: Path) -> Held:
    """Describe what this process holds, by kind.

    Args:
        folder: The folder in which the process works, with its folder for temporary files.
    """
    gc.collect()
    sizes = dict(_sizes(folder))
    loggers = [logging.root, *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    return {
        "threads": Counter(_threads()),
        "tasks": Counter(unfinished_tasks()),
        "delayed calls": Counter(_delayed_calls()),
        "child processes": Counter(_child_processes()),
        "open files and connections": Counter(_open_files()),
        "files": Counter(sizes.keys()),
        "bytes in files": Counter(sizes),
        "exit functions": Counter({"that of `atexit`": atexit._ncallbacks()}),
        "log handlers": Counter(str(one) for logger in loggers for one in logger.handlers),
        "log filters": Counter(str(one) for logger in loggers for one in logger.filters),
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
            remaining.append(f"there are {count} more {kind}, such as {newest}")
    return remaining


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the files and folders in a folder, with the sizes of files."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it was temporary
            size = path.stat().st_size if path.is_file() else 0
            yield str(path.relative_to(folder)), size


def _threads() -> list[str]:
    """Return the names of threads; those of one thread pool count as one, as pools grow slowly."""
    names = [thread.name for thread in threading.enumerate()]
    pools = {name.rpartition("_")[0] for name in names if re.search(r"_\d+$", name)}
    return [*pools, *(name for name in names if not re.search(r"_\d+$", name))]


def unfinished_tasks() -> list[str]:
    """Return the names of the functions that run as tasks of an event loop."""
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]
    return [getattr(one.get_coro(), "__qualname__", "a task") for one in tasks if not one.done()]


def _delayed_calls() -> list[str]:
    """Return the functions that an event loop calls later."""
    handles = [one for one in gc.get_objects() if isinstance(one, asyncio.TimerHandle)]
    return [
        getattr(getattr(one, "_callback", None), "__qualname__", "a function")
        for one in handles
        if not one.cancelled()
    ]


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
