"""Matches files with .dockerignore; see https://docs.docker.com/build/concepts/context/."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
TOKEN = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]]+])")


def is_ignored(file: str, lines: Iterable[str]) -> bool:
    """Return whether the last pattern that matches a file, or a folder of it, excludes it.

    Args:
        file: A path relative to the context of the build.
        lines: The lines of .dockerignore.
    """
    ignored = False
    for line in map(str.strip, lines):
        is_pattern = line and not line.startswith("#")
        if is_pattern and matches(file, line.removeprefix("!").strip()):
            ignored = not line.startswith("!")
    return ignored


def matches(file: str, pattern: str) -> bool:
    """Return whether a pattern matches a file or one of its folders."""
    path = PurePosixPath(file)
    expression = re.compile(_expression(pattern.strip("/")))
    return any(map(expression.fullmatch, [str(path), *map(str, path.parents)]))


def _expression(pattern: str) -> str:
    """Translate a pattern into a regular expression."""
    parts = TOKEN.split(str(PurePosixPath(pattern)))
    return "".join(
        WILDCARDS.get(part) or (part if TOKEN.fullmatch(part) else re.escape(part))
        for part in parts
    )
