"""Answers questions concurrently: the core of both engines."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import mlflow
from mlflow.entities import LiveSpan, SpanType

from ...runtime.items import items_text
from ..sampling import TraceSampler
from .agent import BatchAgent
from .answers import MAX_FAILURES, REQUEST_ERROR, Answer, UnusableLLMError
from .fields import valid_text
from .questions import Question
from .rate import RateLimit

ATTEMPTS = 3
BUSY = (429, 529)  # the statuses of an LLM with too many requests

Outcome = tuple[Answer, Exception | None]  # the answer with its error


@dataclass
class Answerer:
    """Answers many questions at the same time.

    Attributes:
        agent: The agent.
        limit: How many questions are answered at the same time.
        sampler: Which of them are traced.
        stopped_by: Why the answers ended early: the LLM is not usable.
    """

    agent: BatchAgent
    limit: RateLimit
    sampler: TraceSampler
    stopped_by: UnusableLLMError | None = None

    async def answer_all(self, questions: Iterable[Question]) -> AsyncGenerator[Answer]:
        """Yield answers as they are ready, until `MAX_FAILURES` valid questions in a row failed."""
        self.agent.request_whole_completions()
        threads = ThreadPoolExecutor(self.limit.maximum, "batch")
        asyncio.get_running_loop().set_default_executor(threads)
        running: set[asyncio.Task[Outcome]] = set()
        done: asyncio.Queue[asyncio.Task[Outcome]] = asyncio.Queue()
        rows = iter(questions)
        failures = 0
        try:
            while failures < MAX_FAILURES:
                for question in islice(rows, self.limit.maximum - len(running)):
                    task = asyncio.create_task(self.answer(question))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    task.add_done_callback(done.put_nowait)
                if not running and done.empty():
                    return
                answer, error = (await done.get()).result()
                if error is None:
                    failures = 0
                elif not is_invalid(error):
                    failures += 1
                yield answer
            self.stopped_by = UnusableLLMError(failures, answer.error)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def answer(self, question: Question) -> Outcome:
        """Answer a question. Repeats it while the LLM is too busy."""
        for attempt in range(1, ATTEMPTS):
            answer, error = await self._try(question, attempt)
            if not is_busy(error):
                return answer, error
        return await self._try(question, ATTEMPTS)

    async def _try(self, question: Question, attempt: int) -> Outcome:
        """Ask a question once, and return the answer with its error."""
        async with self.limit.slot():
            started = time.monotonic()
            tokens = self.agent.record_completions()
            items: list[Any] | None = None
            error: Exception | None = None
            with self.sampler.sample() as is_sampled, trace_answer(is_sampled) as span:
                if span:
                    span.set_inputs(question.request.model_dump(exclude_none=True))
                try:
                    items = await self.agent.items(question.request)
                    if span:
                        span.set_outputs({"output": items})
                except Exception as caught:
                    error = caught
                    if span:
                        span.record_exception(caught)
                else:
                    self.limit.succeeded()
            if is_busy(error):
                self.limit.refused(getattr(error, "retry_after", None))
        reason = getattr(tokens, "incomplete_reason", None)  # older models do not record it
        problem = f"The answer is incomplete: {reason}." if reason else None
        answer = Answer(
            id=question.id,
            answer=None if items is None else valid_text(items_text(items)),
            output=None if items is None else valid_text(json.dumps(items, ensure_ascii=False)),
            error=valid_text(f"{type(error).__name__}: {error}") if error else problem,
            attempts=attempt,
            seconds=time.monotonic() - started,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            trace_id=span.trace_id if isinstance(span, LiveSpan) else None,
            status="failed" if error else "answered",
        )
        return answer, error


@contextmanager
def trace_answer(is_sampled: bool) -> Generator[LiveSpan | None]:
    """Trace the block. Spans that are not sampled are expensive, too, so they are left out."""
    if not is_sampled:
        yield None
        return
    with mlflow.start_span("batch", SpanType.AGENT) as span:
        yield span


def is_busy(error: Exception | None) -> bool:
    """Return whether an LLM refused a request because it has too many; clients differ in names."""
    return (getattr(error, "status", None) or getattr(error, "status_code", None)) in BUSY


def is_invalid(error: Exception) -> bool:
    """Return whether a question failed because of itself, which says nothing about the LLM."""
    # A logged model has its own class of this name.
    return type(error).__name__ == REQUEST_ERROR or getattr(error, "is_too_long", False)


def in_loop(make: Callable[[], AsyncGenerator[Answer]], size: int) -> Generator[list[Answer]]:
    """Yield up to `size` answers of an asynchronous iterator at once, on an event loop."""
    with asyncio.Runner() as runner:  # ast-grep-ignore: asyncio-run
        answers = make()
        try:
            while some := runner.run(_take(answers, size)):
                yield some
        finally:
            runner.run(answers.aclose())


async def _take(answers: AsyncIterator[Answer], size: int) -> list[Answer]:
    some: list[Answer] = []
    async for one in answers:
        some.append(one)
        if len(some) == size:
            break
    return some
