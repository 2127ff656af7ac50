"""Which requests the server traces: all of them, until there are more than the store can take."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlflow.tracing.distributed import set_tracing_context_from_http_request_headers

# Part of a trace that nobody keeps: its last two digits say so (W3C Trace Context).
_NOT_KEPT = {"traceparent": f"00-{'1' * 32}-{'1' * 16}-00"}


@dataclass
class Sampling:
    """Traces so many requests a second, evenly; up to a second's worth may come at once.

    Attributes:
        per_second: How many requests are traced; above zero.
    """

    per_second: float
    in_hand: float = field(init=False)
    counted_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.in_hand = max(self.per_second, 1)
        self.counted_at = time.monotonic()

    @contextmanager
    def request(self) -> Generator[None]:
        """What is done in the block is traced, or not."""
        if self._takes_one():
            yield
        else:
            with set_tracing_context_from_http_request_headers(_NOT_KEPT):
                yield

    def _takes_one(self) -> bool:
        now = time.monotonic()
        grown = self.in_hand + (now - self.counted_at) * self.per_second
        self.in_hand, self.counted_at = min(grown, max(self.per_second, 1)), now
        if self.in_hand < 1:
            return False
        self.in_hand -= 1
        return True
