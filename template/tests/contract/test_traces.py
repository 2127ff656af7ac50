"""Rules about traces: what MLflow shows of a request, and what evaluations read."""

import json
from collections.abc import Callable
from typing import Any

import mlflow
import pytest
from mlflow.entities import SpanType, Trace, TraceState

from .harness.agents import Request, Subject, instance_of
from .harness.rules import rule


def new_traces(ask: Callable[[], object]) -> list[Trace]:
    """The traces that asking leaves in the store."""
    experiment = mlflow.set_experiment("tests")

    def all_traces() -> dict[str, Trace]:
        mlflow.flush_trace_async_logging()
        places = [experiment.experiment_id]
        traces: Any = mlflow.search_traces(locations=places, return_type="list")
        return {trace.info.trace_id: trace for trace in traces}

    before = all_traces()
    ask()
    return [trace for key, trace in all_traces().items() if key not in before]


@rule(
    "one-trace",
    "A request makes one trace, whose root is the agent's own span with its input and output.",
    why="Review App, evaluations and monitoring read the request and the answer from that span.",
    mend="Do not decorate `predict` and `predict_stream`, since MLflow traces them; open other "
    "spans inside them only.",
)
@pytest.mark.parametrize("method", ["predict", "stream"])
def test_one_trace(
    agent: Subject, example: Request, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    instance_of(agent)
    monkeypatch.setenv("AGENT_LLM", "offline:/tools")
    traces = new_traces(lambda: list(getattr(agent, method)(example)))
    assert len(traces) == 1, f"It made {len(traces)} traces."
    assert traces[0].info.state == TraceState.OK, f"The trace ended as {traces[0].info.state}."
    (root,) = (span for span in traces[0].data.spans if span.parent_id is None)
    name = {"predict": "predict", "stream": "predict_stream"}[method]
    assert root.name == name, f"The root is named {root.name!r}, not {name!r}."
    assert root.span_type == SpanType.AGENT, f"The root is a span of the type {root.span_type}."
    said = [item for item in example["input"] if item.get("role") == "user"][-1]["content"]
    assert json.dumps(said) in json.dumps(root.inputs), (
        f"The root's input is {root.inputs!r}, without what the user said."
    )
    output = root.outputs.get("output") if isinstance(root.outputs, dict) else None
    assert output, f"The root's output is {root.outputs!r}, with no list of items."
