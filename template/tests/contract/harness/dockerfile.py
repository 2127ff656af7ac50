"""Reads what a Dockerfile copies, runs and exposes.

See https://docs.docker.com/reference/dockerfile/.
"""

import json
import re
import shlex
from collections.abc import Iterable

from .dockerignore import matches

CONTINUED = re.compile(r"\\[ \t]*\n(?:[ \t]*(?:#.*)?\n)*")
HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?[^\n]*\n(?:.*\n)*?[ \t]*\1$", re.MULTILINE)
INSTRUCTION = re.compile(r"^[ \t]*([A-Za-z]+)[ \t]+(.+)$", re.MULTILINE)
PORT_VARIABLE = re.compile(r"\bDATABRICKS_APP_PORT[= ](\S+)")
FLAG = re.compile(r"--([\w-]+)(?:=\S*)?\s+")


class Dockerfile:
    """The instructions of a Dockerfile.

    Args:
        text: The text of the file.

    Attributes:
        instructions: Their names, in upper case, and their arguments, in order.
    """

    def __init__(self, text: str) -> None:
        joined = CONTINUED.sub(" ", HEREDOC.sub("<<", text))
        self.instructions = [
            (name.upper(), arguments.strip()) for name, arguments in INSTRUCTION.findall(joined)
        ]

    def arguments_of(self, name: str) -> list[str]:
        """Return the arguments of all instructions with a name."""
        return [arguments for one, arguments in self.instructions if one == name]

    def copied_sources(self) -> list[str]:
        """Return the paths that COPY and ADD copy from the folder of the repository.

        They may be patterns. Variables, URLs and texts in the Dockerfile are left out.
        """
        return [
            source
            for arguments in [*self.arguments_of("COPY"), *self.arguments_of("ADD")]
            for source in _sources(arguments)
            if not re.search(r"\$|<<|://|^git@", source)
        ]

    def last_command(self) -> list[str]:
        """Return the words of the program that a container starts, with its options."""
        last = {name: words(arguments) for name, arguments in self.instructions}
        command = [*last.get("ENTRYPOINT", []), *last.get("CMD", [])]
        is_in_shell = "-c" in command[:-1]
        return words(command[command.index("-c") + 1]) if is_in_shell else command

    def port_in_variable(self) -> str | None:
        """Return the port that an environment variable sets for `serve`, or None."""
        values = (PORT_VARIABLE.search(one) for one in self.arguments_of("ENV"))
        return next((value[1] for value in values if value), None)


def words(arguments: str) -> list[str]:
    """Return the words of a command, which is a JSON list or a line of a shell."""
    try:
        parsed = json.loads(arguments)
    except ValueError:
        parsed = None
    if isinstance(parsed, list):
        return [str(one) for one in parsed]
    try:
        return shlex.split(arguments)
    except ValueError:  # its quotes are for the shell alone
        return arguments.split()


def _sources(arguments: str) -> list[str]:
    """Return the sources of one COPY or ADD, without the destination."""
    flags = []
    while flag := FLAG.match(arguments):
        flags.append(flag[1])
        arguments = arguments[flag.end() :]
    return [] if "from" in flags else words(arguments)[:-1]


def is_copied(file: str, sources: Iterable[str]) -> bool:
    """Return whether one of the sources of COPY is a file, or one of its folders.

    Args:
        file: A path relative to the folder of the build.
        sources: Paths or patterns, as in `copied_sources`.
    """
    return any(matches(file, source) for source in sources)


def option_of(command: list[str], name: str) -> str | None:
    """Return the value of an option of a command, or None without it."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == name:
            return following
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None
