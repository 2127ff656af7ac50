"""Checking the contract: runs `tests/contract` and says of each rule whether it holds."""

import json
import os
import shutil
import textwrap
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import click
import pytest

from .project import ROOT, ProjectError, require_checkout

CONTRACT = ROOT / "tests" / "contract"
SIGNS = {
    "holds": ("✓", "green"),
    "broken": ("✗", "red"),
    "unchecked": ("?", "yellow"),
    "skipped": ("-", "yellow"),
}


def verify_source(only: Sequence[str] = (), *, as_json: bool = False) -> int:
    """Check the source tree, by way of a model freshly logged into a throw-away store.

    Args:
        only: The names of the rules to check; all when there are none.
        as_json: Print one JSON object, `{"rules": [{"name", "holds", "why", "mend", "result",
            "seen"}, …]}`, instead of a line for each rule.

    Returns:
        The exit status: 0 when every rule holds, 1 when one does not or cannot be checked.
    """
    require_checkout()
    begun = time.monotonic()
    if not as_json:
        click.echo("Logging a fresh model and checking it with the offline LLM …\n")
    with original_stdout() as terminal:
        reporter = RuleReporter(StringIO() if as_json else terminal, only)
        status = run_pytest(groups_of_rules(), reporter)
    if unknown := set(only) - set(reporter.known):
        raise ProjectError(
            f"No rule is named {', '.join(unknown)}; there are {', '.join(reporter.known)}."
        )
    if as_json:
        click.echo(json.dumps({"rules": list(reporter.findings.values())}, indent=2))
    else:
        click.echo(f"\n{reporter.summary()} ({time.monotonic() - begun:.0f} s)")
    return 0 if status == pytest.ExitCode.OK else 1


def run_pytest(files: list[Path], reporter: object) -> int:
    """Run test files with pytest, of which only the reporter is heard, unless it breaks down."""
    options = [f"--rootdir={ROOT}", "--override-ini=addopts=", "-p", "no:cacheprovider"]
    with redirect_stdout(StringIO()) as printed:
        status = pytest.main([*options, *map(str, files)], plugins=[reporter])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        click.echo(printed.getvalue())
    return status


def groups_of_rules() -> list[Path]:
    """The files of the contract, the model first: without one there is nothing else to check."""
    return sorted(CONTRACT.glob("test_*.py"), key=lambda path: (path.stem != "test_model", path))


@contextmanager
def original_stdout() -> Generator[TextIO]:
    """The terminal as it is now; while tests run, pytest keeps stdout for itself."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as terminal:
        yield terminal


class RuleReporter:
    """A pytest plugin that prints a line for each rule as soon as its last test has run.

    What it prints comes from the `rule` property that `tests/contract/conftest.py` gives to
    each report: name, holds, why, mend, result (a key of `SIGNS`) and seen.
    """

    def __init__(self, terminal: TextIO, only: Sequence[str]) -> None:
        self.terminal = terminal
        self.only = only
        self.known: list[str] = []
        self.width = min(shutil.get_terminal_size().columns, 100)
        self.tests_left: Counter[str] = Counter()
        self.findings: dict[str, dict[str, str]] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            click.echo(report.longreprtext, self.terminal)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        markers = ((item, item.get_closest_marker("rule")) for item in items)
        names = {item: marker.args[0].name for item, marker in markers if marker}
        self.known = list(dict.fromkeys(names.values()))
        items[:] = [item for item in items if not self.only or names.get(item) in self.only]
        self.tests_left.update(names[item] for item in items if item in names)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        finding: Any = dict(report.user_properties).get("rule")
        if finding is None:
            return
        name = finding["name"]
        if self.findings.setdefault(name, finding)["result"] == "holds":
            self.findings[name] = finding
        if report.when == "teardown":
            self.tests_left[name] -= 1
            if not self.tests_left[name]:
                self._echo(self.findings[name])

    def _echo(self, finding: dict[str, str]) -> None:
        sign, color = SIGNS[finding["result"]]
        text = finding["holds" if finding["result"] in ("holds", "broken") else "seen"]
        self._echo_wrapped(f"{sign} {finding['name']:<24}", text, fg=color)
        if finding["result"] == "broken":
            for label in ("seen", "why", "mend"):
                self._echo_wrapped(f"    {label:<6}", finding[label])

    def _echo_wrapped(self, label: str, text: str, fg: str | None = None) -> None:
        lines = textwrap.wrap(text, max(self.width - len(label), 20)) or [""]
        indented = ("\n" + " " * len(label)).join(lines)
        click.echo(click.style(label, fg=fg) + indented, self.terminal)

    def summary(self) -> str:
        """How many rules hold, and which do not or could not be checked."""
        names: dict[str, list[str]] = {result: [] for result in SIGNS}
        for name, finding in self.findings.items():
            names[finding["result"]].append(name)
        sentence = f"{len(names['holds'])} of {len(self.findings)} rules hold"
        if names["broken"]:
            sentence += f"; broken: {', '.join(names['broken'])}"
        if names["unchecked"]:
            sentence += f"; not checked: {', '.join(names['unchecked'])}"
        if names["skipped"]:
            sentence += f"; skipped: {', '.join(names['skipped'])}"
        return sentence + "."
