"""Seeing what makes an event loop wait, and with it everybody whom it serves."""

import asyncio
import sys
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from .errors import innermost_of_agent


class LoopWatch:
    """Notes each place where the agent's own code blocks a running event loop.

    It sees sleeping, looking names up, and connecting; not what only computes. Python keeps an
    audit hook for as long as it runs, so one of these is enough.
    """

    def __init__(self) -> None:
        self._places: dict[str, None] | None = None
        sys.addaudithook(self._note)

    @contextmanager
    def places(self) -> Generator[dict[str, None]]:
        """The places that are noted in the block: `time.sleep in tools.py, line 12: …`."""
        self._places = found = {}
        sleep = time.sleep

        def noted_sleep(seconds: float) -> None:
            self._note_place("time.sleep")
            sleep(seconds)

        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "sleep", noted_sleep)
                yield found
        finally:
            self._places = None

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        # A socket of an event loop does not wait: its time-out is 0.
        connects = event == "socket.connect" and arguments[0].gettimeout() != 0
        if connects or event == "socket.getaddrinfo":
            self._note_place(event)

    def _note_place(self, what: str) -> None:
        if self._places is None or not _in_loop():
            return
        if place := innermost_of_agent(traceback.extract_stack()):
            self._places[f"{what} in {place}"] = None


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
