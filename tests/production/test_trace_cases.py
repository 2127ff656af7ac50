"""Cases from traces: which requests become cases, and with which expectations."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Package

QUESTION = {"role": "user", "content": "What time is it in Oslo?"}


@pytest.fixture
def cases(package: Package) -> Any:
    """A function that returns the cases for a trace with these inputs."""
    module = package("ops.trace_cases")

    def cases_of(*inputs: Any) -> list[dict[str, Any]]:
        spans = [SimpleNamespace(inputs=one, span_type="AGENT") for one in inputs]
        trace = SimpleNamespace(data=SimpleNamespace(spans=spans))
        return [one.model_dump(exclude_none=True) for one in module.case_of(trace)]

    return cases_of


def message(*parts: dict[str, str]) -> dict[str, Any]:
    """Return a message of the user with parts."""
    return {"role": "user", "content": list(parts)}


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        "What time is it?",
        ["What time is it?"],
        {"query": "weather"},
        {"input": "text"},
        {"input": ["a text", "another"], "model": "embeddings"},
        {"input": [1, 2, 3]},
        {"input": [None]},
        {"request": None},
        {"input": []},
        {"input": [{"role": "user"}]},
        {"input": [message({"type": "input_image", "image_url": "https://example.com/a.png"})]},
        {"messages": [QUESTION]},
        {"input": [{"type": "function_call_output", "call_id": "a", "output": "1"}]},
    ],
)
def test_other_traces_are_left_out(cases: Any, inputs: Any) -> None:
    assert cases(inputs) == []


def test_a_trace_without_spans_is_left_out(cases: Any) -> None:
    assert cases() == []


@pytest.mark.parametrize("arguments", ["{", "not JSON"])
def test_invalid_calls_are_not_expected(cases: Any, arguments: str) -> None:
    fields = {"type": "function_call", "id": "1", "call_id": "1", "name": "current_time"}
    invalid, valid = fields | {"arguments": arguments}, fields | {"arguments": '{"place": "Oslo"}'}
    outputs = {"type": "function_call_output", "call_id": "1", "output": "12:00"}
    (case,) = cases({"input": [QUESTION, invalid, outputs, valid, outputs, QUESTION]})
    assert case["inputs"]["turns"] == [QUESTION["content"]] * 2
    assert case["expectations"] == {
        "calls": [{"name": "current_time", "arguments": {"place": "Oslo"}}]
    }


def test_parts_of_a_message_become_one_turn(cases: Any) -> None:
    parts = [{"type": "input_text", "text": text} for text in ("Look at this.", "What is it?")]
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    (case,) = cases({"request": {"input": [message(parts[0], image, parts[1])]}})
    assert case["inputs"]["turns"] == ["Look at this.\nWhat is it?"]
