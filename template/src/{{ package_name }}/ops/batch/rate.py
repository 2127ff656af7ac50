"""How many rows are answered at the same time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

# Seconds, unless the LLM says how long to wait.
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class RateLimit:
    """A bound that halves when the LLM refuses requests, and grows again while it answers.

    Attributes:
        maximum: The bound at the start, and the highest.
        current: The present bound.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.current = float(maximum)
        self._running = 0
        self._resume_at = 0.0
        self._next_pause = SHORTEST_PAUSE
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait until another row may be answered, and answer it in the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < max(1, int(self.current)))
            self._running += 1
        try:
            loop = asyncio.get_running_loop()
            while (pause := self._resume_at - loop.time()) > 0:  # a refusal may extend the pause
                await asyncio.sleep(pause)
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._changed.notify(max(0, int(self.current) - self._running))

    def succeeded(self) -> None:
        """Raise the bound by one for each `current` answers."""
        self.current = min(self.maximum, self.current + 1 / max(self.current, 1))
        self._next_pause = SHORTEST_PAUSE

    def refused(self, retry_after: float | None) -> None:
        """Halve the bound, and let all rows wait. Refusals during a pause count once.

        Args:
            retry_after: How long the LLM asks to wait, in seconds.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._resume_at:
            self.current = max(1.0, self.current / 2)
            pause, self._next_pause = self._next_pause, min(2 * self._next_pause, LONGEST_PAUSE)
            self._resume_at = now + (pause if retry_after is None else retry_after)
        elif retry_after is not None:
            self._resume_at = max(self._resume_at, now + retry_after)
