"""Turns traces into cases."""

from collections.abc import Iterable, Iterator
from typing import Any

import mlflow
from mlflow.entities import SpanType, Trace, TraceState
from mlflow.exceptions import MlflowException
from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from ..runtime.config import ConfigError
from .cases import Case, Inputs, calls_in
from .masking import mask
from .project import cause_of

MAX_TRACES = 1000


def find_traces(experiment_id: str, condition: str) -> list[Trace]:
    """Return the newest traces that match a filter of `mlflow.search_traces`, at most 1,000.

    Raises:
        ConfigError: The filter is invalid.
    """
    try:
        return mlflow.search_traces(
            locations=[experiment_id],
            filter_string=condition,
            max_results=MAX_TRACES,
            return_type="list",
        )
    except MlflowException as error:
        raise ConfigError(
            f"MLflow rejects the filter {condition!r}: {cause_of(error)}. Correct it; the "
            "documentation of mlflow.search_traces has the syntax."
        ) from error


def cases_from(traces: Iterable[Trace], known: Iterable[Case]) -> list[Case]:
    """Return a case per conversation, with masked credentials and personal data.

    The tool calls in the newest trace become the expected ones, unless the agent failed. Cases that
    are known are left out, as are conversations that another one continues.
    """
    cases: dict[str, Case] = {}
    for trace in traces:
        for case in case_of(trace):
            cases.setdefault(case.key, case)
    for case in known:
        cases.pop(case.key, None)
    conversations = [case.inputs.turns for case in cases.values()]
    return [case for case in cases.values() if not _is_continued(case.inputs.turns, conversations)]


def case_of(trace: Trace) -> Iterator[Case]:
    """Yield a case if the trace is a request with text in every message of the user."""
    inputs = trace.data.spans[0].inputs if trace.data.spans else None
    try:
        request = ResponsesAgentRequest.model_validate(
            inputs.get("request", inputs) if isinstance(inputs, dict) else inputs
        )
    except ValidationError:
        return
    items = [item.model_dump(exclude_none=True) for item in request.input]
    turns = [message_text(item) for item in items if item.get("role") == "user"]
    if turns and all(turn.strip() for turn in turns):
        calls = {"calls": [*calls_in(items), *_calls_in(trace)]}
        expectations = calls if trace.info.state == TraceState.OK else {}
        yield Case(
            inputs=Inputs(turns=mask(turns), custom_inputs=mask(request.custom_inputs or None)),
            expectations=mask(expectations),
        )


def message_text(item: dict[str, Any]) -> str:
    """Return the text of a message."""
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("text"))


def _calls_in(trace: Trace) -> list[dict[str, Any]]:
    spans = [span for span in trace.data.spans if span.span_type == SpanType.TOOL]
    return [{"name": span.name, "arguments": span.inputs} for span in spans]


def _is_continued(turns: list[str], conversations: list[list[str]]) -> bool:
    """Return whether another conversation starts with these turns."""
    return any(len(other) > len(turns) and other[: len(turns)] == turns for other in conversations)
