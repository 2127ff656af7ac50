"""From the asynchronous agent to callers that are not: Model Serving, evaluation, the terminal."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def iterate(items: AsyncIterator[Item]) -> Generator[Item, None, None]:
    """Yield what an asynchronous generator yields, as it comes, and raise what it raises.

    It runs as one task of the background event loop and in the caller's context, so that its spans
    belong to the caller's trace. When the caller stops early, it is cancelled.
    """
    arrived: SimpleQueue[Item | _End] = SimpleQueue()
    task = asyncio.run_coroutine_threadsafe(_pass_on(items, arrived), _background_loop(os.getpid()))
    try:
        while not isinstance(item := arrived.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        task.cancel()


@dataclass(frozen=True)
class _End:
    """Nothing more comes, because of an error or because everything was said."""

    error: BaseException | None = None


async def _pass_on(items: AsyncIterator[Item], arrived: SimpleQueue[Item | _End]) -> None:
    try:
        async for item in items:
            arrived.put(item)
    except BaseException as error:  # SystemExit, too, is for the caller: it would end the loop
        arrived.put(_End(error))
    else:
        arrived.put(_End())


@lru_cache(maxsize=1)
def _background_loop(_process: int) -> asyncio.AbstractEventLoop:
    """The event loop of this process, in a thread of its own; after a fork there is another."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="agent", daemon=True).start()
    return loop
