"""How pytest tells of rules: in words instead of tracebacks, and to `verify` as they come."""

import json
import textwrap
from collections.abc import Generator, Iterable
from dataclasses import asdict
from pathlib import Path

import pytest

from .errors import described
from .rules import NoModelError, Rule

LONGEST_SEEN = 1000


class RuleReporter:
    """A pytest plugin that turns the outcome of each test into a finding about its rule.

    Args:
        only: The names of the rules to check; all when there are none.
        findings: A file that gets one line of JSON for each event, as it happens: at first
            `{"rules": [{"name", "holds", "why", "mend", "tests"}, …]}` of the rules to check and
            `{"known": [NAME, …]}` of all; then `{"started": NAME}` before each test, and
            `{"name", "result", "seen", "mend"}` after it. A result is `holds`, `broken`,
            `unchecked` (there is nothing to check it on) or `skipped` (it does not apply).
            `{"problem": text}` comes when the tests themselves cannot be run.
    """

    def __init__(self, only: Iterable[str], findings: Path | None) -> None:
        self.only = frozenset(only)
        self.findings = findings

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        rules = {item: rule for item in items if (rule := rule_of(item))}
        self.write(known=sorted({rule.name for rule in rules.values()}))
        if self.only:
            items[:] = [item for item in items if item in rules and rules[item].name in self.only]
        names = [rules[item].name for item in items if item in rules]
        chosen = {rules[item].name: rules[item] for item in items if item in rules}
        self.write(
            rules=[asdict(rule) | {"tests": names.count(name)} for name, rule in chosen.items()]
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            lines = report.longreprtext.splitlines()
            self.write(problem=" ".join(line[1:].strip() for line in lines if line[:1] == "E"))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.write(problem=excinfo.exconly())

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if rule := rule_of(item):
            self.write(started=rule.name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        rule = rule_of(item)
        if rule and (call.when == "call" or call.excinfo):
            error = call.excinfo.value if call.excinfo else None
            result, seen = outcome(error)
            mend = getattr(error, "mend", None) or rule.mend
            self.write(name=rule.name, result=result, seen=seen, mend=mend)
            if result in ("broken", "unchecked"):
                parts = asdict(rule) | {"seen": seen, "mend": mend}
                labels = ("name", "holds", "seen", "why", "mend")
                report.longrepr = "\n".join(f"{label:<6}{parts[label]}" for label in labels)
        return report

    def write(self, **event: object) -> None:
        """Add a line to the findings."""
        if self.findings:
            with self.findings.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")


def rule_of(item: pytest.Item) -> Rule | None:
    """The rule that a test checks."""
    marker = item.get_closest_marker("rule")
    return marker.args[0] if marker else None


def outcome(error: BaseException | None) -> tuple[str, str]:
    """What the end of a test says about its rule, and what the test saw."""
    if error is None:
        return "holds", ""
    told = isinstance(error, (AssertionError, NoModelError, pytest.skip.Exception))
    text = str(error).partition("\nassert ")[0] if told else described(error)
    seen = textwrap.shorten(text, LONGEST_SEEN, placeholder=" …")
    if isinstance(error, NoModelError):
        return "unchecked", seen
    if isinstance(error, pytest.skip.Exception):
        return "skipped", seen
    return "broken", seen
