"""Asking an agent that may never answer, and waiting for what may never come about."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

PATIENCE = 20  # seconds


class Outcome:
    """What asking an agent came to, in a thread of its own, after at most `PATIENCE`."""

    def __init__(self, ask: Callable[[Any], Any], request: Any) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._ask, args=(ask, request), daemon=True)
        self._thread.start()

    def _ask(self, ask: Callable[[Any], Any], request: Any) -> None:
        try:
            self.answer = ask(request)
        except BaseException as error:
            self.error = error

    def ended(self, seconds: float = PATIENCE) -> bool:
        """Whether there is an answer or an error, after waiting for it."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


def comes_about(holds: Callable[[], object]) -> bool:
    """Whether a condition holds, now or within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not (held := bool(holds())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held
