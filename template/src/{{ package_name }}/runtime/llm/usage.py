"""Records what the LLM reports about an answer: its tokens, and why it is incomplete."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class CompletionRecord:
    """What the LLM reported about all chat completions of one answer.

    Attributes:
        input: The tokens of all requests, `cached` of them from a cache.
        output: The tokens of all completions, `reasoning` of them for reasoning.
        incomplete_reason: Why the last completion is incomplete, as in a Response, or None.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    incomplete_reason: str | None = None

    def add(self, usage: dict[str, Any], incomplete_reason: str | None) -> None:
        """Add one chat completion with its `usage`."""
        tokens = token_counts(usage)
        self.input += tokens[0]
        details = usage.get("prompt_tokens_details") or {}
        # Claude on Databricks has the second name.
        self.cached += details.get("cached_tokens") or usage.get("cache_read_input_tokens") or 0
        self.output += tokens[1]
        details = usage.get("completion_tokens_details") or {}
        self.reasoning += details.get("reasoning_tokens") or 0
        self.incomplete_reason = incomplete_reason

    def outcome(self) -> dict[str, Any]:
        """Return the `status` of the Response, and `incomplete_details` if it is incomplete."""
        if not self.incomplete_reason:
            return {"status": "completed"}
        return {"status": "incomplete", "incomplete_details": {"reason": self.incomplete_reason}}

    def usage(self) -> dict[str, Any]:
        """Return the `usage` of the Response; nothing if the LLM reported no tokens."""
        total = self.input + self.output
        if not total:
            return {}
        usage = {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": total,
        }
        return {"usage": usage}


def token_counts(usage: dict[str, Any]) -> tuple[int, int]:
    """Return the tokens of a request and of its completion; mlx-vlm names them like Responses."""
    names = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
    first, second = (usage.get(name) or usage.get(other) or 0 for name, other in names)
    return first, second


_current: ContextVar[CompletionRecord | None] = ContextVar("completion_record", default=None)


def record_completions() -> CompletionRecord:
    """Record all chat completions that follow in this context."""
    record = CompletionRecord()
    _current.set(record)
    return record


def record_completion(usage: dict[str, Any], incomplete_reason: str | None) -> None:
    """Add one chat completion to the record of this context, if there is one."""
    if record := _current.get():
        record.add(usage, incomplete_reason)
