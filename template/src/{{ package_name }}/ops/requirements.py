"""The exact requirements of the agent, from the repository's lock file."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement

from .project import ROOT, ProjectError

# Models are served on Linux, whatever they were logged on.
_SERVER = {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"}
_EXPORT = "export --locked --no-dev --all-extras --no-emit-project --no-hashes --no-annotate"


def locked_requirements() -> list[str]:
    """Pin every package that the agent needs on a server, as `uv.lock` has it.

    MLflow would read the lock itself in its newer versions, but then it also copies
    `pyproject.toml` into the model, and restoring the model's environment fails for lack of the
    sources that file names. Exported here, the pins are the same with every version of MLflow.

    Raises:
        ProjectError: uv is missing, or `uv.lock` is missing, out of date, or names local paths.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise ProjectError("uv is needed to read uv.lock, and was not found: `pip install uv`.")
    if not (ROOT / "uv.lock").is_file():
        raise ProjectError("uv.lock is missing. Run `uv lock`, and commit the file.")
    export = subprocess.run(
        [uv, *_EXPORT.split(), "--no-header", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if export.returncode != 0:
        reason = export.stderr.strip().partition("\n")[0].removeprefix("error: ")
        raise ProjectError(f"uv could not export uv.lock ({reason}). Run `uv lock`, and commit it.")
    return list(for_server(export.stdout.splitlines()))


def for_server(lines: Iterable[str]) -> Iterator[str]:
    """Keep what applies to this Python on a server, so that each package is pinned once."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ProjectError(
                f"uv.lock names {line!r}, which only this machine has. Depend on a released "
                "package, or move the code into the agent's package."
            ) from error
        if requirement.marker is None or requirement.marker.evaluate(_SERVER):
            requirement.marker = None
            yield str(requirement)
