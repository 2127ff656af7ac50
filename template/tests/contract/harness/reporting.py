"""Reports rules instead of tests: to people in words, to `verify` as JSON records."""

import json
import os
import re
import textwrap
import traceback
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from .errors import describe_error, first_line_of_agent
from .rules import NotCheckedError, NotProvenError, Rule
from .stacks import print_stacks_regularly

TESTS = Path(__file__).parents[2]
MAX_LENGTH = 1000
# Marks a line of JSON among other output; see RFC 7464.
RECORD_SEPARATOR = "\x1e"


class RuleReporter:
    """A pytest plugin that turns the outcome of a test into the result of its rule.

    With `--json-events` it prints JSON records, each on a line after a record separator:

    - `{"known": [NAME, …]}`: all rules;
    - `{"rules": [{"name", "requirement", "why", "fix", "subject", "tests"}, …]}`: the rules to
      check, where `tests` is the number of tests;
    - `{"started": NAME}` before each test;
    - `{"name", "result", "found", "fix"}` after each test. A result is `passed`, `failed`,
      `skipped` (it does not apply), `not checked` (another rule failed) or `not proven` (the tests
      cannot check it for this agent; `--allow-skipped` makes it `skipped`);
    - `{"problem": TEXT}`: pytest cannot run the tests;
    - `{"finished": STATUS}`: the tests have ended, with the exit status of pytest;
    - `{"progress": true}` while a test takes long, and after each fixture of the session.

    It also prints the stacks of all threads at intervals, without a separator.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.only = frozenset(config.getoption("rule", None) or ())
        self.allow_skipped = config.getoption("allow_skipped", False)
        self.outcome: dict[str, str] = {}  # of the running test
        self.places: dict[str, str] = {}  # where the agent raised an error: the first rule
        self.stdout: int | None = None
        if config.getoption("json_events", False):
            capture = config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                self.stdout = os.dup(1)  # pytest redirects 1 while tests run
            print_stacks_regularly(self.stdout)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        rules = {item: rule for item in items if (rule := rule_of(item))}
        self.write(known=sorted({rule.name for rule in rules.values()}))
        if self.only:
            items[:] = [item for item in items if item in rules and rules[item].name in self.only]
        selected = {}
        for item in items:
            if rule := rules.get(item):
                subject = Path(item.path).stem.removeprefix("test_")
                default = asdict(rule) | {"subject": subject, "tests": 0}
                selected.setdefault(rule.name, default)["tests"] += 1
        self.write(rules=list(selected.values()))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            lines = report.longreprtext.splitlines()
            self.write(problem=" ".join(line[1:].strip() for line in lines if line[:1] == "E"))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.write(problem=excinfo.exconly())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        rule = rule_of(item)
        self.outcome.clear()
        if rule:
            self.write(started=rule.name)
        handled = yield
        if rule:
            self.write(name=rule.name, **self.outcome)
        return handled

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        value = yield
        if fixturedef.scope == "session":
            self.report_progress()
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        rule = rule_of(item)
        if rule and (call.when == "call" or call.excinfo):
            error = call.excinfo.value if call.excinfo else None
            if isinstance(error, pytest.skip.Exception) and is_skipped_by_marker(item):
                error = NotCheckedError(f"tests/conftest.py skips it ({error.msg})")
            result, found = self.without_repetition(rule.name, error)
            if result == "not proven" and self.allow_skipped:
                result, report.outcome = "skipped", "skipped"
                report.longrepr = (str(item.path), 0, f"Skipped: {found}")
            fix = getattr(error, "fix", None) or rule.fix
            if self.outcome.get("result", "passed") == "passed":  # the first failure counts
                self.outcome = {"result": result, "found": found, "fix": fix}
            if report.failed:
                parts = {"found": found, "why": rule.why, "fix": fix}
                lines = (f"{label:<6}{text}" for label, text in parts.items())
                report.longrepr = "\n".join([f"{rule.name}: {rule.requirement}", *lines])
        return report

    def without_repetition(self, rule: str, error: BaseException | None) -> tuple[str, str]:
        """Return the result of a test; an error of the agent fails only the first rule."""
        result, found = result_of(error)
        if result == "failed" and (place := place_in_agent(error) or place_in_text(found)):
            first = self.places.setdefault(place, rule)
            if first != rule:
                return "not checked", f"the agent raises the same error, see `{first}`"
        return result, found

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if session.testscollected:
            self.write(finished=exitstatus)

    def report_progress(self) -> None:
        """Print a record that shows that the running test makes progress."""
        self.write(progress=True)

    def write(self, **event: object) -> None:
        """Print a record."""
        if self.stdout is not None:
            os.write(self.stdout, f"{RECORD_SEPARATOR}{json.dumps(event)}\n".encode())


def rule_of(item: pytest.Item) -> Rule | None:
    """Return the rule that a test checks."""
    marker = item.get_closest_marker("rule")
    return marker.args[0] if marker else None


def is_skipped_by_marker(item: pytest.Item) -> bool:
    """Return whether the owner's hooks skip a test; the contract only calls `pytest.skip`."""
    return any(marker.name in ("skip", "skipif") for marker in item.iter_markers())


def is_of_tests(error: BaseException | None) -> bool:
    """Return whether an error is an `assert` of the tests; one of the agent has no message."""
    frames = list(traceback.walk_tb(error.__traceback__)) if error else []
    file = Path(frames[-1][0].f_code.co_filename) if frames else TESTS
    return isinstance(error, AssertionError) and file.is_relative_to(TESTS)


def place_in_agent(error: BaseException | None) -> str:
    """Return the type and the line of the agent's error that failed a test, or an empty string."""
    cause = error.__cause__ if error and is_of_tests(error) else error
    line = first_line_of_agent(cause) if cause else ""
    return f"{type(cause).__name__}: {line}" if line else ""


def place_in_text(found: str) -> str:
    """Return the type and the line of an error of another process, as in `place_in_agent`."""
    matched = re.search(r": (\w+): [^`]*\((\S+\.py, line \d+: `.*`)\)$", found)
    return f"{matched[1]}: {matched[2]}" if matched else ""


def result_of(error: BaseException | None) -> tuple[str, str]:
    """Return the result of a test for its rule, and what the test found."""
    if error is None:
        return "passed", ""
    worded = (NotCheckedError, NotProvenError, pytest.skip.Exception)
    is_worded = isinstance(error, worded) or is_of_tests(error)
    text = str(error).partition("\nassert ")[0] if is_worded else describe_error(error)
    text = text.encode(errors="backslashreplace").decode()  # surrogates cannot be printed
    found = textwrap.shorten(text, MAX_LENGTH, placeholder=" …")
    if isinstance(error, NotCheckedError):
        return "not checked", found
    if isinstance(error, NotProvenError):
        return "not proven", found
    if isinstance(error, pytest.skip.Exception):
        return "skipped", found
    return "failed", found
