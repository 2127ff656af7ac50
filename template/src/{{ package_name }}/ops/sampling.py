"""Limits how many requests per second are traced."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlflow.tracing.distributed import set_tracing_context_from_http_request_headers

# The last two digits say that the trace is not sampled (W3C Trace Context).
_UNSAMPLED_HEADERS = {"traceparent": f"00-{'1' * 32}-{'1' * 16}-00"}


@dataclass
class TraceSampler:
    """A token bucket: traces `per_second` requests per second, in bursts of up to one second.

    Attributes:
        per_second: The number of requests to trace per second.
    """

    per_second: float
    tokens: float = field(init=False)
    updated_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self._burst
        self.updated_at = time.monotonic()

    @contextmanager
    def sample(self) -> Generator[bool]:
        """Trace the block, or disable tracing in it if the rate is exceeded.

        Yields:
            Whether the block is traced.
        """
        if self._allow():
            yield True
        else:
            with set_tracing_context_from_http_request_headers(_UNSAMPLED_HEADERS):
                yield False

    @property
    def _burst(self) -> float:
        return max(self.per_second, 1) if self.per_second else 0

    def _allow(self) -> bool:
        now = time.monotonic()
        tokens = self.tokens + (now - self.updated_at) * self.per_second
        self.tokens, self.updated_at = min(tokens, self._burst), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
