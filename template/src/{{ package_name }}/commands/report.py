"""The report of `verify`: rules by subject, failures in full, and a summary."""

import json
import shutil
import sys
import textwrap
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import click

from ..ops.project import ProjectError

# If the tests of a rule have different results, the first of these is the result of the rule.
MARKS = {
    "failed": ("✗", "red"),
    "not checked": ("?", "yellow"),
    "not proven": ("?", "yellow"),
    "passed": ("✓", "green"),
    "skipped": ("-", "yellow"),
}
MAX_WIDTH = 100


@dataclass
class Finding:
    """A rule and the result of its tests; `result` is a key of `MARKS`."""

    name: str
    requirement: str
    why: str
    fix: str
    subject: str = ""
    result: str = ""
    found: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, and whether the rule passed."""
        return asdict(self) | {"passed": self.result == "passed"}


class Report:
    """Collects the results of tests, and prints them by subject while the tests run.

    Args:
        quiet: Print nothing.
        verbose: Print the full sentence of each rule.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        context = click.get_current_context(silent=True)
        is_plain = context is not None and context.color is False
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        self.has_progress = is_terminal and not quiet and not is_plain
        self.width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
        self.start_time = time.monotonic()
        self.known: list[str] = []
        self.findings: list[Finding] = []
        self.tests_left: Counter[str] = Counter()
        self.running = ""

    @property
    def passed(self) -> bool:
        """Whether every rule passed or was skipped."""
        return not self.exit_code

    @property
    def exit_code(self) -> int:
        """0 if all rules passed, 1 if one failed or was not checked, 2 if one is not proven."""
        results = {finding.result for finding in self.findings} - {"passed", "skipped"}
        if results == {"not proven"}:
            return 2
        return 1 if results else 0

    def add(self, event: dict[str, Any]) -> None:
        """Process an event of `tests/contract/harness/reporting.py`.

        The last event is `{"ended": REASON}`, when the process of the tests has ended.

        Raises:
            ProjectError: pytest cannot run the tests, or finds none.
        """
        match event:
            case {"known": []}:
                raise ProjectError(
                    "pytest found no rules in tests/contract. Check the hooks in tests/conftest.py."
                )
            case {"known": names}:
                self.known = names
            case {"rules": rules}:
                for rule in rules:
                    self.tests_left[rule["name"]] = rule.pop("tests")
                    self.findings.append(Finding(**rule))
            case {"started": name}:
                self.running = name
                self._print_progress(name)
            case {"name": name, "result": result, "found": found, "fix": fix}:
                self.running = ""
                self._add_result(name, result, found, fix)
            case {"problem": text}:
                self._clear_progress()
                raise ProjectError(f"pytest cannot run the contract. {text}")
            case {"ended": reason}:
                self._add_interrupted(reason, event.get("fix"))

    def to_json(self) -> str:
        """Return an object with `rules`: for each, a `Finding` and whether it passed."""
        rules = [finding.as_dict() for finding in self.findings]
        return json.dumps({"rules": rules}, indent=2)

    def finish(self) -> None:
        """Print the failed rules, the causes of rules that were not checked, and the summary."""
        failed = self._with_result("failed")
        for finding in failed:
            self._print_failure(finding)
        if failed:
            self.print()
        for result in ("not checked", "not proven", "skipped"):
            causes = Counter(finding.found for finding in self._with_result(result))
            for cause, count in causes.items():
                self.print(f"{count} {'rule' if count == 1 else 'rules'} {result}: {cause}")
        self.print(self.summary())
        if self._with_result("not proven"):
            self.print("hint: --allow-skipped skips the rules that are not proven")

    def summary(self) -> str:
        """Return the number of rules per result, the time, and the names of failed rules."""
        counts = Counter(finding.result for finding in self.findings)
        order = ("failed", "passed", "skipped", "not checked", "not proven")
        parts = [f"{counts[result]} {result}" for result in order if counts[result]]
        text = f"{', '.join(parts)} in {time.monotonic() - self.start_time:.0f} s"
        failed = ", ".join(finding.name for finding in self._with_result("failed"))
        return f"{text}: {failed}" if failed else text

    def _with_result(self, result: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.result == result]

    def _add_result(self, name: str, result: str, found: str, fix: str | None = None) -> None:
        """Add the result of a test to its rule."""
        finding = next(finding for finding in self.findings if finding.name == name)
        order = list(MARKS)
        if not finding.result or order.index(result) < order.index(finding.result):
            finding.result, finding.found, finding.fix = result, found, fix or finding.fix
        self.tests_left[name] -= 1
        self._print_subject_if_complete(finding.subject)

    def _add_interrupted(self, reason: str, fix: str | None) -> None:
        """Add results for the tests that did not run because one of them ended the process."""
        cause = f"{reason[0].lower()}{reason[1:].rstrip('.')}"
        for finding in self.findings:
            while self.tests_left[finding.name] > 0:
                if finding.name == self.running:
                    self._add_result(finding.name, "failed", reason, fix)
                else:
                    self._add_result(finding.name, "not checked", cause)

    def _print_subject_if_complete(self, subject: str) -> None:
        findings = [finding for finding in self.findings if finding.subject == subject]
        if any(self.tests_left[finding.name] > 0 for finding in findings):
            return
        self._clear_progress()
        if self.verbose:
            self._print_sentences(findings)
        else:
            self._print_columns(subject, findings)

    def _print_columns(self, subject: str, findings: list[Finding]) -> None:
        """Print the names of rules in as many columns as fit."""
        label_width = 9
        cell_width = 2 + max(22, *(len(finding.name) for finding in findings))
        columns = max(1, (self.width - label_width + 1) // cell_width)
        for start in range(0, len(findings), columns):
            row = findings[start : start + columns]
            cells = (f"{_mark(finding)} {finding.name:<{cell_width - 2}}" for finding in row)
            label = "" if start else {"llm": "LLM"}.get(subject, subject)
            self.print(f"{label:<{label_width}}{''.join(cells)}".rstrip())

    def _print_sentences(self, findings: list[Finding]) -> None:
        for finding in findings:
            is_unchecked = finding.result in ("not checked", "not proven", "skipped")
            text = f"{finding.result}: {finding.found}" if is_unchecked else finding.requirement
            self.print(_mark(finding) + self._wrap(f"  {finding.name:<22}", text)[1:])

    def _print_failure(self, finding: Finding) -> None:
        self.print()
        self.print(click.style(f"✗ {finding.name}", fg="red", bold=True))
        self.print(self._wrap("  ", finding.requirement))
        for label in ("found", "why", "fix"):
            self.print(self._wrap(f"  {label:<7}", getattr(finding, label)))

    def _wrap(self, label: str, text: str) -> str:
        width, indent = max(self.width, len(label) + 20), " " * len(label)
        return textwrap.fill(text, width, initial_indent=label, subsequent_indent=indent)

    def _print_progress(self, name: str) -> None:
        if self.has_progress:
            done = sum(not self.tests_left[finding.name] for finding in self.findings)
            text = f"{done} of {len(self.findings)} rules, checking {name}"
            click.echo(f"\r\x1b[K{text[: self.width - 1]}", nl=False)

    def _clear_progress(self) -> None:
        if self.has_progress:
            click.echo("\r\x1b[K", nl=False)

    def print(self, text: str = "") -> None:
        """Print a line, unless the report is quiet."""
        if not self.quiet:
            click.echo(text)


def _mark(finding: Finding) -> str:
    mark, color = MARKS[finding.result]
    return click.style(mark, fg=color)
