"""Loads a model as a server does: in another process and folder, without credentials."""

import json
import os
import subprocess
import sys
from pathlib import Path

from .observations import Observations

LOAD_PATIENCE = 80  # seconds
HARNESS = Path(__file__).parent
# The variables that a process needs to start, on Linux, macOS and Windows, and the tests' own.
KEPT_VARIABLES = ("PATH", "LANG", "SYSTEMROOT", "AGENT_UNCALLED_TOOLS")


class FreshProcess:
    """A new process that loads a model and calls it with its own input example.

    The process runs in the background.

    Args:
        model: The folder of the model.
        repository: The folder of the repository that the model was logged from.
        folder: An empty folder to run in.
    """

    def __init__(self, model: Path, repository: Path, folder: Path) -> None:
        self._result = folder / "observations.json"
        self._log = folder.with_name(f"{folder.name}.log")  # in the folder, it would be a leftover
        temporary = folder / "tmp"
        temporary.mkdir()
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        folders = {name: str(temporary) for name in ("HOME", "TMPDIR", "TEMP", "TMP")}
        settings = {
            "AGENT_LLM": "offline:/demo",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": str(HARNESS.parent),
        }
        program = f"{HARNESS.name}.fresh_process_main"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", program, model, repository, self._result],
                cwd=folder,
                env=kept | folders | settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._observations: Observations | None = None

    def end(self) -> None:
        """End the process if it still runs, such as after `pytest --exitfirst`."""
        self._process.kill()
        self._process.wait()

    def observations(self) -> Observations:
        """Wait for the process, and return what the model did."""
        if self._observations is None:
            self._observations = self._read_observations()
        return self._observations

    def _read_observations(self) -> Observations:
        try:
            status = self._process.wait(LOAD_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return Observations(error=f"It did not finish within {LOAD_PATIENCE} s.")
        if not self._result.exists():
            return Observations(error=f"The process ended with status {status}{self._reason()}.")
        return Observations(**json.loads(self._result.read_text(encoding="utf-8")))

    def _reason(self) -> str:
        """Return the last line that the process wrote, which is the error that ended it."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        written = [line.strip() for line in lines if line.strip()]
        return f": {written[-1].rstrip('.')}" if written else ""
