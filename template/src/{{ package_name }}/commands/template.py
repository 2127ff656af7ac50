"""The commands about the template. Each imports what it needs when it runs."""

import sys
from pathlib import Path

import click

from .options import exit_on_signals, not_empty


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the status of all files as JSON.")
@click.option(
    "--diff",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Show how FILE differs from the template.",
)
def status(file: Path | None, as_json: bool) -> None:
    """Show how the agent differs from its template.

    Exits with 1 if you changed a file of the template, or deleted or renamed one that updates
    change.
    """
    from .status import run_status

    if file and as_json:
        raise click.UsageError("Pass --diff or --json, not both.")
    sys.exit(run_status(file, as_json=as_json))


@click.command()
@click.option("--to", metavar="VERSION", callback=not_empty, help="Update to this version.")
@click.option("--data", multiple=True, metavar="NAME=VALUE", help="Change an answer.")
@click.option("--check", is_flag=True, help="Show what would change.")
@click.option("--no-verify", is_flag=True, help="Do not verify the agent afterwards.")
def update(to: str | None, data: tuple[str, ...], check: bool, no_verify: bool) -> None:
    """Update the agent to a newer version of its template.

    Git merges what the template has changed, so conflicts have a base for merge tools. Exits with 1
    if there are conflicts, and otherwise with the exit code of `verify`, which runs afterwards.
    """
    from .update import run_update

    if check and no_verify:
        raise click.UsageError("Pass --check or --no-verify, not both.")
    exit_on_signals()
    sys.exit(run_update(to, data, check=check, verify=not no_verify))
