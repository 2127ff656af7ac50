"""Counts the tokens of an answer, as reported by the LLM."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class TokenCount:
    """The tokens of all chat completions of one answer; all zero if the LLM reports none."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, usage: dict[str, Any]) -> None:
        """Add the `usage` of one chat completion."""
        self.input += usage.get("prompt_tokens") or 0
        self.cached += (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        self.output += usage.get("completion_tokens") or 0
        details = usage.get("completion_tokens_details") or {}
        self.reasoning += details.get("reasoning_tokens") or 0

    def usage(self) -> dict[str, Any] | None:
        """Return the `usage` of a Response; None if the LLM reported no tokens."""
        total = self.input + self.output
        if not total:
            return None
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": total,
        }


_current: ContextVar[TokenCount | None] = ContextVar("token_count", default=None)


def count_tokens() -> TokenCount:
    """Count the tokens of all chat completions that follow in this context."""
    count = TokenCount()
    _current.set(count)
    return count


def add_tokens(usage: dict[str, Any]) -> None:
    """Add the tokens of one chat completion to the count of this context, if there is one."""
    if count := _current.get():
        count.add(usage)
