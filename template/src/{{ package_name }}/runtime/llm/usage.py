"""How many tokens an answer takes, as the LLM counts them."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class Tokens:
    """The tokens of all completions behind an answer; none where the LLM does not count."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, usage: dict[str, Any]) -> None:
        """Add what one chat completion says in `usage`."""
        self.input += usage.get("prompt_tokens") or 0
        self.cached += (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        self.output += usage.get("completion_tokens") or 0
        details = usage.get("completion_tokens_details") or {}
        self.reasoning += details.get("reasoning_tokens") or 0

    def usage(self) -> dict[str, Any] | None:
        """The `usage` of a response, if there is something to say."""
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


_counted: ContextVar[Tokens | None] = ContextVar("counted", default=None)


def count_tokens() -> Tokens:
    """Count the tokens of all completions from here on, in this context."""
    tokens = Tokens()
    _counted.set(tokens)
    return tokens


def add_tokens(usage: dict[str, Any]) -> None:
    """Add those of one chat completion, if somebody counts."""
    if tokens := _counted.get():
        tokens.add(usage)
