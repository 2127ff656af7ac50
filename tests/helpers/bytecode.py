"""Compiles the libraries of agents once instead of once per environment.

uv links all files of a package from its cache into an environment, so bytecode beside a module in
the cache comes along. Without it, the first import of MLflow takes 10 seconds of CPU time.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.agents import Agent
from tests.helpers.template import ROOT

# These rules import most of what an agent, its server and its tests need.
RULES = ("--only=accepted", "--only=openai-client")


def share_bytecode(agent: Agent) -> None:
    """Add the bytecode of an agent's libraries to uv's cache, unless the cache contains it.

    A cache outside this repository stays as it is.
    """
    cache = Path(os.environ["UV_CACHE_DIR"])
    (packages,) = agent.folder.glob(".venv/lib/*/site-packages")
    if not cache.is_relative_to(ROOT) or (packages / "mlflow/__pycache__").exists():
        return
    agent.check("weather-agent", "verify", *RULES)
    cached = folders_by_module(cache)
    for bytecode in packages.glob("**/__pycache__/*.pyc"):
        module = bytecode.parents[1] / f"{bytecode.name.partition('.')[0]}.py"
        if module.exists() and (folder := cached.get(module.stat().st_ino)):
            link(bytecode, folder / "__pycache__" / bytecode.name)


def folders_by_module(cache: Path) -> dict[int, Path]:
    """Return the folder of each module in the cache, by the inode of the module."""
    return {
        entry.stat().st_ino: Path(folder)
        for folder, _, _ in os.walk(cache / "archive-v0")
        for entry in os.scandir(folder)
        if entry.name.endswith(".py")
    }


def link(source: Path, target: Path) -> None:
    """Link a file, unless the target exists."""
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        target.hardlink_to(source)


@contextmanager
def one_worker_at_a_time(folder: Path) -> Generator[None]:
    """Let the other workers of a test run, which share a folder, wait until the block ends."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
