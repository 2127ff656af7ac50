"""Answers a table on this machine."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow

from ..project import ProjectError
from ..sampling import TraceSampler
from .agent import BatchAgent
from .answers import Answer, Answerer
from .output import answered_ids, commit, forget_failures, open_output
from .progress import Progress
from .questions import Question, check_columns, check_questions, to_question
from .rate import RateLimit
from .tables import open_table


@dataclass(frozen=True)
class LocalBatch:
    """A batch on this machine.

    Attributes:
        source: The table with the questions.
        target: The folder of the output.
        names: The names of the columns in the input.
        concurrency: How many rows are answered at the same time.
        rows_per_commit: After so many answers, they are stored.
        traces_per_second: The number of rows per second to trace.
    """

    source: Path
    target: Path
    names: Mapping[str, str]
    concurrency: int
    rows_per_commit: int
    traces_per_second: int = 1

    def run(self, agent: BatchAgent, progress: Progress) -> None:
        """Answer all rows without an answer in the output.

        Raises:
            ProjectError: The input is invalid, the output is not usable, or the LLM fails.
        """
        with open_output(self.target):
            answered = answered_ids(self.target)
            is_answered = [one in answered for one in check_questions(self.rows(), self.names)]
            if not is_answered:
                raise ProjectError("The input has no rows.")
            progress.start(rows=len(is_answered), answered=sum(is_answered))
            questions = (to_question(row, self.names) for row in self.rows())
            missing = (one for one in questions if one.id not in answered)
            forget_failures(self.target)
            self.answer(agent, missing, progress)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the input."""
        names = list(self.names.values())
        table = open_table(self.source, names)
        check_columns(self.names, table.columns)
        return table.rows(names)

    def answer(self, agent: BatchAgent, questions: Iterable[Question], progress: Progress) -> None:
        """Answer questions, and store the answers even if the batch stops early."""
        sampler = TraceSampler(self.traces_per_second)
        answerer = Answerer(agent, RateLimit(self.concurrency), sampler)
        ready: list[Answer] = []

        def store() -> None:
            some = ready.copy()
            ready.clear()  # first, so that an interruption cannot store them twice
            commit(self.target, some)
            failed = sum(one.error is not None for one in some)
            tokens = sum(one.input_tokens + one.output_tokens for one in some)
            progress.add(answered=len(some) - failed, failed=failed, tokens=tokens)

        async def collect() -> None:
            async with aclosing(answerer.answer_all(questions)) as answers:
                async for one in answers:
                    ready.append(one)
                    if len(ready) >= self.rows_per_commit:
                        store()

        try:
            # A command has no running event loop.
            asyncio.run(collect())  # ast-grep-ignore: asyncio-run
        finally:
            store()
            mlflow.flush_trace_async_logging()
        if answerer.stopped_by:
            raise answerer.stopped_by
