"""Draws `docs/demo.svg`, the README's terminal session, from a real session in a fresh agent."""

import os
import pty
import re
import shlex
import subprocess
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "demo.svg"
WIDTH = 100
# Commands and their expected exit codes.
SESSION = {
    'uv run weather-agent ask "What time is it in Tokyo?"': 0,
    "uv run weather-agent log": 0,
    "uv run weather-agent verify": 0,
    "sed -i 's/pip_requirements=requirements/pip_requirements=[\"mlflow\"]/' "
    "src/weather_agent/ops/log_model.py": 0,
    "uv run weather-agent verify --only task --only pinned-requirements": 1,
}
LONGEST = 22  # lines per command; longer output is shortened in the middle


def main() -> None:
    """Create an agent in a temporary folder, record the session and draw it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "weather-agent"
        copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
        subprocess.run([*copy, "--data=project_name=weather-agent", ROOT, folder], check=True)
        subprocess.run(["uv", "sync", "--quiet"], cwd=folder, check=True)
        session = [(line, record(line, status, folder)) for line, status in SESSION.items()]
        PICTURE.write_text(draw(session), "utf-8")
    print(f"Drew {PICTURE.relative_to(ROOT)}")


def record(line: str, status: int, folder: Path) -> str:
    """Run a command in a terminal, and return its output with colors."""
    printed: list[bytes] = []

    def read(descriptor: int) -> bytes:
        printed.append(os.read(descriptor, 1024))
        return printed[-1]

    os.environ |= {"COLUMNS": str(WIDTH), "PWD": str(folder)}
    os.environ.pop("VIRTUAL_ENV", None)
    os.chdir(folder)
    if os.waitstatus_to_exitcode(pty.spawn(shlex.split(line), read)) != status:
        raise SystemExit(f"{line} failed:\n{b''.join(printed).decode()}")
    text = b"".join(printed).decode().replace("\r\n", "\n")
    return abridged(text.replace(str(folder), "~/weather-agent"))


def abridged(text: str) -> str:
    """Shorten a long text in the middle."""
    lines = text.rstrip().split("\n")
    half = LONGEST // 2
    return text if len(lines) <= LONGEST else "\n".join([*lines[:half], "⋮", *lines[-half:]])


def draw(session: list[tuple[str, str]]) -> str:
    """Draw a session as an SVG with the reader's own monospace font."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for line, printed in session:
        console.print(Text.assemble(("$ ", "green"), (line, "bold")))
        console.print(Text.from_ansi(printed.rstrip()))
        console.print()
    svg = console.export_svg(title="weather-agent")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: Fira Code", "font-family: ui-monospace", svg)


if __name__ == "__main__":
    main()
