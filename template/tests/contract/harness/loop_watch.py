"""Finds code of the agent that blocks an event loop."""

import asyncio
import sys
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from .errors import innermost_line_of_agent


class LoopWatch:
    """Records each line of the agent's code that blocks a running event loop.

    It detects sleep, name resolution and connections, but not computation. Python cannot remove an
    audit hook, so create only one instance.
    """

    def __init__(self) -> None:
        self._lines: dict[str, None] | None = None
        sys.addaudithook(self._record)

    @contextmanager
    def blocking_lines(self) -> Generator[dict[str, None]]:
        """Yield what is recorded in the block, such as `time.sleep in tools.py, line 12: …`."""
        self._lines = found = {}
        sleep = time.sleep

        def recording_sleep(seconds: float) -> None:
            self._record_line("time.sleep")
            sleep(seconds)

        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "sleep", recording_sleep)
                yield found
        finally:
            self._lines = None

    def _record(self, event: str, arguments: tuple[Any, ...]) -> None:
        # Sockets of an event loop do not block: their timeout is 0.
        connects = event == "socket.connect" and arguments[0].gettimeout() != 0
        if connects or event == "socket.getaddrinfo":
            self._record_line(event)

    def _record_line(self, operation: str) -> None:
        if self._lines is None or not _in_loop():
            return
        if line := innermost_line_of_agent(traceback.extract_stack()):
            self._lines[f"{operation} in {line}"] = None


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
