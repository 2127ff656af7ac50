"""Loading a model as a server does: nothing of this process, this folder, these credentials."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .elsewhere import Seen

PROGRAM = Path(__file__).with_name("elsewhere.py")
PATIENCE = 60  # seconds
# What a process needs to start at all, on Linux, macOS and Windows.
KEPT_VARIABLES = ("PATH", "LANG", "SYSTEMROOT")


@dataclass(frozen=True)
class FreshAnswer:
    """What a model did in a new process, and the error that it ended in, if any."""

    seen: Seen = field(default_factory=Seen)
    error: str = ""


def answer_in_fresh_process(model: Path, repository: Path, folder: Path) -> FreshAnswer:
    """Load a model in a new process in `folder`, and ask it its own input example."""
    result = folder / "seen.json"
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    temporary = folder / "tmp"
    temporary.mkdir()
    own = {name: str(temporary) for name in ("HOME", "TMPDIR", "TEMP", "TMP")}
    settings = {"AGENT_LLM": "offline:/demo", "MLFLOW_DISABLE_TELEMETRY": "true"}
    try:
        process = subprocess.run(
            [sys.executable, PROGRAM, model, repository, result],
            cwd=folder,
            env=kept | own | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FreshAnswer(error=f"It was still busy after {PATIENCE} s.")
    seen = Seen(**json.loads(result.read_text(encoding="utf-8"))) if result.exists() else Seen()
    ended = f"The process ended with status {process.returncode}."
    return FreshAnswer(seen, "" if seen.answered else seen.error or ended)
