"""What a rule is: a name that stays, what holds, why it matters, and how to mend it."""

from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Rule:
    """One rule of the contract. Several tests may check one rule."""

    name: str
    holds: str
    why: str
    mend: str


def rule(name: str, holds: str, *, why: str, mend: str) -> pytest.MarkDecorator:
    """Mark a test as checking a rule; the message of its `assert` says what was seen."""
    return pytest.mark.rule(Rule(name, holds, why, mend))


class BrokenRuleError(AssertionError):
    """A rule is broken in a way that an `assert` does not express; says what was seen.

    Args:
        seen: What was seen.
        mend: What mends this very case, if the rule's own advice can be bettered.
    """

    def __init__(self, seen: str, mend: str | None = None) -> None:
        super().__init__(seen)
        self.mend = mend


class NoModelError(Exception):
    """There is no model to check a rule on, so the rule is neither kept nor broken."""
