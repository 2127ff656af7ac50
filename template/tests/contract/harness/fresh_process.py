"""Loads a model as a server does: in another process and folder, without credentials."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .observations import Observations, progress_file

PATIENCE = 80  # seconds without progress
STEP = 0.1  # seconds
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
        report_progress: Called when the process has made progress.
    """

    def __init__(
        self, model: Path, repository: Path, folder: Path, report_progress: Callable[[], None]
    ) -> None:
        self._report_progress = report_progress
        self._result = folder / "observations.json"
        self._progress = progress_file(folder)
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
        has_ended = self._wait()
        if self._result.exists():
            return Observations(**json.loads(self._result.read_text(encoding="utf-8")))
        if not has_ended:
            return Observations(error=f"It made no progress for {PATIENCE} s.")
        status = self._process.returncode
        return Observations(error=f"The process ended with status {status}{self._reason()}.")

    def _wait(self) -> bool:
        """Wait for the end of the process, and kill it if it makes no progress.

        Returns:
            Whether it has ended by itself.
        """
        answers, idle = 0, 0.0
        while self._process.poll() is None:
            if idle > PATIENCE:
                self.end()
                return False
            time.sleep(STEP)
            idle += STEP
            if (now := self._answers()) != answers:
                answers, idle = now, 0.0
                self._report_progress()
        return True

    def _answers(self) -> int:
        """Return how many answers of the model the process has reported."""
        return self._progress.stat().st_size if self._progress.exists() else 0

    def _reason(self) -> str:
        """Return the last line that the process wrote, which is the error that ended it."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        written = [line.strip() for line in lines if line.strip()]
        return f": {written[-1].rstrip('.')}" if written else ""
