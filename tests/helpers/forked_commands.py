"""Runs an agent's commands quickly: one process imports MLflow and forks for each command."""

import json
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.agents import Agent, clean_environment

PROGRAM = Path(__file__).with_name("forked_commands_program.py")


class ForkedCommands:
    """Runs commands of an agent; each has its own modules, environment and exit code."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._stdout, self._stderr = folder / "stdout.txt", folder / "stderr.txt"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the agent's command with arguments, such as `ask` and a question; it may fail."""
        job = {
            "arguments": arguments,
            "environment": clean_environment() | environment,
            "stdout": str(self._stdout),
            "stderr": str(self._stderr),
        }
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(job), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        printed = (path.read_text(encoding="utf-8") for path in (self._stdout, self._stderr))
        return subprocess.CompletedProcess(arguments, status, *printed)


@contextmanager
def forked_commands(
    agent: Agent, folder: Path, prelude: Path | str = "", modules: Sequence[str] = ()
) -> Generator[ForkedCommands]:
    """Start the process that runs the commands of an agent.

    Args:
        agent: The agent.
        folder: Where the output of the commands is stored.
        prelude: A Python file to run before each command.
        modules: Other slow modules to import once.
    """
    with subprocess.Popen(
        ["uv", "run", "--no-sync", "python", PROGRAM, agent.package.name, prelude, *modules],
        cwd=agent.folder,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield ForkedCommands(process, folder)
