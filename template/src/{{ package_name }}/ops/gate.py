"""The gate of an evaluation: compares the rows with the thresholds, and with the champion's rows.

MLflow's means leave out cases without a value. The gate reads the rows, and counts such a case as
failed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ..runtime.config import Config, Maximums
from .cases import Row

SIGNIFICANCE = 0.05

# Rows of the same case: this agent's and the champion's.
Pairs = Sequence[tuple[Row, Row]]


@dataclass(frozen=True)
class Check:
    """A comparison of a scorer's results with a threshold, or with the champion's results.

    Attributes:
        scorer: The name of the scorer.
        measured: What was measured, such as `5 of 6 cases`.
        required: What is required, such as `at least 0.9`.
        passed: Whether the requirement is met.
        failed_cases: The titles of the cases that count against it.
    """

    scorer: str
    measured: str
    required: str
    passed: bool
    failed_cases: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The comparisons, and a sentence for everything that could not be measured."""

    checks: list[Check]
    problems: list[str]

    @property
    def status(self) -> str:
        """One of `passed`, `failed` and `not measured`."""
        if self.problems:
            return "not measured"
        return "passed" if all(check.passed for check in self.checks) else "failed"


def judge_rows(
    rows: Sequence[Row],
    config: Config,
    champion: Sequence[Row] = (),
    p_values: Mapping[str, float] | None = None,
) -> Verdict:
    """Compare rows with the thresholds in `config.yml`, and with the champion's rows.

    Args:
        rows: The rows of this evaluation.
        config: The settings.
        champion: The rows of the champion's evaluation; cases that only one side has do not count.
        p_values: The results of MLflow's paired tests by scorer; by default, a sign test.
    """
    before = {row.case.key: row for row in champion}
    pairs = [(row, before[row.case.key]) for row in rows if row.case.key in before]
    checks: list[Check] = []
    for name, threshold in config.thresholds.items():
        p_value = (p_values or {}).get(name)
        if isinstance(threshold, Maximums):
            checks += check_quantity(name, threshold, rows, pairs, p_value)
        else:
            checks += check_share(name, threshold, rows)
            checks += check_regressions(name, config.max_regressions, pairs, p_value)
    return Verdict(checks, list(find_problems(rows, config)))


def check_share(name: str, minimum: float, rows: Sequence[Row]) -> Iterator[Check]:
    """Compare the share of cases that pass with its minimum."""
    failed = [row.case.title for row in rows if not case_passes(row, name)]
    passed = len(rows) - len(failed)
    measured = f"{passed} of {len(rows)} cases"
    yield Check(name, measured, f"at least {minimum:.4g}", passed / len(rows) >= minimum, failed)


def check_regressions(
    name: str, maximum: int, pairs: Pairs, p_value: float | None
) -> Iterator[Check]:
    """Compare the number of cases that only the champion passes with its maximum."""
    changed = [(row, old) for row, old in pairs if case_passes(row, name) != case_passes(old, name)]
    worse = [row.case.title for row, old in changed if case_passes(old, name)]
    better = len(changed) - len(worse)
    if pairs:
        is_worse = len(worse) > maximum or is_significant(len(worse), better, p_value)
        measured = f"{len(worse)} worse, {better} better than the champion"
        required = f"at most {maximum} worse, and no significant decline"
        yield Check(name, measured, required, not is_worse, worse)


def check_quantity(
    name: str, maximums: Maximums, rows: Sequence[Row], pairs: Pairs, p_value: float | None
) -> Iterator[Check]:
    """Compare quantiles of a quantity, and its growth since the champion, with their maximums."""
    for quantile, maximum in maximums.quantiles().items():
        value = quantile_of([number(row, name) for row in rows], quantile)
        above = [row.case.title for row in rows if number(row, name) > maximum]
        label = "maximum" if quantile == 100 else f"p{quantile}"
        measured = f"{label} {value:.4g}"
        yield Check(name, measured, f"at most {maximum:.4g}", value <= maximum, above)
    if maximums.growth is not None and pairs:
        larger = [row.case.title for row, old in pairs if number(row, name) > number(old, name)]
        smaller = sum(number(row, name) < number(old, name) for row, old in pairs)
        growth = median(growth_of(number(old, name), number(row, name)) for row, old in pairs)
        is_worse = growth > maximums.growth and is_significant(len(larger), smaller, p_value)
        measured = f"{growth:+.0%} against the champion"
        required = f"at most {maximums.growth:+.0%}, unless insignificant"
        yield Check(name, measured, required, not is_worse, larger)


def find_problems(rows: Sequence[Row], config: Config) -> Iterator[str]:
    """Yield a sentence for everything that could not be measured."""
    raised = [row.error for row in rows if row.error]
    if raised:
        yield f"The agent failed in {len(raised)} of {len(rows)} cases: {raised[0]}"
    answered = [row for row in rows if not row.error]
    measured = [name for row in answered for name in row.scores]
    for name in dict.fromkeys([*config.thresholds, *measured]):
        scores = [row.scores[name] for row in answered if name in row.scores]
        errors = [score.error for score in scores if score.error]
        values = [score.value for score in scores if score.value is not None]
        unusable = [value for value in values if not is_usable(value, config.thresholds.get(name))]
        if errors:
            yield f"{name} failed in {len(errors)} of {len(rows)} cases: {errors[0]}"
        elif answered and not values:
            yield (
                f"{name} measured nothing. Check that SCORERS lists it and that it returns values, "
                "or delete its threshold."
            )
        elif unusable:
            yield (
                f"{name} returned {unusable[0]!r}. A share needs true or false; a maximum needs "
                "a number."
            )


def is_usable(value: object, threshold: float | Maximums | None) -> bool:
    """Return whether a value can be compared with its threshold."""
    if threshold is None:
        return True
    if isinstance(threshold, Maximums):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return passes(value) or fails(value)


def passes(value: object) -> bool:
    """Return whether the value of a scorer means that a case passes: true or yes."""
    return value is True or value == "yes"


def fails(value: object) -> bool:
    """Return whether the value of a scorer means that a case fails: false or no."""
    return value is False or value == "no"


def case_passes(row: Row, name: str) -> bool:
    """Return whether a case passes a scorer; without a value it does not."""
    return name in row.scores and passes(row.scores[name].value)


def number(row: Row, name: str) -> float:
    """Return the quantity of a case; infinity if it was not measured."""
    value = row.scores[name].value if name in row.scores else None
    return value if isinstance(value, int | float) and not math.isnan(value) else math.inf


def quantile_of(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least this percentage of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def growth_of(before: float, after: float) -> float:
    """Return the relative growth; from 0, it is infinite."""
    if after == before:
        return 0.0
    return after / before - 1 if before else math.inf


def is_significant(worse: int, better: int, p_value: float | None) -> bool:
    """Return whether more cases are worse than better, and chance does not explain it.

    Without a `p_value`, uses the exact two-sided sign test, which for pass and fail is McNemar's.
    """
    if worse <= better:
        return False
    if p_value is None:
        total = worse + better
        tail = sum(math.comb(total, count) for count in range(worse, total + 1))
        p_value = min(1.0, 2 * tail / 2**total)
    return p_value < SIGNIFICANCE
