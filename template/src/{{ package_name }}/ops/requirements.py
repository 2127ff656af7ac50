"""The model's requirements, pinned from the lock file."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement

from .project import ROOT, ProjectError

# Models are served on Linux, whatever system they were logged on.
_SERVER = {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"}
# `--no-dev` overrides UV_DEV.
_EXPORT = (
    "export --locked --no-default-groups --no-dev --all-extras "
    "--no-emit-project --no-hashes --no-annotate --no-header --quiet"
)
_FIXES = {
    "needs to be updated|Unable to find lockfile": " Run `uv lock` and commit it.",
    "Failed to parse `uv.lock`": " Resolve its merge conflict, or delete it and run `uv lock`.",
}


def locked_requirements() -> list[str]:
    """Return a pin for every package that the agent needs on a server, from `uv.lock`.

    Newer versions of MLflow can read the lock file, but also copy `pyproject.toml` into the model.
    Restoring the model's environment then fails, because the sources named there are missing. The
    export gives the same pins with every version of MLflow.

    Raises:
        ProjectError: uv is missing or fails, or `uv.lock` contains local paths.
    """
    uv = shutil.which(os.environ.get("UV") or "uv") or shutil.which("uv")
    if uv is None:
        raise ProjectError("uv was not found. Install it: `pip install uv`.")
    # The options override UV_WORKING_DIR and UV_PROJECT.
    here = [f"--directory={ROOT}", f"--project={ROOT}"]
    export = subprocess.run(
        [uv, *here, *_EXPORT.split()],
        env=os.environ | {"COLUMNS": "9999"},  # uv breaks lines of errors
        capture_output=True,
        text=True,
        check=False,
    )
    if export.returncode != 0:
        reason = reason_in(export.stderr)
        fix = next((fix for words, fix in _FIXES.items() if re.search(words, reason)), "")
        raise ProjectError(f"uv cannot export uv.lock ({reason}).{fix}")
    return list(for_server(export.stdout.splitlines()))


def reason_in(stderr: str) -> str:
    """Return uv's error and its causes, without log messages, excerpts and hints."""
    lines = re.findall(r"^(?:error|\s+(?:cause|Caused by)): (.*)", stderr, re.MULTILINE)
    return ": ".join(lines or [stderr.strip()]).removesuffix(".")


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
