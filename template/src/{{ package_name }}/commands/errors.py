"""Prints the errors of commands."""

import shlex
import sys
from pathlib import Path
from traceback import extract_tb, format_exception

import click

from ..ops.project import PACKAGE, PROJECT_NAME, ROOT


def print_error(error: Exception) -> None:
    """Print an error in one line, and a hint if it is unexpected.

    With `--debug`, print its traceback instead.
    """
    if click.get_current_context().find_root().params["debug"]:
        click.echo("".join(format_exception(error)), err=True)
        return
    click.secho(f"error: {message_of(error)}", fg="red", err=True)
    if not is_expected(error):
        hint = f"see {innermost_line(error)}, or run `{debug_command()}` for the traceback"
        click.echo(f"hint: {hint}", err=True)


def debug_command() -> str:
    """Return this command with `--debug`, which prints the traceback of an error."""
    return shlex.join(["uv", "run", PROJECT_NAME, "--debug", *sys.argv[1:]])


def message_of(error: Exception) -> str:
    """Return the message of an error in one line, with its type if it is unexpected."""
    text = str(error) if is_expected(error) else f"{type(error).__name__}: {error}"
    return " ".join(text.split()).removesuffix(":")


def is_expected(error: Exception) -> bool:
    """Return whether the package defines the error, so that its message says what to do."""
    return type(error).__module__.startswith(f"{PACKAGE.name}.")


def innermost_line(error: Exception) -> str:
    """Return the innermost line of the package in the traceback of an error."""
    lines = reversed(extract_tb(error.__traceback__))
    line = next(line for line in lines if line.filename.startswith(str(PACKAGE)))
    return f"{Path(line.filename).relative_to(ROOT)}, line {line.lineno}"
