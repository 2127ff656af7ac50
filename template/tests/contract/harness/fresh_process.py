"""Loading a model as a server does: nothing of this process, this folder, these credentials."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .fresh_process_main import Seen

PROGRAM = Path(__file__).with_name("fresh_process_main.py")
PATIENCE = 60  # seconds
# What a process needs to start at all, on Linux, macOS and Windows.
KEPT_VARIABLES = ("PATH", "LANG", "SYSTEMROOT")


@dataclass(frozen=True)
class FreshAnswer:
    """What a model did in a new process, and the error that it ended in, if any."""

    seen: Seen = field(default_factory=Seen)
    error: str = ""


class FreshProcess:
    """A new process that loads a model and asks it its own input example, while others go on.

    Args:
        model: The folder of the model.
        repository: The folder of the repository that the model came from.
        folder: An empty folder to run in.
    """

    def __init__(self, model: Path, repository: Path, folder: Path) -> None:
        self._result = folder / "seen.json"
        temporary = folder / "tmp"
        temporary.mkdir()
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        own = {name: str(temporary) for name in ("HOME", "TMPDIR", "TEMP", "TMP")}
        settings = {"AGENT_LLM": "offline:/demo", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, model, repository, self._result],
            cwd=folder,
            env=kept | own | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def answer(self) -> FreshAnswer:
        """What the model did, once the process has ended."""
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return FreshAnswer(error=f"It was still busy after {PATIENCE} s.")
        if not self._result.exists():
            return FreshAnswer(error=f"The process ended with status {status}.")
        seen = Seen(**json.loads(self._result.read_text(encoding="utf-8")))
        return FreshAnswer(seen, "" if seen.answered else seen.error)
