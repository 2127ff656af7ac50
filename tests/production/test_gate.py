"""The gate of `evaluate`: what passes, what fails, and what counts as not measured."""

from typing import Any

import pytest

from tests.conftest import Package

THRESHOLDS = {"contract": 1, "facts": 0.9, "seconds": {"p90": 10}}
GOOD = {"contract": True, "facts": True, "seconds": 1.0}


@pytest.fixture
def verdict(package: Package) -> Any:
    """A function that judges cases, each with its scores by scorer."""
    cases, gate, config = package("ops.cases"), package("ops.gate"), package("runtime.config")
    settings = config.load_config().model_dump()

    def rows(scores: list[dict[str, Any]]) -> list[Any]:
        return [
            cases.Row.model_validate(
                {
                    "case": {"inputs": {"turns": [f"Question {number}"]}},
                    "error": of_case.get("error", ""),
                    "scores": {
                        name: {"error": str(value)}
                        if isinstance(value, Exception)
                        else {"value": value}
                        for name, value in of_case.items()
                        if name != "error"
                    },
                }
            )
            for number, of_case in enumerate(scores)
        ]

    def judge(
        scores: list[dict[str, Any]],
        champion: list[dict[str, Any]] | None = None,
        thresholds: dict[str, Any] = THRESHOLDS,
        p_values: dict[str, float] | None = None,
        **changes: Any,
    ) -> Any:
        judged = config.Config.model_validate(settings | {"thresholds": thresholds} | changes)
        return gate.judge_rows(rows(scores), judged, rows(champion or []), p_values)

    return judge


def failed(verdict: Any) -> list[str]:
    """Return the names of the scorers with a failed check."""
    return [check.scorer for check in verdict.checks if not check.passed]


def test_cases_that_meet_all_thresholds_pass(verdict: Any) -> None:
    result = verdict([GOOD] * 10)
    assert result.status == "passed"
    assert len(result.checks) == len(THRESHOLDS)  # none is about a champion


def test_yes_and_no_of_judges_count_as_pass_and_fail(verdict: Any) -> None:
    thresholds = {"helpful": 0.5}
    assert (
        verdict([{"helpful": "yes"}, {"helpful": "no"}], thresholds=thresholds).status == "passed"
    )
    assert verdict([{"helpful": "no"}] * 2, thresholds=thresholds).status == "failed"


@pytest.mark.parametrize(
    ("passing", "status"), [(9, "passed"), (8, "failed")], ids=["at the minimum", "below it"]
)
def test_the_share_of_cases_is_compared_with_the_minimum(
    passing: int, status: str, verdict: Any
) -> None:
    result = verdict([GOOD] * passing + [GOOD | {"facts": False}] * (10 - passing))
    assert result.status == status
    assert failed(result) == (["facts"] if status == "failed" else [])


def test_a_case_without_a_value_counts_as_failed(verdict: Any) -> None:
    """The mean of MLflow is 1.0 here, because it leaves the case out."""
    result = verdict([GOOD] * 5 + [GOOD | {"facts": None}])
    assert result.status == "failed"
    assert failed(result) == ["facts"]
    (check,) = [check for check in result.checks if not check.passed]
    assert check.failed_cases == ["Question 5"]
    without = {name: value for name, value in GOOD.items() if name != "facts"}
    assert failed(verdict([GOOD] * 5 + [without])) == ["facts"]


def test_a_case_without_a_quantity_is_above_every_maximum(verdict: Any) -> None:
    missing = [GOOD] * 5 + [GOOD | {"seconds": None}]
    assert failed(verdict(missing)) == ["seconds"]
    undefined = verdict([GOOD | {"seconds": 99}, GOOD | {"seconds": float("nan")}, GOOD])
    assert failed(undefined) == ["seconds"]
    assert undefined.checks[-1].failed_cases == ["Question 0", "Question 1"]
    assert failed(verdict([GOOD] * 9 + [GOOD | {"seconds": None}])) == []  # not within p90


def test_quantiles_are_values_that_were_measured(verdict: Any) -> None:
    cases = [GOOD | {"seconds": float(number)} for number in range(1, 101)]
    thresholds = {"seconds": {"p50": 1, "p90": 1, "p95": 1, "p99": 1, "max": 1}}
    checks = verdict(cases, thresholds=thresholds).checks
    assert [check.measured for check in checks] == [
        *("p50 50", "p90 90", "p95 95", "p99 99", "maximum 100"),
    ]
    exact = {"seconds": {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}}
    assert verdict(cases, thresholds=exact).status == "passed"


def test_an_agent_that_fails_in_one_case_is_not_measured(verdict: Any) -> None:
    result = verdict([GOOD] * 99 + [{"error": "LLMError: rate limit"}])
    assert result.status == "not measured"
    assert result.problems == ["The agent failed in 1 of 100 cases: LLMError: rate limit"]
    assert len(verdict([{"error": "LLMError: rate limit"}]).problems) == 1


def test_a_scorer_that_fails_in_one_of_100_cases_is_not_measured(verdict: Any) -> None:
    result = verdict([GOOD] * 99 + [GOOD | {"facts": ValueError("no JSON")}])
    assert result.status == "not measured"
    assert result.problems == ["facts failed in 1 of 100 cases: no JSON"]
    # A scorer without a threshold, too: its results may be read.
    result = verdict([GOOD | {"tone": True}] * 99 + [GOOD | {"tone": ValueError("no JSON")}])
    assert result.problems == ["tone failed in 1 of 100 cases: no JSON"]


