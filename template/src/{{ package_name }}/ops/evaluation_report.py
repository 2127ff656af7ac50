"""Writes an evaluation as an HTML page, and as JUnit XML for CI services."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import mlflow
from jinja2 import Environment

from .cases import Row, Score
from .gate import Verdict, fails, passes
from .project import PROJECT_NAME

JUNIT_ARTIFACT = "evaluation/junit.xml"
TEMPLATE = Path(__file__).with_suffix(".html.j2")

# Characters that XML 1.0 does not allow.
_INVALID = {
    code: "\ufffd"
    for code in (*range(32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
    if chr(code) not in "\t\n\r"
}


@dataclass(frozen=True)
class Evaluation:
    """An evaluation with its verdict.

    Attributes:
        run_id: Its MLflow run.
        commit: The commit that it measured; None with uncommitted changes, a URL, other cases or
            another LLM.
        target: What it measured, such as a URL.
        rows: The results of each case.
        verdict: The comparison with the thresholds and the champion.
        champion: The rows of the champion's evaluation; empty if it was not compared with one.
    """

    run_id: str
    commit: str | None
    target: str
    rows: list[Row]
    verdict: Verdict
    champion: list[Row]

    @property
    def scorers(self) -> list[str]:
        """The names of the scorers; those with a threshold come first."""
        names = [check.scorer for check in self.verdict.checks]
        return list(dict.fromkeys([*names, *(name for row in self.rows for name in row.scores)]))


def html_report(evaluation: Evaluation, trace_url: str | None) -> str:
    """Return a page without external files.

    Args:
        evaluation: The evaluation.
        trace_url: The URL of a trace, with a placeholder {trace_id}; None if no site shows it.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        project=PROJECT_NAME,
        evaluation=evaluation,
        champion={row.case.key: row for row in evaluation.champion},
        trace_url=trace_url,
        score_text=score_text,
        score_class=score_class,
    )


def score_text(score: Score | None) -> str:
    """Return the value of a score as text."""
    value = score.value if score else None
    if passes(value) or fails(value):
        return "✓" if passes(value) else "✗"
    if value is None:
        return "no value"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def score_class(score: Score | None) -> str:
    """Return the CSS class for a score."""
    text = score_text(score)
    return {"✓": "good", "✗": "bad", "no value": "bad"}.get(text, "")


def junit_report(evaluation: Evaluation) -> str:
    """Return JUnit XML with a test per threshold and per case."""
    suite = ElementTree.Element("testsuite", name=f"{PROJECT_NAME} evaluation")
    for problem in evaluation.verdict.problems:
        _add_test(suite, "measured", problem, error=problem)
    for check in evaluation.verdict.checks:
        text = f"{check.measured}, required: {check.required}"
        failure = "\n".join([text, *check.failed_cases]) if not check.passed else ""
        _add_test(suite, check.scorer, check.required, failure=failure)
    for row in evaluation.rows:
        _add_test(suite, "case", row.case.title, error=row.error)
    tests = suite.findall("testcase")
    suite.set("tests", str(len(tests)))
    for kind in ("failure", "error"):
        suite.set(f"{kind}s", str(sum(test.find(kind) is not None for test in tests)))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def copy_junit(run_id: str, path: Path) -> None:
    """Write the JUnit XML of an earlier evaluation to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = mlflow.artifacts.load_text(f"runs:/{run_id}/{JUNIT_ARTIFACT}")
    path.write_text(report, encoding="utf-8")


def _add_test(suite: ElementTree.Element, group: str, name: str, **outcome: str) -> None:
    """Add a test; it passes if the text of its failure or error is empty."""
    test = ElementTree.SubElement(suite, "testcase", classname=group, name=_clean(name))
    for kind, text in outcome.items():
        if text:
            message = _clean(text.partition("\n")[0])
            ElementTree.SubElement(test, kind, message=message).text = _clean(text)


def _clean(text: str) -> str:
    return text.translate(_INVALID)
