"""The model's requirements, pinned from the lock file."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement

from .project import ROOT, ProjectError

# Models are served on Linux, whatever system they were logged on.
_SERVER = {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"}
_EXPORT = "export --locked --no-dev --all-extras --no-emit-project --no-hashes --no-annotate"


def locked_requirements() -> list[str]:
    """Return a pin for every package that the agent needs on a server, from `uv.lock`.

    Newer versions of MLflow can read the lock file, but also copy `pyproject.toml` into the model.
    Restoring the model's environment then fails, because the sources named there are missing. The
    export gives the same pins with every version of MLflow.

    Raises:
        ProjectError: uv is missing, or `uv.lock` is missing, out of date or contains local paths.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise ProjectError("uv was not found. Install it: `pip install uv`.")
    if not (ROOT / "uv.lock").is_file():
        raise ProjectError("uv.lock is missing. Run `uv lock` and commit the file.")
    export = subprocess.run(
        [uv, *_EXPORT.split(), "--no-header", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if export.returncode != 0:
        reason = export.stderr.strip().partition("\n")[0].removeprefix("error: ")
        raise ProjectError(f"uv cannot export uv.lock ({reason}). Run `uv lock` and commit it.")
    return list(for_server(export.stdout.splitlines()))


def for_server(lines: Iterable[str]) -> Iterator[str]:
    """Yield the requirements that apply on a server with this Python, without markers."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ProjectError(
                f"uv.lock contains {line!r}, which exists only on this machine. Depend on a "
                "released package, or move the code into the agent's package."
            ) from error
        if requirement.marker is None or requirement.marker.evaluate(_SERVER):
            requirement.marker = None
            yield str(requirement)
