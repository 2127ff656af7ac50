"""A rule of the contract, and how a test fails it."""

from dataclasses import dataclass

import pytest

# Why a rule is not checked if the agent hangs after an error of the LLM.
ENDLESS_FAILURE = "the agent does not stop when the LLM fails, see `llm-failures`"


@dataclass(frozen=True)
class Rule:
    """One rule of the contract. Several tests can check the same rule."""

    name: str
    requirement: str
    why: str
    fix: str


def rule(name: str, requirement: str, *, why: str, fix: str) -> pytest.MarkDecorator:
    """Mark a test as a check of a rule. The message of its `assert` says what was found."""
    return pytest.mark.rule(Rule(name, requirement, why, fix))


class FailedRuleError(AssertionError):
    """A rule failed.

    Args:
        found: What was found.
        fix: How to fix this case, if that is more specific than the rule's own `fix`.
    """

    def __init__(self, found: str, fix: str | None = None) -> None:
        super().__init__(found)
        self.fix = fix


class NotCheckedError(Exception):
    """A rule cannot be checked; the message is the cause, as a clause in lower case."""


class NotProvenError(Exception):
    """The tests cannot produce the situation of a rule for this agent; the message is the cause."""
