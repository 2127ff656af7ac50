"""Each rule of the contract fails for the mistakes it is there for, and for nothing else."""

import re
from collections.abc import Iterable
from typing import Any

import pytest

from docs.write_contract import LOGGING_STEPS, last_measured
from tests.contract.breakages import BREAKAGES, GROUPS
from tests.contract.breakages.changes import SHORT_WAIT, Breakage
from tests.contract.logged_model import LoggedModel
from tests.contract.variations import TRIED_TOGETHER, VARIATIONS
from tests.contract.variations.styles import STYLES
from tests.contract.workbench import Found, Workbench
from tests.helpers.agents import Agent, rules_of

REUSE_MODEL = [
    name
    for name, breakage in BREAKAGES.items()
    if not breakage.affects_logging
    and name not in GROUPS["The source"] | GROUPS["The files"] | GROUPS["The bundle"]
]
# At least one for each part of the contract.
LOGGED_AGAIN = [
    "a function instead of an agent",
    "a token in the source",
    "a module outside the package, imported by a tool",
    "an HTTP request at import",
    "ids that repeat in every answer",
    "a conversation collected in the module",
    "deltas that repeat the text so far",
    "half an answer accepted as complete",
    "a decorated predict",
    "tool calls missing from streams",
    "requests without a token accepted",
]
# A fork has the hashes of its parent, which order sets.
WITHOUT_FORK = ("a number from the hash of a text", "the order of a set")
# `make test` checks so many breakages of each rule, and `make proof` the others.
PER_RULE = 3


def others_of_each_rule() -> set[str]:
    """Return the breakages for `make proof`; those for `make test` are spread over all."""
    rules: dict[str, list[str]] = {}
    for name, breakage in BREAKAGES.items():
        rules.setdefault(breakage.rule, []).append(name)
    kept = {
        names[len(names) * at // PER_RULE] for names in rules.values() for at in range(PER_RULE)
    }
    return BREAKAGES.keys() - kept


IN_PROOF = others_of_each_rule()


def marked(names: Iterable[str]) -> list[Any]:
    """Return names of breakages as parameters of a test."""
    return [pytest.param(name, marks=[pytest.mark.proof] * (name in IN_PROOF)) for name in names]


def test_every_rule_has_a_breakage(agent: Agent) -> None:
    assert rules_of(agent.folder) == {breakage.rule for breakage in BREAKAGES.values()}


@pytest.mark.parametrize("name", marked(name for name in BREAKAGES if name not in REUSE_MODEL))
def test_breakage(name: str, workbench: Workbench) -> None:
    check_failed(BREAKAGES[name], finding_with_logging(BREAKAGES[name], workbench))


@pytest.mark.parametrize("name", marked(REUSE_MODEL))
def test_breakage_of_code(
    name: str, workbench: Workbench, logged_model: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "forks_programs", name not in WITHOUT_FORK)
    check_failed(BREAKAGES[name], finding_without_logging(BREAKAGES[name], workbench, logged_model))


@pytest.mark.parametrize("name", LOGGED_AGAIN)
def test_shortcuts_do_not_change_the_result(
    name: str, workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in REUSE_MODEL
    monkeypatch.setattr(workbench, "forks_programs", False)
    check_failed(BREAKAGES[name], finding_with_logging(BREAKAGES[name], workbench))


def test_breakages_that_reuse_a_model_can_be_logged() -> None:
    noticed = last_measured().noticed
    rejected = {name for name in REUSE_MODEL if noticed[name] in LOGGING_STEPS}
    # MLflow cannot log these as measured. The contract logs the first before the agent is imported,
    # and the second with a key.
    assert rejected == {"tracing disabled at import", "a client without a key, created at import"}


def finding_with_logging(breakage: Breakage, workbench: Workbench) -> Found:
    """Check the rule of a breakage on the source, which logs the agent if necessary."""
    with workbench.agent.changed([SHORT_WAIT, *breakage.patches]):
        return workbench.findings(breakage.rule)[breakage.rule]


def finding_without_logging(
    breakage: Breakage, workbench: Workbench, logged_model: LoggedModel
) -> Found:
    """Check the rule of a breakage on a logged model with the code of the breakage."""
    with (
        workbench.agent.changed([SHORT_WAIT, *breakage.patches]),
        logged_model.with_current_code() as model,
    ):
        return workbench.findings(breakage.rule, model=model)[breakage.rule]


def check_failed(breakage: Breakage, finding: Found) -> None:
    """Assert that the rule of a breakage failed for the right reason, and suggests a fix."""
    assert finding.result == "failed", finding
    assert re.search(breakage.found, finding.found), finding.found
    assert finding.fix


@pytest.mark.parametrize(
    "names",
    [
        # Each of these replaces the whole agent, and takes about a minute.
        pytest.param(names, marks=[pytest.mark.proof] if names[0] in STYLES else [])
        for names in TRIED_TOGETHER
    ],
    ids=", ".join,
)
def test_correct_variations(names: tuple[str, ...], workbench: Workbench) -> None:
    with workbench.agent.changed(patch for name in names for patch in VARIATIONS[name]):
        findings = workbench.findings()
    assert findings.keys() == rules_of(workbench.agent.folder)
    assert not [one for one in findings.values() if one.result not in ("passed", "skipped")]


def test_every_variation_is_tried() -> None:
    assert sorted(VARIATIONS) == sorted(name for names in TRIED_TOGETHER for name in names)
