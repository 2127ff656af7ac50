"""The reports of `evaluate`: the HTML page and JUnit XML."""

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import Package

TRACES = "https://mlflow.example/#/traces?id={trace_id}"


@pytest.fixture
def evaluation(package: Package) -> Any:
    """An evaluation that failed, with a champion that answers otherwise."""
    cases, gate = package("ops.cases"), package("ops.gate")
    case = {"inputs": {"turns": ["<b>Hello</b>\n\x00there"]}}
    scores = {
        "tone": {"value": 0.123456},
        "facts": {"value": False, "rationale": "Missing: <i>"},
        "calls": {"error": "no JSON"},
    }
    row = cases.Row.model_validate(
        {"case": case, "answer": "<i>1</i>", "trace_id": "tr-1", "scores": scores}
    )
    old = {"facts": {"value": True}, "calls": {"value": "yes"}}
    champion = cases.Row.model_validate({"case": case, "answer": "Hi & bye", "scores": old})
    check = gate.Check("facts", "0 of 1 cases", "at least 1", passed=False, failed_cases=["A\nB"])
    verdict = gate.Verdict([check], ["calls failed in 1 of 1 cases: no JSON\nat all"])
    module = package("ops.evaluation_report")
    return module.Evaluation("run-1", "c0ffee", "here", [row], verdict, [champion])


def test_the_page_escapes_texts_and_shows_what_changed(package: Package, evaluation: Any) -> None:
    html_report = package("ops.evaluation_report").html_report
    page = " ".join(html_report(evaluation, TRACES).split())
    for part in (
        'evaluation <span class="bad">not measured</span>',
        "1 cases answered by here, commit c0ffee. Compared with the champion. MLflow run run-1.",
        "<li>calls failed in 1 of 1 cases: no JSON at all</li>",
        "<td>at least 1</td> <td>A B</td>",
        "<th>answer</th> <th>facts</th> <th>tone</th> <th>calls</th>",
        "&lt;b&gt;Hello&lt;/b&gt;",
        '<a href="https://mlflow.example/#/traces?id=tr-1">trace</a>',
        "&lt;i&gt;1&lt;/i&gt;<details><summary>The champion's answer</summary>Hi &amp; bye",
        '<span class="bad">✗</span> <small>Missing: &lt;i&gt;</small> <small>champion: ✓</small>',
        '<span class="">0.1235</span> </td>',
        '<span class="bad">no value</span> <small>no JSON</small> <small>champion: ✓</small>',
    ):
        assert part in page, page
    assert "<i>" not in page
    assert "tr-1 </small>" in " ".join(html_report(evaluation, None).split())
    evaluation.rows[0].trace_id = ""  # MLflow has lost the trace
    assert "<a " not in html_report(evaluation, TRACES)


def test_junit_has_a_test_per_problem_threshold_and_case(package: Package, evaluation: Any) -> None:
    suite = ElementTree.fromstring(package("ops.evaluation_report").junit_report(evaluation))
    assert suite.attrib | {"name": ""} == {"name": "", "tests": "3", "failures": "1", "errors": "1"}
    problem, threshold, case = suite.findall("testcase")
    (error,), (failure,) = problem, threshold
    assert error.get("message") == "calls failed in 1 of 1 cases: no JSON"
    assert failure.get("message") == "0 of 1 cases, required: at least 1"
    assert failure.text == "0 of 1 cases, required: at least 1\nA\nB"
    assert case.get("name") == "<b>Hello</b> \ufffdthere"
