"""Rules about traces, which MLflow shows and evaluations read."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import pytest
from mlflow.entities import SpanType, Trace, TraceState

from .harness.agents import Agent, Request, instance_of
from .harness.rules import rule


@pytest.fixture
def traced(agent: Agent) -> Iterator[None]:
    """Turn tracing on, which is off for all other rules."""
    instance_of(agent)
    mlflow.tracing.enable()
    yield
    mlflow.tracing.disable()


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


@rule(
    "one-trace",
    "A request creates one trace. Its root is the agent's span, with input and output.",
    why="Review App, evaluations and monitoring read the request and the answer from that span.",
    fix="Do not decorate `predict` and `predict_stream`: MLflow traces them. Open other spans only "
    "inside them.",
)
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("method", ["predict", "stream"])
def test_one_trace(
    agent: Agent, example: Request, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("AGENT_LLM", "offline:/tools")
    traces = new_traces(lambda: list(getattr(agent, method)(example)))
    assert len(traces) == 1, f"The request created {len(traces)} traces."
    assert traces[0].info.state == TraceState.OK, f"The trace has state {traces[0].info.state}."
    (root,) = (span for span in traces[0].data.spans if span.parent_id is None)
    name = {"predict": "predict", "stream": "predict_stream"}[method]
    assert root.name == name, f"The root span is named {root.name!r}, not {name!r}."
    assert root.span_type == SpanType.AGENT, f"The root span has type {root.span_type}."
    text = [item for item in example["input"] if item.get("role") == "user"][-1]["content"]
    assert json.dumps(text) in json.dumps(root.inputs), (
        f"The input of the root span lacks the user message: {root.inputs!r}."
    )
    output = root.outputs.get("output") if isinstance(root.outputs, dict) else None
    assert output, f"The output of the root span has no items: {root.outputs!r}."