def test_a_threshold_without_a_scorer_is_not_measured(verdict: Any) -> None:
    result = verdict([GOOD], thresholds=THRESHOLDS | {"fatcs": 0.5})
    assert result.status == "not measured"
    assert "fatcs measured nothing" in result.problems[0]


@pytest.mark.parametrize(
    ("scorer", "value"),
    [
        ("facts", 0.7),
        ("facts", "excellent"),
        ("seconds", True),
        ("seconds", "fast"),
        ("facts", [1]),
    ],
)
def test_a_value_that_does_not_fit_its_threshold_is_not_measured(
    scorer: str, value: Any, verdict: Any
) -> None:
    result = verdict([GOOD, GOOD | {scorer: value}])
    assert result.status == "not measured"
    assert f"{scorer} returned {value!r}" in result.problems[0]


def test_a_scorer_without_a_threshold_may_return_anything(verdict: Any) -> None:
    assert verdict([GOOD | {"tone": "friendly", "length": 7}]).status == "passed"


def test_an_equal_mean_with_two_cases_that_only_the_champion_passes_fails(verdict: Any) -> None:
    bad = GOOD | {"facts": False}
    new, champion = [bad, bad, GOOD, GOOD], [GOOD, GOOD, bad, bad]
    thresholds = {"facts": 0.5}
    assert verdict(new, thresholds=thresholds).status == "passed"
    result = verdict(new, champion, thresholds)
    assert result.status == "failed"
    (check,) = [check for check in result.checks if not check.passed]
    assert check.measured == "2 worse, 2 better than the champion"
    assert check.failed_cases == ["Question 0", "Question 1"]
    assert verdict(new, champion, thresholds, max_regressions=2).status == "passed"
    assert verdict([bad, GOOD], [GOOD, bad], thresholds).status == "passed"


def test_cases_that_only_one_side_has_do_not_count_as_regressions(verdict: Any) -> None:
    bad = GOOD | {"facts": False}
    assert verdict([GOOD], [GOOD, GOOD, GOOD], {"facts": 1}).status == "passed"
    assert failed(verdict([GOOD, bad, bad], [GOOD], {"facts": 0.3})) == []


def test_a_significant_difference_fails_below_the_number_of_regressions(verdict: Any) -> None:
    new = [GOOD | {"facts": number >= 6} for number in range(40)]
    champion = [GOOD] * 40
    assert failed(verdict(new, champion, {"facts": 0.5}, max_regressions=10)) == ["facts"]
    few = [GOOD | {"facts": number >= 5} for number in range(40)]
    assert failed(verdict(few, champion, {"facts": 0.5}, max_regressions=10)) == []
    # MLflow's test has the last word where it exists.
    p_values = {"facts": 0.5}
    assert failed(verdict(new, champion, {"facts": 0.5}, p_values, max_regressions=10)) == []
    # A significant improvement is none of its business.
    p_values = {"facts": 0.01}
    assert failed(verdict(champion, new, {"facts": 0.5}, p_values)) == []


@pytest.mark.parametrize(
    ("factors", "fails"),
    [
        ([1.5] * 6, True),
        ([1.5] * 5, False),  # chance explains it
        ([1.2] * 6, False),  # within the allowed growth
        ([1.5] * 3 + [0.9] * 3, False),
        ([1.5] + [1.1] * 7, False),  # only one case
        ([0.5] * 6, False),
    ],
)
def test_growth_counts_if_it_is_large_and_significant(
    factors: list[float], fails: bool, verdict: Any
) -> None:
    champion = [{"tokens": 100 + number} for number in range(len(factors))]
    new = [
        {"tokens": case["tokens"] * factor} for case, factor in zip(champion, factors, strict=True)
    ]
    result = verdict(new, champion, {"tokens": {"growth": 0.25}})
    assert failed(result) == (["tokens"] if fails else [])
    larger = [number for number, factor in enumerate(factors) if factor > 1]
    assert result.checks[0].failed_cases == [f"Question {number}" for number in larger]
    assert verdict(new, thresholds={"tokens": {"growth": 0}}).checks == []


def test_mlflow_tests_growth_where_it_can(verdict: Any) -> None:
    new, champion, growth = [{"tokens": 200}] * 3, [{"tokens": 100}] * 3, {"tokens": {"growth": 0}}
    assert failed(verdict(new, champion, growth)) == []
    assert failed(verdict(new, champion, growth, {"tokens": 0.01})) == ["tokens"]


def test_growth_from_nothing_is_infinite(verdict: Any) -> None:
    zeros = [{"tokens": 0}] * 6
    assert failed(verdict([{"tokens": 1}] * 6, zeros, {"tokens": {"growth": 9}})) == ["tokens"]
    assert failed(verdict(zeros, zeros, {"tokens": {"growth": 0}})) == []
    few = [{"tokens": number % 2} for number in range(13)]
    assert failed(verdict(few, [{"tokens": 0}] * 13, {"tokens": {"growth": 9}})) == []
