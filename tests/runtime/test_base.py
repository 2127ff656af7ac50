"""The base class of agents: the deadline, and asynchronous events for synchronous callers."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import mlflow
import pytest
from mlflow.entities import SpanStatusCode
from mlflow.tracing.trace_manager import InMemoryTraceManager
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package
from tests.server.scripted import Events, delta, message
from tests.server.serving import HELLO, output_text, root_of


async def count(*, seconds_between: float = 0, closed: list[bool]) -> AsyncGenerator[int]:
    """Yield 0, 1, 2 and so on, and record when the generator is closed."""
    number = 0
    try:
        while True:
            yield number
            number += 1
            await asyncio.sleep(seconds_between)
    finally:
        closed.append(True)


async def one_event() -> AsyncGenerator[int]:
    """Yield 1."""
    yield 1


def test_deadline_ends_the_events(package: Package) -> None:
    closed: list[bool] = []
    received = []

    async def read() -> None:
        events = count(seconds_between=0.1, closed=closed)
        async for number in package("runtime.base").with_deadline(events, 0.35):
            received.append(number)

    with pytest.raises(TimeoutError, match="answer_timeout_seconds"):
        asyncio.run(read())
    assert received[:2] == [0, 1]
    assert closed == [True]


def test_events_are_closed_when_the_reader_stops(package: Package) -> None:
    closed: list[bool] = []

    async def read_one() -> None:
        events = count(closed=closed)  # kept, so that Python does not close it as garbage
        with_deadline = package("runtime.base").with_deadline(events, 60)
        assert await anext(with_deadline) == 0
        await with_deadline.aclose()
        assert closed
        await events.aclose()

    asyncio.run(read_one())


def test_timeout_error_of_the_agent_is_not_reported_as_the_deadline(package: Package) -> None:
    async def fail() -> AsyncGenerator[int]:
        yield 0
        raise TimeoutError("The database is slow.")

    async def read() -> None:
        async for _ in package("runtime.base").with_deadline(fail(), 60):
            pass

    with pytest.raises(TimeoutError, match=r"The database is slow\."):
        asyncio.run(read())


def test_iterate_closes_the_generator_when_the_caller_stops(package: Package) -> None:
    is_closed = threading.Event()

    async def events() -> AsyncGenerator[int]:
        try:
            yield 0
            await asyncio.sleep(60)
        finally:
            is_closed.set()

    iterator = package("runtime.base").iterate(events())
    assert next(iterator) == 0
    iterator.close()
    assert is_closed.wait(5)


@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3)])
def test_iterate_raises_the_exception_of_the_generator(
    package: Package, error: BaseException
) -> None:
    async def events() -> AsyncGenerator[int]:
        yield 0
        raise error

    iterate = package("runtime.base").iterate
    received = []
    with pytest.raises(type(error)) as raised:
        received += iterate(events())
    assert raised.value is error

    assert list(iterate(one_event())) == [1], "The event loop did not survive the exception."


def test_iterate_runs_in_the_context_of_the_caller(package: Package) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    async def events() -> AsyncGenerator[str]:
        yield variable.get()

    token = variable.set("of the caller")
    try:
        assert list(package("runtime.base").iterate(events())) == ["of the caller"]
    finally:
        variable.reset(token)


def test_iterate_works_in_a_forked_process(package: Package) -> None:
    iterate = package("runtime.base").iterate
    assert list(iterate(one_event())) == [1]
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits for the parent's event loop
        os._exit(int(list(iterate(one_event())) != [1]))
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_iterate_works_on_the_loop_that_it_uses(package: Package) -> None:
    iterate = package("runtime.base").iterate

    async def ask_another_agent() -> AsyncGenerator[int]:
        for event in iterate(one_event()):
            yield event + 1

    received: list[int] = []
    caller = threading.Thread(target=lambda: received.extend(iterate(ask_another_agent())))
    caller.daemon = True  # it would wait for itself forever
    caller.start()
    caller.join(20)
    assert received == [2]


def test_concurrent_callers_share_one_loop(package: Package) -> None:
    base = package("runtime.base")
    start = threading.Barrier(8)

    async def running_loop() -> AsyncGenerator[asyncio.AbstractEventLoop]:
        yield asyncio.get_running_loop()

    def call() -> asyncio.AbstractEventLoop:
        start.wait(timeout=20)
        return next(base.iterate(running_loop()))

    base._loops.clear()
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call) for _ in range(8)]
    assert len({done.result() for done in calls}) == 1


def collect_as_garbage(events: list[Any]) -> None:
    """Collect a generator that is part of a reference cycle."""
    cycle = [events.pop()]
    cycle.append(cycle)
    del cycle
    gc.collect()


@pytest.mark.parametrize(
    "leave", [lambda events: events.clear(), lambda events: events[0].close(), collect_as_garbage]
)
@pytest.mark.parametrize("delay", [0, 60])
def test_trace_of_a_reader_that_leaves_contains_what_was_read(
    package: Package, leave: Callable[[list[Any]], None], delay: float
) -> None:
    trace_ids = []

    async def answer(*_: Any) -> Events:
        span = mlflow.get_current_active_span()
        assert span
        trace_ids.append(span.trace_id)
        yield message("First.")
        yield delta("Sec")
        yield delta("ond")
        await asyncio.sleep(delay)
        yield message("Second.")

    agent = type("Agent", (package("runtime.base").AsyncResponsesAgent,), {"answer": answer})
    request = ResponsesAgentRequest.model_validate(HELLO)
    events = [agent(package("agent").AGENT.config).predict_stream(request)]
    for _ in range(3):
        next(events[0])
    leave(events)
    root = root_of(trace_ids[0])
    assert root.status.status_code == SpanStatusCode.OK
    assert output_text(root.outputs) == "First.Second"
    assert root.outputs["output"][-1]["status"] == "incomplete"
    assert trace_ids[0] not in InMemoryTraceManager.get_instance()._traces
