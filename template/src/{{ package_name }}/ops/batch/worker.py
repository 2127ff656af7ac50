"""Checks and answers rows in the Python processes of Spark."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import mlflow
import pyarrow as pa

from ..sampling import TraceSampler
from ..store import connect_store
from .agent import BatchAgent, load_agent
from .answerer import Answerer, in_loop
from .output import SCHEMA
from .questions import to_question
from .rate import RateLimit

ROWS = SCHEMA.append(pa.field("status", pa.string()))
CHECKED = pa.schema([("id", pa.string()), ("problem", pa.string())])
ROWS_PER_RECORD_BATCH = 100

Batches = Iterator[pa.RecordBatch]


def prepare(model_uri: str | None, variables: Mapping[str, str], *, uses_store: bool) -> BatchAgent:
    """Load the agent, once per process."""
    os.environ.update(variables)
    if uses_store:
        connect_store()
    return load_agent(model_uri)


@dataclass(frozen=True)
class RowChecker:
    """Says what is wrong with rows, and loads the agent for the `RowAnswerer` in this process.

    Attributes:
        model_uri: The model to ask; by default the agent in the package.
        uses_store: Whether MLflow's store is available.
        variables: Environment variables for the agent and for MLflow.
    """

    model_uri: str | None
    uses_store: bool
    variables: Mapping[str, str]

    def __call__(self, batches: Batches) -> Batches:
        prepare(self.model_uri, self.variables, uses_store=self.uses_store)
        for batch in batches:
            rows = batch.to_pylist()
            checked = [{"id": row["id"], "problem": self._problem(row)} for row in rows]
            yield pa.RecordBatch.from_pylist(checked, CHECKED)

    def _problem(self, row: Mapping[str, object]) -> str | None:
        if problem := row.get("problem"):
            return f"A row of the input: {problem}"
        try:
            to_question(row)
        except ValueError as error:
            name = f"The row {row['id']!r}" if row["id"] else "A row"
            return f"{name} of the input: {error}"
        return None


@dataclass(frozen=True)
class RowAnswerer:
    """Answers the rows of a partition.

    Attributes:
        concurrency: How many rows of the partition are answered at the same time.
        traces_per_second: The number of rows of the partition per second to trace.

    `RowChecker` describes the others.
    """

    concurrency: int
    traces_per_second: float
    model_uri: str | None
    uses_store: bool
    variables: Mapping[str, str]

    def __call__(self, batches: Batches) -> Batches:
        if not self.traces_per_second:
            mlflow.tracing.disable()
        agent = prepare(self.model_uri, self.variables, uses_store=self.uses_store)
        sampler = TraceSampler(self.traces_per_second)
        answerer = Answerer(agent, RateLimit(self.concurrency), sampler)
        rows = (row for batch in batches for row in batch.to_pylist())
        questions = (to_question(row) for row in rows)
        answers = in_loop(lambda: answerer.answer_all(questions), ROWS_PER_RECORD_BATCH)
        with closing(answers):
            for some in answers:
                yield pa.RecordBatch.from_pylist([one.as_row() for one in some], ROWS)
        mlflow.flush_trace_async_logging()  # Spark may end the process at any time
        deque(batches, maxlen=0)  # Spark fails if the rest stays unread
