"""Cases from traces: which requests become cases, and with which expectations."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import TraceState

from tests.conftest import Package

QUESTION = {"role": "user", "content": "What time is it in Oslo?"}


@pytest.fixture
def cases(package: Package) -> Any:
    """A function that returns the cases for a trace with these inputs."""
    module = package("ops.trace_cases")

    def cases_of(*inputs: Any) -> list[dict[str, Any]]:
        spans = [SimpleNamespace(inputs=one, span_type="AGENT") for one in inputs]
        return [one.model_dump(exclude_none=True) for one in module.case_of(trace_of(spans))]

    return cases_of


def trace_of(spans: list[Any], state: TraceState = TraceState.OK) -> Any:
    """Return a trace with spans."""
    return SimpleNamespace(data=SimpleNamespace(spans=spans), info=SimpleNamespace(state=state))


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


def test_the_newest_trace_that_did_not_fail_says_which_calls_are_expected(package: Package) -> None:
    """A trace that failed is a case, too, but its calls are not complete."""
    module = package("ops.trace_cases")

    def trace_about(place: str, state: TraceState) -> Any:
        root = SimpleNamespace(span_type="AGENT", inputs={"input": [QUESTION]})
        call = SimpleNamespace(span_type="TOOL", name="current_time", inputs={"place": place})
        return trace_of([root, call], state)

    newest, oldest = trace_about("Oslo", TraceState.OK), trace_about("Rome", TraceState.OK)
    (case,) = module.cases_from([newest, oldest], [])
    assert case.expectations["calls"][0]["arguments"] == {"place": "Oslo"}
    (failed,) = module.cases_from([trace_about("Oslo", TraceState.ERROR)], [])
    assert failed.expectations == {}


def test_the_start_of_another_conversation_is_left_out(package: Package) -> None:
    items = [[QUESTION], [QUESTION, {"role": "assistant", "content": "12:00"}, QUESTION]]
    traces = [
        trace_of([SimpleNamespace(span_type="AGENT", inputs={"input": one})]) for one in items
    ]
    (case,) = package("ops.trace_cases").cases_from(traces, [])
    assert case.inputs.turns == [QUESTION["content"]] * 2


def test_everything_in_a_case_is_masked(cases: Any) -> None:
    answer = {"role": "assistant", "content": "Done."}
    call = {"type": "function_call", "id": "1", "call_id": "1", "name": "send"}
    sent = call | {"arguments": '{"to": "a@b.example"}'}
    (case,) = cases(
        {"input": [QUESTION, answer, sent], "custom_inputs": {"user": "a@b.example", "token": "x"}}
    )
    assert case == {
        "inputs": {
            "turns": [QUESTION["content"]],
            "custom_inputs": {"user": "<EMAIL>", "token": "<SECRET>"},
        },
        "expectations": {"calls": [{"name": "send", "arguments": {"to": "<EMAIL>"}}]},
    }
    (plain,) = cases({"input": [QUESTION, call | {"arguments": ""}], "custom_inputs": {}})
    assert plain == {
        "inputs": {"turns": [QUESTION["content"]]},
        "expectations": {"calls": [{"name": "send", "arguments": {}}]},
    }


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
