"""The programs that an agent starts, and those that its image lacks."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SHELLS = {"bash", "dash", "sh"}
# Those of Debian's smallest image.
BASIC_PROGRAMS = {
    *SHELLS,
    *("awk", "basename", "cat", "chmod", "cp", "cut", "date", "df", "dirname", "du", "echo", "env"),
    *("expr", "false", "find", "grep", "gzip", "head", "hostname", "id", "kill", "ln", "ls"),
    *("mkdir", "mktemp", "mv", "nice", "nl", "nproc", "od", "perl", "printf", "pwd", "readlink"),
    *("realpath", "rm", "rmdir", "sed", "seq", "sleep", "sort", "stat", "tail", "tar", "tee"),
    *("test", "timeout", "touch", "tr", "true", "uname", "uniq", "wc", "which", "whoami", "xargs"),
}


def program_of(command: Any) -> str:
    """Return the program that a command starts: its path, or its name on PATH.

    Args:
        command: A path, or a list of a path and arguments, as `subprocess.Popen` accepts them.
    """
    parts = [command] if isinstance(command, str | bytes | os.PathLike) else [*command]
    words = [os.fsdecode(part) for part in parts]
    if len(words) > 2 and Path(words[0]).name in SHELLS and words[1] == "-c":
        words = _words(words[2])
    return words[0] if words else ""


def _words(line: str) -> list[str]:
    """Return the words of a shell's command, without variables that are set for it."""
    try:
        words = shlex.split(line)
    except ValueError:  # its quotes are for the shell alone
        words = line.split()
    return [word for word in words if not re.match(r"\w+=", word)]


def missing_in_image(programs: Iterable[str], model: Path, dockerfile: str) -> Iterator[str]:
    """Yield the programs of this machine that the image lacks.

    Args:
        programs: Names on PATH, and paths.
        model: The folder of the model, which may contain programs, as Python packages may.
        dockerfile: The text of the Dockerfile, which names the programs that it installs.
    """
    for program in dict.fromkeys(programs):
        name, found = Path(program).name, shutil.which(program)
        is_basic = name in BASIC_PROGRAMS or name.startswith("python")
        is_own = found and any(map(Path(found).is_relative_to, (model, sys.prefix)))
        is_installed = re.search(rf"\b{re.escape(name)}\b", dockerfile)
        if found and not is_basic and not is_own and not is_installed:
            yield name
