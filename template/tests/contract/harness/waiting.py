"""Calls an agent that may never answer, and waits for conditions."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

PATIENCE = 20  # seconds


class Attempt:
    """A call of the agent in a thread; `answer` or `error` is set when it has finished."""

    def __init__(self, call: Callable[[Any], Any], request: Any) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(call, request), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[Any], Any], request: Any) -> None:
        try:
            self.answer = call(request)
        except BaseException as error:
            self.error = error

    def finished(self, seconds: float = PATIENCE) -> bool:
        """Wait for the call, and return whether it has finished."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


def eventually(condition: Callable[[], object]) -> bool:
    """Return whether a condition becomes true within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not (is_true := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_true
