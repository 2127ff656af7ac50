"""Holds a conversation with the agent in the terminal."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from io import TextIOWrapper
from uuid import uuid4

import click

from ..ops.project import ProjectError
from ..runtime.items import Item
from .ask import print_answer, request_for
from .errors import print_error


def hold_conversation() -> bool:
    """Answer each line of standard input; each request contains the conversation before it.

    Returns:
        Whether all turns succeeded.
    """
    conversation: list[Item] = []
    has_failed = False
    context = {"conversation_id": str(uuid4())}
    for line in read_lines():
        turn: list[Item] = [{"role": "user", "content": line}]
        try:
            print_answer(request_for(conversation + turn, context=context), turn)
        except KeyboardInterrupt:
            if len(turn) == 1:
                continue  # nothing of the answer arrived
        except BrokenPipeError:
            raise  # nobody reads the answers
        except Exception as error:
            print_error(error)
            has_failed = True
            continue  # without this turn, which would fail again
        conversation += turn
    return not has_failed


def read_lines() -> Iterator[str]:
    """Yield what the user writes, until `exit` or the end of the input.

    Raises:
        ProjectError: The input is not UTF-8 text.
    """
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 (edits lines in `input` and recalls them)
        click.secho("Ctrl+C stops an answer. Ctrl+D or `exit` ends the conversation.", dim=True)
    elif isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    while True:
        try:
            line = input("> " if is_terminal else "").strip()  # ast-grep-ignore: print-call
        except KeyboardInterrupt:
            click.echo()
            continue
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise ProjectError("Standard input is not UTF-8 text.") from error
        if line == "exit":
            return
        if line:
            yield line
