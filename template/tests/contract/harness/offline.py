"""The offline LLM in a test."""

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import httpx
import pytest

from .agents import Request
from .conversation import joined, strings
from .observations import Observations
from .project import PACKAGE
from .provider import HOST
from .rules import NotCheckedError, NotProvenError
from .waiting import PATIENCE, Attempt, eventually

# A model of the offline LLM that does not answer before the test ends.
SILENT = "silent"
# An agent that calls the LLM more often for one answer does not stop.
MAX_CALLS = 100
# After this many checks, the parallel requests of the same answer have arrived.
QUIET_CHECKS = 10
# The error with status 400 of a refused request.
TOO_LONG = {
    "message": "This model's maximum context length is 128000 tokens.",
    "code": "context_length_exceeded",
}
# Models that were logged before v0.5.0 have the second module; the oldest are synchronous.
MODULES = (f"{PACKAGE}.runtime.llm.offline", f"{PACKAGE}.offline_llm")


class OfflineLLM:
    """Controls the offline LLM in a test and records its requests.

    Agents call it through runtime/llm, or with a client of their own through `provider.py`.

    Args:
        patch: Selects the model.
        observe: Returns what the agent did in another process.

    Attributes:
        in_flight: The number of requests without a response.
        bodies: The bodies of the requests, JSON.
        attempts: The attempt that sent each request, None if its thread or client hides it.
        held_call: The number of the first request that is not answered before `released`, or 0.
        quiet_checks: The number of checks by waiting requests since the last request arrived.
        held_back: The number of the request whose response waits for `released` before it ends.
        broken: The number of the request whose stream breaks before its end.
        refusal: The status of all responses if the LLM refuses requests.
        refused_from: The number of the first request that it refuses.
        released: Whether requests to `SILENT` and from `held_call` on are answered, and the
            held-back response ends.
        has_own_client: Whether the agent calls the LLM with a client of its own.
    """

    def __init__(self, patch: pytest.MonkeyPatch, observe: Callable[[], Observations]) -> None:
        self._patch = patch
        self._observe = observe
        self.in_flight = 0
        self.bodies: list[str] = []
        self.attempts: list[Attempt | None] = []
        self.held_call = 0
        self.quiet_checks = 0
        self.held_back = 0
        self.broken = 0
        self.refusal: int | None = None
        self.refused_from = 0
        self.released = False
        self._meeting: asyncio.Barrier | None = None
        self._meets = True  # until two requests have failed to meet
        self.has_own_client = False
        self._lock = Lock()  # requests may arrive in several threads
        transport = _transport()
        if hasattr(transport, "handle_async_request"):
            patch.setattr(transport, "handle_async_request", self._recording(transport))
        elif transport:
            patch.setattr(transport, "handle_request", self._recording_synchronously(transport))

    @property
    def calls(self) -> int:
        """The number of requests."""
        return len(self.bodies)

    def _recording(self, transport: Any) -> Any:
        handle = transport.handle_async_request

        async def record(transport: Any, request: httpx.Request) -> httpx.Response:
            self.has_own_client |= request.url.host == HOST
            with self._record((await request.aread()).decode()) as (number, is_waiting):
                while is_waiting():
                    await asyncio.sleep(0.02)
                await self._meet()
                if refused := self._refused(number):
                    return refused
                response = await handle(transport, request)
            if response.headers.get("content-type") != "text/event-stream":
                return response
            content = response.aiter_raw()
            if number == self.held_back:
                content = self._without_end(content)
            if number == self.broken:
                content = _broken(content)
            return httpx.Response(200, headers=response.headers, content=content)

        return record

    async def _meet(self) -> None:
        """Wait until two requests are here, so that they continue at the same time."""
        if self._meeting:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._meeting.wait()
            except TimeoutError:  # the agent runs one request after the other
                self._meeting, self._meets = None, False
            except RuntimeError:  # the second request runs on another event loop
                pass

    async def _without_end(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the words of a completion, and its end only after the release."""
        async for chunk in chunks:
            while b"finish_reason" in chunk and not self.released:
                await asyncio.sleep(0.02)
            yield chunk

    def _recording_synchronously(self, transport: Any) -> Any:
        handle = transport.handle_request

        def record(transport: Any, request: httpx.Request) -> httpx.Response:
            with self._record(request.read().decode()) as (number, is_waiting):
                while is_waiting():
                    time.sleep(0.02)
                return self._refused(number) or handle(transport, request)

        return record

    @contextmanager
    def _record(self, body: str) -> Generator[tuple[int, Callable[[], bool]]]:
        """Yield the number of a request, and a function that returns whether it has to wait."""
        with self._lock:
            self.bodies.append(body)
            self.attempts.append(Attempt.current.get())
            number = self.calls
            self.in_flight += 1
        self.quiet_checks = 0
        is_held = 0 < self.held_call <= number or json.loads(body)["model"] == SILENT

        def is_waiting() -> bool:
            self.quiet_checks += 1
            return is_held and not self.released

        try:
            yield number, is_waiting
        finally:
            with self._lock:
                self.in_flight -= 1

    def _refused(self, number: int) -> httpx.Response | None:
        """Return the response to a refused request, or None if the LLM answers it."""
        if not self.refusal or number < self.refused_from:
            return None
        headers = {"retry-after-ms": "1", "x-should-retry": "false"}
        error = TOO_LONG if self.refusal == httpx.codes.BAD_REQUEST else {"message": "Refused."}
        return httpx.Response(self.refusal, headers=headers, json={"error": error})

    def use(self, model: str, provider: str = "offline") -> None:
        """Select a model of the offline LLM, or `SILENT`.

        Args:
            model: The name of the model.
            provider: The provider that the agent calls; `provider.py` is in the place of "openai".
        """
        self._patch.setenv("AGENT_LLM", f"{provider}:/{model}")

    def wait_for(self, attempt: Attempt) -> bool:
        """Wait while an attempt calls the LLM, up to `MAX_CALLS` times, so that tools may be slow.

        Returns:
            Whether the attempt has finished.
        """
        calls = -1
        while calls < self.calls <= MAX_CALLS:
            calls = self.calls
            if attempt.finished():
                return True
        return attempt.finished(0)

    def tools(self) -> list[dict[str, Any]]:
        """Return the functions that the requests offer, each once."""
        tools = (tool for body in self.bodies for tool in json.loads(body).get("tools") or [])
        return list({tool["function"]["name"]: tool["function"] for tool in tools}.values())

    def let_two_meet(self) -> None:
        """Let two requests at a time continue together, from now on."""
        self._meeting = asyncio.Barrier(2) if self._meets else None

    def use_provider(self, name: str) -> None:
        """Answer as `tools`, with the stream of a provider."""
        if self.has_own_client:
            pytest.skip("the agent's own LLM client is for one provider")
        try:
            importlib.import_module(f"{MODULES[0]}.dialects")
        except ImportError:
            pytest.skip("the model was logged with a template before v0.6.0")
        self.use(f"tools@{name}")

    def report_tokens(self) -> None:
        """Report 3 tokens per completion, instead of none."""
        if self.has_own_client:
            pytest.skip("the server counts only the tokens of runtime/llm")
        transport: Any = importlib.import_module(f"{MODULES[0]}.transport")
        if not hasattr(transport, "USAGE"):
            pytest.skip("the model was logged with a template before v0.8.0")
        usage = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
        self._patch.setattr(transport, "USAGE", usage)

    def repeat_all_messages(self) -> None:
        """Answer with the texts of all messages, instead of the last one of the user."""
        try:
            replies = importlib.import_module(f"{MODULES[0]}.replies")
        except ImportError:
            pytest.skip("the model was logged with a template before v0.5.0")

        def repeat(messages: list[Any], _tools: list[Any]) -> Any:
            return replies.Reply(joined(strings(messages)))

        self._patch.setitem(replies.REPLIES, "repeat", repeat)
        self.use("repeat")

    @contextmanager
    def one_request_waiting(
        self, call: Callable[[Request], object], request: Request
    ) -> Generator[None]:
        """Keep one request waiting for the LLM in the block; the LLM answers all others."""
        self.use(SILENT)
        waiting = Attempt(call, request)
        started = eventually(lambda: self.calls or waiting.finished(0))
        assert started, f"For {PATIENCE} s a request neither called the LLM nor finished."
        self.skip_if_unused()
        self.use("demo")
        try:
            yield
        finally:
            self.released = True
            waiting.finished()  # so that its trace does not appear in another test

    def hold(self, call: Callable[[Request], object], request: Request, first: int) -> Attempt:
        """Send a request to the agent, and keep it waiting for the LLM until `released`.

        The LLM answers later requests to the agent.

        Args:
            first: The number of the first LLM request that waits.
        """
        self.held_call, self.released, self.quiet_checks = first, False, 0
        attempt = Attempt(call, request)
        # An agent may send several LLM requests at the same time. The others arrive between two
        # checks of the first one, even on a busy machine, where they may be a long time apart.
        eventually(lambda: self.quiet_checks >= QUIET_CHECKS or attempt.finished(0))
        self.held_call = 0
        return attempt

    def skip_if_unused(self) -> None:
        """Stop the test if the agent has no LLM, or one that the tests cannot replace.

        Raises:
            NotCheckedError: The model does not answer in a new process.
            NotProvenError: The agent may have an LLM that is not called through this class.
        """
        if self.calls:
            return
        observations = self._observe()
        if observations.error:
            raise NotCheckedError("the model does not answer, see `fresh-process`")
        if not observations.connections:
            pytest.skip("the agent calls no LLM")
        raise NotProvenError(
            f"the agent connects to {', '.join(observations.connections)}, and calls no LLM "
            "through runtime/llm or a client that reads OPENAI_BASE_URL or DATABRICKS_HOST"
        )


async def _broken(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the words of a completion, and then fail like a broken connection."""
    async for chunk in chunks:
        if b"finish_reason" in chunk:
            raise httpx.ReadError("The offline LLM breaks a stream on request.")
        yield chunk


def _transport() -> Any:
    for name in MODULES:
        with suppress(ImportError, AttributeError):
            return importlib.import_module(name).OfflineTransport
    return None
