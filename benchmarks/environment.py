"""The environment in which benchmarks run their commands."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
_UV_FOLDER = ROOT / ".uv" / "bin"


def environment() -> dict[str, str]:
    """Return the variables for a command of a benchmark, such as `uv sync` or `copier copy`.

    As in the Makefile, uv is the one on PATH, or else the one in `.uv/`, which `make uv` installs
    if it is missing. Copier is the one of the environment that runs the benchmark. As in a user's
    terminal, no virtual environment is active, and Python writes bytecode.
    """
    if shutil.which("uv") is None and not (_UV_FOLDER / "uv").exists():
        subprocess.run(["make", "--quiet", "uv"], cwd=ROOT, check=True)
    folders = (os.environ["PATH"], str(_UV_FOLDER), sysconfig.get_path("scripts"))
    dropped = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PATH": os.pathsep.join(folders)}


def remove_cached_bytecode() -> None:
    """Remove the bytecode that `make test` adds to uv's cache, and users' caches do not contain."""
    for folder in (ROOT / ".uv" / "cache").glob("archive-v0/**/__pycache__"):
        shutil.rmtree(folder)
