"""Calls an agent that may never answer, and waits for conditions.

Waits consist of short steps, so that they take longer on a busy machine.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from threading import Thread
from typing import Any

PATIENCE = 20  # seconds
STEP = 0.02  # seconds


class Attempt:
    """A call of the agent in a thread; `answer` or `error` is set when it has finished."""

    # The attempt to which the code that runs belongs.
    current: ContextVar["Attempt | None"] = ContextVar("current", default=None)

    def __init__(self, call: Callable[[Any], Any], request: Any) -> None:
        self.answer: Any = None
        self.error: BaseException | None = None
        # With the context variables of the test, such as the headers of the request.
        run = copy_context().run
        self._thread = Thread(target=run, args=(self._run, call, request), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[Any], Any], request: Any) -> None:
        self.current.set(self)
        try:
            self.answer = call(request)
        except BaseException as error:
            self.error = error

    def finished(self, seconds: float = PATIENCE) -> bool:
        """Wait for the call, and return whether it has finished."""
        return wait_until(lambda: not self._thread.is_alive(), seconds, self._thread.join)


def eventually(condition: Callable[[], object]) -> bool:
    """Return whether a condition becomes true within `PATIENCE`."""
    return wait_until(condition, PATIENCE, time.sleep)


def wait_until(
    condition: Callable[[], object], seconds: float, wait: Callable[[float], None]
) -> bool:
    """Wait in steps until a condition is true, and return whether it is.

    Args:
        condition: It is checked before the first step and after each.
        seconds: How long all steps take on an idle machine.
        wait: Waits for a number of seconds, or less.
    """
    for _ in range(round(seconds / STEP)):
        if condition():
            return True
        wait(STEP)
    return bool(condition())
