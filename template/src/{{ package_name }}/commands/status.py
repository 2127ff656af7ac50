"""Shows how the agent differs from its template: `status`."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from ..ops.project import PROJECT_NAME, ROOT, require_checkout
from ..ops.template.comparison import FileStatus, Status, compare, difference
from ..ops.template.scratch import scratch_repository

MEANINGS = {
    "edited": "you changed it, and updates merge it",
    "drifted": "you changed a file of the template; updates merge it",
    "missing": "you deleted it, and it stays deleted",
    "renamed": "changes of the template arrive only with `update`",
    "retired": "the newest release no longer has it",
    "new": "the newest release adds it",
}


def run_status(file: Path | None, *, as_json: bool) -> int:
    """Print the differences, or that of one file.

    Args:
        file: Show the difference of this file.
        as_json: Whether to print JSON.

    Returns:
        The exit code: 1 if a file of the template was changed, or if one that updates change was
        deleted or renamed.
    """
    require_checkout()
    with scratch_repository(ROOT) as scratch:
        if file:
            path = Path(os.path.relpath(file, ROOT)).as_posix()
            click.echo(difference(ROOT, scratch.folder.parent, path), nl=False)
            return 0
        status = compare(ROOT, scratch)
    click.echo(to_json(status) if as_json else describe(status))
    return int(status.has_drifted)


def to_json(status: Status) -> str:
    """Return the status as JSON."""
    return json.dumps(asdict(status), indent=2, ensure_ascii=False)


def describe(status: Status) -> str:
    """Return the status as lines of text."""
    lines = [f"Template {status.version} of {status.source}"]
    if status.behind:
        count = f"{len(status.behind)} release{'s' * (len(status.behind) > 1)}"
        lines.append(f"{count} behind {status.newest}. Run `uv run {PROJECT_NAME} update --check`.")
    for state, meaning in MEANINGS.items():
        files = [one for one in status.files if one.state == state]
        if files:
            lines += ["", f"{state}: {meaning}", *map(_line, files)]
    same = sum(one.state == "same" for one in status.files)
    return "\n".join([*lines, "", f"{same} files are the same."])


def _line(file: FileStatus) -> str:
    return f"  {file.path} → {file.renamed_to}" if file.renamed_to else f"  {file.path}"
