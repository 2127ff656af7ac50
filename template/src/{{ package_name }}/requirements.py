"""The exact requirements of the agent, from the repository's lock file."""

import os
import shutil
import subprocess

from .project import ROOT, ProjectError


def locked_requirements() -> list[str]:
    """Export every package that the agent needs at run time, pinned, from `uv.lock`.

    MLflow would read the lock itself in its newer versions, but then it also copies
    `pyproject.toml` into the model, and restoring the model's environment fails for lack of the
    sources that file names. Exported here, the pins are the same with every version of MLflow.

    Raises:
        ProjectError: uv is missing, or `uv.lock` is missing or no longer fits `pyproject.toml`.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise ProjectError("uv is needed to read uv.lock, and was not found: `pip install uv`.")
    if not (ROOT / "uv.lock").is_file():
        raise ProjectError("uv.lock is missing. Run `uv lock`, and commit the file.")
    export = subprocess.run(
        [
            *(uv, "export", "--locked", "--no-dev", "--all-extras", "--no-emit-project"),
            *("--no-hashes", "--no-annotate", "--no-header", "--quiet"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if export.returncode != 0:
        raise ProjectError(f"uv could not read uv.lock: {export.stderr.strip()}. Run `uv lock`.")
    return export.stdout.split("\n")[:-1]
