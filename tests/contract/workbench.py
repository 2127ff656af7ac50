"""Runs the contract of a generated project repeatedly, without starting Python each time."""

import json
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.logged_model import LoggedModel
from tests.helpers.agents import Agent, clean_environment, parts_of_rules

PROGRAM = Path(__file__).with_name("workbench_program.py")
PATIENCE = 120  # seconds without an event of the contract
GROUPS = (
    *("model", "loading", "requests", "answers", "users", "tools", "streams"),
    *("llm", "traces", "server", "source", "files", "bundle"),
)


@dataclass(frozen=True)
class Found:
    """The result of one rule, as in `commands/report.py` of a generated project."""

    result: str
    found: str
    requirement: str
    fix: str


class Workbench:
    """Runs the contract of an agent in forks of one process."""

    def __init__(self, agent: Agent, process: subprocess.Popen[str]) -> None:
        self.agent = agent
        # Fork the process that loads a model elsewhere, instead of starting Python.
        self.forks_programs = True
        self._process = process

    def findings(self, *rules: str, model: Path | None = None) -> dict[str, Found]:
        """Check rules of the contract, as `verify` does.

        Args:
            rules: The names of the rules; all by default.
            model: The folder of a logged model to check instead of the source.

        Returns:
            The results by the names of the rules.
        """
        options = [f"--rule={name}" for name in rules]
        if model:
            options.append(f"--model-path={model}")
        parts = parts_of_rules(self.agent.folder)
        groups = [part for part in GROUPS if not rules or part in {parts[name] for name in rules}]
        return self._findings(options, groups)

    def log(self, folder: Path) -> LoggedModel:
        """Log the agent, and keep its model in an empty folder."""
        status, printed = self._do("log", [self.agent.package.name, str(folder)], folder)
        assert status == 0, printed
        return LoggedModel(self.agent, folder / "model")

    def rules(self) -> dict[str, Found]:
        """Return all rules in order, without checking them."""
        return self._findings(["--collect-only"], GROUPS)

    def noticed_by_mlflow(self, *, has_provider: bool = False) -> str | None:
        """Return the step at which MLflow alone fails; None if no step fails.

        Args:
            has_provider: Whether OpenAI answers, for agents with a client of their own.
        """
        with tempfile.TemporaryDirectory() as name:
            notes = Path(name, "notes.txt")
            arguments = [self.agent.package.name, name, str(notes), "provider" * has_provider]
            self._do("mlflow", arguments, Path(name))
            last = notes.read_text(encoding="utf-8").split("\n")[-2]
        return None if last == "end" else last

    def _findings(self, options: Sequence[str], groups: Sequence[str]) -> dict[str, Found]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            output, findings = folder / "output.txt", folder / "findings.json"
            # What is turned off here takes time, and the report of a rule does not need it.
            faster = ("--assert=plain", "--tb=native", "--disable-plugin-autoload")
            settings = ("--override-ini=addopts=", "-p", "no:cacheprovider", *faster)
            folders = (f"--rootdir={self.agent.folder}", f"--basetemp={folder / 'pytest'}")
            files = [f"tests/contract/test_{group}.py" for group in groups]
            arguments = [*folders, *settings, "--json-events", *options, *files]
            status, printed = self._do("contract", arguments, folder)
            output.write_text(printed, encoding="utf-8")
            how = ended(status)
            _, printed = self._do(
                "report", [self.agent.package.name, str(output), how, str(findings)], folder
            )
            assert findings.exists(), printed
            found = json.loads(findings.read_text(encoding="utf-8"))
        return {name: Found(**finding) for name, finding in found.items()}

    def _do(self, what: str, arguments: list[str], folder: Path) -> tuple[int | None, str]:
        """Run a job, and return the exit status of its process and its output."""
        printed = folder / "printed.txt"
        job = {
            "do": what,
            "arguments": arguments,
            "printed": str(printed),
            "seconds": PATIENCE,
            "spare_process": self.forks_programs and what in ("contract", "mlflow"),
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], printed.read_text(encoding="utf-8", errors="replace")


def ended(status: int | None) -> str:
    """Describe the end of a run in the words of `verify`."""
    if status is None:
        return f"The agent did not finish within {PATIENCE} s."
    return f"The agent ended the process with status {status}."


@contextmanager
def start_workbench(agent: Agent) -> Generator[Workbench]:
    """Start a workbench for an agent, and stop it when the block ends."""
    with subprocess.Popen(
        ["uv", "run", "--no-sync", "python", str(PROGRAM)],
        cwd=agent.folder,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Workbench(agent, process)
