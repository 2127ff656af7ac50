"""The report of `verify`: what it prints for the events of the contract."""

import re
from copy import deepcopy
from typing import Any

import pytest

from tests.conftest import Package

REQUIREMENT = "The logged model declares the task agent/v1/responses."


def rule(name: str, subject: str = "model", tests: int = 1) -> dict[str, Any]:
    """Return what the contract reports about a rule before it is checked."""
    return {
        "name": name,
        "requirement": REQUIREMENT,
        "why": "Callers choose the request format by the task.",
        "fix": "Derive the agent from ResponsesAgent.",
        "subject": subject,
        "tests": tests,
    }


TASK = rule("task")
SIGNATURE = rule("signature")
BASE_CLASS = rule("base-class")
PRINT_CALL = rule("print-call", "source", tests=2)


def result(name: str, value: str = "passed", found: str = "", fix: str = "") -> dict[str, str]:
    """Return the event after a test of a rule."""
    return {"name": name, "result": value, "found": found, "fix": fix}


@pytest.fixture
def report(
    package: Package, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A function that returns the printed lines for events, and the report itself."""

    def report(
        *events: dict[str, Any], columns: int = 80, **options: bool
    ) -> tuple[list[str], Any]:
        monkeypatch.setenv("COLUMNS", str(columns))
        written = package("commands.report").Report(**options)
        for event in deepcopy(events):
            written.add(event)
        written.finish()
        return capsys.readouterr().out.splitlines(), written

    return report


def test_rules_are_printed_in_columns_by_subject(report: Any) -> None:
    rules = [TASK, SIGNATURE, BASE_CLASS, rule("no-secrets"), rule("whole-conversation", "llm")]
    results = [result(rule["name"]) for rule in (*rules, PRINT_CALL, PRINT_CALL)]
    (*lines, summary), written = report({"rules": [*rules, PRINT_CALL]}, *results)
    assert lines == [
        "model    ✓ task                  ✓ signature             ✓ base-class",
        "         ✓ no-secrets",
        "LLM      ✓ whole-conversation",
        "source   ✓ print-call",
    ]
    assert re.fullmatch(r"6 passed in \d+ s", summary)
    assert written.passed


def test_a_narrow_terminal_has_fewer_columns(report: Any) -> None:
    events = ({"rules": [TASK, SIGNATURE]}, result("task"), result("signature"))
    lines, _ = report(*events, columns=40)
    assert lines[:2] == ["model    ✓ task", "         ✓ signature"]


def test_sentences_stay_readable_on_a_very_narrow_terminal(report: Any) -> None:
    lines, _ = report({"rules": [TASK]}, result("task"), columns=20, verbose=True)
    assert lines[0] == "✓ task                  The logged model"


def test_verbose_lines_are_sentences(report: Any) -> None:
    lines, _ = report({"rules": [TASK]}, result("task"), verbose=True)
    assert lines[0] == f"✓ task                  {REQUIREMENT}"


def test_a_failed_rule_is_explained_at_the_end(report: Any) -> None:
    failed = result("task", "failed", "The task is None.", "Log the model again.")
    (columns, *lines), written = report({"rules": [TASK, SIGNATURE]}, failed, result("signature"))
    assert columns == "model    ✗ task                  ✓ signature"
    assert lines[:6] == [
        "",
        "✗ task",
        f"  {REQUIREMENT}",
        "  found  The task is None.",
        "  why    Callers choose the request format by the task.",
        "  fix    Log the model again.",
    ]
    assert re.fullmatch(r"1 failed, 1 passed in \d+ s: task", lines[-1])
    assert not written.passed


def test_the_worst_result_of_several_tests_counts(report: Any) -> None:
    results = (result("print-call", "failed", "tools.py:1: print()"), result("print-call"))
    _, written = report({"rules": [PRINT_CALL]}, *results)
    assert written.findings[0].result == "failed"


def test_rules_without_a_result_are_counted_by_cause(report: Any) -> None:
    rules = [TASK, SIGNATURE, BASE_CLASS]
    unlogged = "the agent is not logged, see `accepted`"
    results = [result(rule["name"], "not checked", unlogged) for rule in (TASK, SIGNATURE)]
    results.append(result("base-class", "skipped", "it does not apply"))
    lines, written = report({"rules": rules}, *results)
    assert lines[1:3] == [f"2 rules not checked: {unlogged}", "1 rule skipped: it does not apply"]
    assert not written.passed


def test_a_rule_that_is_not_proven_has_its_own_exit_code(report: Any) -> None:
    unproven = result("task", "not proven", "the agent connects to llm.example.com:443")
    events = ({"rules": [TASK, SIGNATURE]}, unproven, result("signature"))
    (_, cause, summary, hint), written = report(*events)
    assert cause == "1 rule not proven: the agent connects to llm.example.com:443"
    assert summary.startswith("1 passed, 1 not proven in")
    assert hint == "hint: --allow-skipped skips the rules that are not proven"
    assert (written.exit_code, written.passed) == (2, False)
    failed = result("signature", "failed", "It differs.")
    assert report({"rules": [TASK, SIGNATURE]}, unproven, failed)[1].exit_code == 1


def test_an_interrupted_run_fails_the_running_rule(report: Any) -> None:
    reason = "The agent ended the process with status 3."
    events = ({"rules": [TASK, SIGNATURE]}, {"started": "task"}, {"ended": reason})
    _, written = report(*events)
    assert [(finding.result, finding.found) for finding in written.findings] == [
        ("failed", reason),
        ("not checked", "the agent ended the process with status 3"),
    ]


def test_a_quiet_report_prints_nothing(report: Any) -> None:
    assert report({"rules": [TASK]}, result("task"), quiet=True)[0] == []
