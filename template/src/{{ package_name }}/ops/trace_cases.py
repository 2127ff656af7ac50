"""Turns traces into cases."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import mlflow
from mlflow.entities import SpanType, Trace
from mlflow.exceptions import MlflowException
from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from ..runtime.config import ConfigError
from .cases import Case, Inputs
from .masking import mask

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
        raise ConfigError(f"MLflow rejects the filter {condition!r}: {error}.") from error


def cases_from(traces: Iterable[Trace], known: Iterable[Case]) -> list[Case]:
    """Return a case per conversation, without credentials and personal data.

    The tool calls in the trace become the expected ones. Cases that are known are left out, as are
    conversations that another one continues.
    """
    cases = {case.key: case for trace in traces for case in case_of(trace)}
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
    turns = [text_of(item) for item in items if item.get("role") == "user"]
    if turns and all(turn.strip() for turn in turns):
        expectations = {"calls": [*_calls_before(items), *_calls_in(trace)]}
        yield Case(
            inputs=Inputs(turns=mask(turns), custom_inputs=mask(request.custom_inputs or None)),
            expectations=mask(expectations),
        )


def text_of(item: dict[str, Any]) -> str:
    """Return the text of a message."""
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part.get("text"))


def _calls_before(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the calls of earlier turns, which the client sent; invalid ones were mistakes."""
    for item in items:
        if item["type"] == "function_call":
            with suppress(ValueError):
                arguments = json.loads(item["arguments"] or "{}")
                yield {"name": item["name"], "arguments": arguments}


def _calls_in(trace: Trace) -> list[dict[str, Any]]:
    spans = [span for span in trace.data.spans if span.span_type == SpanType.TOOL]
    return [{"name": span.name, "arguments": span.inputs} for span in spans]


def _is_continued(turns: list[str], conversations: list[list[str]]) -> bool:
    """Return whether another conversation starts with these turns."""
    return any(len(other) > len(turns) and other[: len(turns)] == turns for other in conversations)
