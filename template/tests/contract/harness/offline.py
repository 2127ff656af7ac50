"""The offline LLM in a test."""

import asyncio
import importlib
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from .agents import HELLO, Request
from .project import PACKAGE
from .waiting import PATIENCE, Outcome, comes_about

# A model of the LLM that answers nobody for as long as a test lasts.
SILENT = "silent"


class Asked:
    """Which model of the offline LLM answers, how often the agent asks it, and what at last.

    Attributes:
        times: How often it was asked.
        under_way: How many of those who asked wait for it still.
        last: What it was asked last.
        over: Whether the silence of `SILENT` has ended.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.times = 0
        self.under_way = 0
        self.last = ""
        self.over = False
        try:
            transport = importlib.import_module(f"{PACKAGE}.runtime.llm.offline").OfflineTransport
        except (ImportError, AttributeError):
            return
        answer = transport.handle_async_request

        async def count(transport: Any, request: httpx.Request) -> httpx.Response:
            self.times += 1
            self.last = body = (await request.aread()).decode()
            self.under_way += 1
            try:
                while json.loads(body)["model"] == SILENT and not self.over:
                    await asyncio.sleep(0.02)
                return await answer(transport, request)
            finally:
                self.under_way -= 1

        patch.setattr(transport, "handle_async_request", count)

    def use(self, model: str) -> None:
        """Let this model of the offline LLM answer, or none if it is `SILENT`."""
        self._patch.setenv("AGENT_LLM", f"offline:/{model}")

    @contextmanager
    def one_waiting(self, ask: Callable[[Request], object]) -> Generator[None]:
        """While the block runs, one request waits for the LLM, which answers all others."""
        self.use(SILENT)
        waiting = Outcome(ask, HELLO)
        begun = comes_about(lambda: self.times or waiting.ended(0))
        assert begun, f"For {PATIENCE} s a request neither asked the LLM nor ended."
        self.skip_unless_asked()
        self.use("demo")
        try:
            yield
        finally:
            self.over = True
            waiting.ended()  # lest it leaves a trace in the middle of another test

    def skip_unless_asked(self) -> None:
        """Leave a rule open for an agent that has an LLM of its own, or none."""
        if not self.times:
            pytest.skip("The agent asks no LLM through llm.py, so none can be made to fail.")
