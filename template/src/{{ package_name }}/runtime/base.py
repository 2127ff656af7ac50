"""The base class of the agent: MLflow's synchronous interface around one asynchronous method."""

import asyncio
import os
import threading
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.agent import ChatContext
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
    create_text_output_item,
)

from .config import Config
from .conversation import repair
from .items import done_item, text_delta, unique_id
from .llm import LLM, connect
from .llm.pieces import join_pieces
from .llm.usage import record_completions
from .parameters import llm_options
from .toolbox import watch_running_tools

Event = TypeVar("Event")


class AnswerTimeoutError(TimeoutError):
    """The answer took longer than `answer_timeout_seconds` in `config.yml`."""


class AsyncResponsesAgent(ResponsesAgent):
    """A ResponsesAgent that implements one method, `answer`.

    Model Serving, evaluation and the terminal call `predict` and `predict_stream`; the server calls
    `predict_stream_async`. All of them run `answer`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def answer(
        self, request: ResponsesAgentRequest, llm: LLM
    ) -> AsyncGenerator[ResponsesAgentStreamEvent]:
        """Answer a request: write `async def answer` and `yield` the events.

        Yield a text delta per piece of text as it arrives, and one done event per item: reasoning,
        message, tool call, tool output.
        """

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        """Return the complete answer: the items that `predict_stream` completes, in order."""
        record = record_completions()
        with join_pieces():
            events = list(self.predict_stream(request))
        items: list[Any] = [item for event in events if (item := done_item(event))]
        outputs = [event.custom_outputs for event in events if event.custom_outputs is not None]
        return ResponsesAgentResponse(
            output=items,
            custom_outputs=outputs[-1] if outputs else None,
            **record.outcome(),
            **record.usage(),
        )

    def predict_stream(
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent]:
        """Yield the events of `predict_stream_async` to a synchronous caller."""
        span, events = mlflow.get_current_active_span(), []
        try:
            for event in iterate(self.predict_stream_async(request)):
                events.append(event)
                yield event
        except BaseException as error:
            # MLflow ends the span only after the last event or an `Exception`, so the trace of a
            # caller that stops early would stay in progress.
            if span and not isinstance(error, Exception):
                span.end(outputs=output_so_far(events))
            raise

    async def predict_stream_async(
        self, request: ResponsesAgentRequest
    ) -> AsyncGenerator[ResponsesAgentStreamEvent]:
        """Yield the events of the answer as they arrive.

        Raises:
            RequestError: The request has a parameter that the agent does not support.
            LLMError: The LLM is misconfigured or did not answer.
            AnswerTimeoutError: The answer took longer than `answer_timeout_seconds`.
        """
        tag_trace(request)
        llm = connect(
            self.config.llm_uri(),
            timeout=self.config.llm_timeout_seconds,
            max_retries=self.config.llm_max_retries,
            options=self.config.llm_options | llm_options(request),
        )
        events = self.answer(request.model_copy(update={"input": repair(request.input)}), llm)
        seconds, tools = self.config.answer_timeout_seconds, watch_running_tools()
        async with aclosing(with_deadline(events, seconds, tools)) as limited:
            async for event in limited:
                yield event


def output_so_far(events: list[ResponsesAgentStreamEvent]) -> dict[str, Any]:
    """Return the finished items, and as the last item the text of an unfinished message."""
    items: list[Any] = []
    text = ""
    for event in events:
        text += text_delta(event)
        if item := done_item(event):
            items.append(item)
            text = ""
    message = create_text_output_item(text, unique_id("msg")) | {"status": "incomplete"}
    return {"object": "response", "output": [*items, message] if text else items}


async def with_deadline(
    events: AsyncGenerator[Event], seconds: float, running_tools: Sequence[str] = ()
) -> AsyncGenerator[Event]:
    """Yield events until the deadline, `seconds` from now.

    Raises:
        AnswerTimeoutError: The events did not end before the deadline. The message names the tools
            that were running.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(deadline) as timeout:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not timeout.expired():
                    raise
                names = ", ".join(running_tools)
                cause = f" These tools did not finish: {names}." if names else ""
                raise AnswerTimeoutError(
                    f"The answer took longer than answer_timeout_seconds in config.yml.{cause}"
                ) from error
            yield event


def tag_trace(request: ResponsesAgentRequest) -> None:
    """Record the user and the conversation of the request in its trace."""
    if mlflow.get_current_active_span():
        context = request.context or ChatContext()
        tags = {
            "mlflow.trace.user": context.user_id or request.user,
            "mlflow.trace.session": context.conversation_id,
        }
        # MLflow rejects session ids of more than 250 characters.
        metadata = {key: tag[:250] for key, tag in tags.items() if tag}
        mlflow.update_current_trace(metadata=metadata)


def iterate(events: AsyncIterator[Event]) -> Generator[Event]:
    """Yield the events of an asynchronous iterator in a synchronous function.

    The iterator runs as one task on a background event loop, in the context of the caller, so its
    spans belong to the caller's trace. The task is cancelled when the caller stops early.
    """
    queue: SimpleQueue[Event | _End] = SimpleQueue()
    loop = _background_loop()
    task = asyncio.run_coroutine_threadsafe(_put_all(events, queue), loop)
    try:
        while not isinstance(event := queue.get(), _End):
            yield event
        if event.error:
            raise event.error
    finally:
        task.cancel()


@dataclass(frozen=True)
class _End:
    """The end of the events, with the exception that caused it, if any."""

    error: BaseException | None = None


async def _put_all(events: AsyncIterator[Event], queue: SimpleQueue[Event | _End]) -> None:
    try:
        async for event in events:
            queue.put(event)
    except BaseException as error:  # the caller gets SystemExit, too; here it would stop the loop
        queue.put(_End(error))
    else:
        queue.put(_End())


_LOOP_THREAD = "agent event loop"
# By process, because threads do not survive a fork, and by the calling loop's thread, if any.
_loops: dict[tuple[int, int | None], asyncio.AbstractEventLoop] = {}


def _background_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process, started on first use.

    A caller on that loop, such as a tool that asks another agent, gets a loop of its own.
    """
    caller = threading.current_thread()
    key = os.getpid(), caller.ident if caller.name == _LOOP_THREAD else None
    if key not in _loops:
        loop = asyncio.new_event_loop()
        if _loops.setdefault(key, loop) is loop:
            threading.Thread(target=loop.run_forever, name=_LOOP_THREAD, daemon=True).start()
        else:  # another thread was faster
            loop.close()
    return _loops[key]
