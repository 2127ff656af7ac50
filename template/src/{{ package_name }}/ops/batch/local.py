"""Answers a table on this machine."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import mlflow

from ..project import ProjectError
from ..sampling import TraceSampler
from .agent import BatchAgent
from .answerer import Answerer
from .answers import Answer
from .columns import check_columns
from .output import (
    answered_ids,
    check_output,
    check_separate,
    commit,
    forget_failures,
    open_output,
)
from .progress import Progress
from .questions import Question, check_questions, to_question
from .rate import RateLimit
from .tables import open_table


@dataclass(frozen=True)
class Unstored:
    """Answers that are stored together.

    Attributes:
        answers: The answers.
        name: The name of their files. If an interrupted commit is repeated, it replaces them.
    """

    answers: list[Answer] = field(default_factory=list)
    name: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class LocalBatch:
    """A batch on this machine.

    Attributes:
        source: The table with the questions.
        target: The folder of the output.
        names: The names of the columns in the input.
        concurrency: How many rows are answered at the same time.
        rows_per_commit: How many answers are stored at once.
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
        check_output(self.target)
        check_separate(self.source, self.target)
        table = open_table(self.source)
        check_columns(self.names, table.columns)
        columns = list(self.names.values())
        ids = list(check_questions(table.rows(columns), self.names))
        if not ids:
            raise ProjectError("The input has no rows.")
        with open_output(self.target):
            answered = answered_ids(self.target)
            progress.start(rows=len(ids), answered=sum(one in answered for one in ids))
            questions = (to_question(row, self.names) for row in table.rows(columns))
            missing = (one for one in questions if one.id not in answered)
            forget_failures(self.target)
            self.answer(agent, missing, progress)

    def answer(self, agent: BatchAgent, questions: Iterable[Question], progress: Progress) -> None:
        """Answer questions, and store the answers even if the batch stops early."""
        sampler = TraceSampler(self.traces_per_second)
        answerer = Answerer(agent, RateLimit(self.concurrency), sampler)
        ready = Unstored()

        def store() -> None:
            nonlocal ready
            some = ready.answers
            commit(self.target, some, ready.name)
            ready = Unstored()  # in one step, so that no interruption can come between
            failed = sum(one.status == "failed" for one in some)
            tokens = sum(one.input_tokens + one.output_tokens for one in some)
            progress.add(answered=len(some) - failed, failed=failed, tokens=tokens)

        async def collect() -> None:
            async with aclosing(answerer.answer_all(questions)) as answers:
                async for one in answers:
                    ready.answers.append(one)
                    if len(ready.answers) >= self.rows_per_commit:
                        store()

        try:
            # A command has no running event loop.
            asyncio.run(collect())  # ast-grep-ignore: asyncio-run
        finally:
            try:
                store()
            finally:
                # Otherwise MLflow waits for new traces, and again when Python exits: a second each.
                mlflow.flush_trace_async_logging(terminate=True)
        if answerer.stopped_by:
            raise answerer.stopped_by
