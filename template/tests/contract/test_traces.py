"""Rules about traces, which MLflow shows and evaluations read."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import SpanType, Trace, TraceState

from .harness.agents import Agent, Request, instance_of
from .harness.canaries import Canaries
from .harness.rules import ENDLESS_FAILURE, NotCheckedError, rule
from .harness.waiting import Attempt


def new_traces(call: Callable[[], object]) -> list[Trace]:
    """Return the traces that a call adds to the store."""
    experiment = mlflow.set_experiment("tests")

    def all_traces() -> dict[str, Trace]:
        mlflow.flush_trace_async_logging()
        locations = [experiment.experiment_id]
        traces: Any = mlflow.search_traces(locations=locations, return_type="list")
        return {trace.info.trace_id: trace for trace in traces}

    before = all_traces()
    call()
    return [trace for key, trace in all_traces().items() if key not in before]


@pytest.fixture(scope="module", params=["predict", "stream"])
def method(request: pytest.FixtureRequest) -> str:
    """The method of the agent that is traced."""
    return request.param


@pytest.fixture(scope="module")
def canaries(agent: Agent, model_path: Path) -> Iterator[Canaries]:
    """Recognizes the environment of the agent."""
    instance_of(agent)
    with pytest.MonkeyPatch.context() as patch:
        yield Canaries(patch, model_path)


@pytest.fixture(scope="module")
def traces(agent: Agent, example: Request, method: str, canaries: Canaries) -> list[Trace]:
    """The traces of a request that calls every tool."""

    def answer() -> None:
        list(getattr(agent, method)(example))

    with with_tracing("offline:/tools"):
        answer()  # it may disable tracing
        return new_traces(answer)


@contextmanager
def with_tracing(llm: str) -> Generator[None]:
    """Turn on tracing, which is off for all other rules, and select an LLM."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_LLM", llm)
        mlflow.tracing.enable()
        try:
            yield
        finally:
            mlflow.tracing.disable()


@rule(
    "one-trace",
    "A request creates one trace. Its root is the agent's span, with input and output.",
    why="Review App, evaluations and monitoring read the request and the answer from that span.",
    fix="Do not decorate `predict` and `predict_stream`: MLflow traces them. Open other spans only "
    "inside them.",
)
def test_one_trace(traces: list[Trace], example: Request, method: str) -> None:
    assert len(traces) == 1, f"The request created {len(traces)} traces."
    assert traces[0].info.state == TraceState.OK, f"The trace has state {traces[0].info.state}."
    roots = [span for span in traces[0].data.spans if span.parent_id is None]
    assert len(roots) == 1, f"The trace has {len(roots)} root spans."
    (root,) = roots
    name = {"predict": "predict", "stream": "predict_stream"}[method]
    assert root.name == name, f"The root span is named {root.name!r}, not {name!r}."
    assert root.span_type == SpanType.AGENT, f"The root span has type {root.span_type}."
    texts = [item["content"] for item in example["input"] if item.get("role") == "user"]
    for text in texts[-1:]:
        assert json.dumps(text) in json.dumps(root.inputs, default=str), (
            f"The input of the root span lacks the user message: {root.inputs!r}."
        )
    output = root.outputs.get("output") if isinstance(root.outputs, dict) else None
    assert output, f"The output of the root span has no items: {root.outputs!r}."


CLOSED_TRACES = rule(
    "closed-traces",
    "Traces contain no values of environment variables, no credentials of callers, and no copy of "
    "the settings.",
    why="Everybody who evaluates, reviews or monitors the agent reads its traces. Credentials in "
    "them stay in the store.",
    fix="Read credentials where they are used, instead of passing them to a traced function or a "
    "tool, and do not put them into attributes, tags or exceptions. Put only the settings that "
    "readers need into tags, one by one.",
)


@CLOSED_TRACES
def test_closed_traces(traces: list[Trace], canaries: Canaries) -> None:
    check_closed(traces, canaries)


@CLOSED_TRACES
def test_closed_traces_of_failures(agent: Agent, example: Request, canaries: Canaries) -> None:
    with with_tracing("offline:/fail"):
        traces = new_traces(lambda: wait_for(Attempt(agent.predict, example)))
    check_closed(traces, canaries)


def wait_for(attempt: Attempt) -> None:
    """Wait until an attempt has finished, perhaps with an error."""
    if not attempt.finished():
        raise NotCheckedError(ENDLESS_FAILURE)


def check_closed(traces: Iterable[Trace], canaries: Canaries) -> None:
    """Assert that traces contain nothing that their readers must not see."""
    for trace in traces:
        for span in trace.data.spans:
            text = json.dumps(span.to_dict(), default=str)
            found = canaries.variables_in(text) or canaries.settings_in(text)
            assert not found, f"The span {span.name} contains {found}."
        text = json.dumps(trace.info.to_dict(), default=str)
        found = canaries.variables_in(text) or canaries.settings_in(text)
        assert not found, f"The info of the trace contains {found}."
