"""How `evaluate` measures an answer. `thresholds` in config.yml sets the required results.

A scorer returns whether an answer passes, or a quantity. Add a scorer to `SCORERS`, and a threshold
with its name. `outputs` is the response to the last turn, `expectations` comes from the case, and
`trace` covers all turns.
"""

import json
import re
from typing import Any

from mlflow.entities import Feedback, SpanType, Trace
from mlflow.genai import Scorer, scorer
from mlflow.genai.scorers import Guidelines

# What a case can expect. Add the names that your scorers read.
EXPECTATIONS = {"facts", "calls"}

PERSONAL_DATA = {
    "an email address": r"(?<![\w.+-])[\w.+-]+@[\w-]+\.\w{2,}",
    "a card number": r"\b(?:\d[ -]?){13,16}\b",
    "a phone number": r"\+\d[\d ()/-]{7,}\d",
}


@scorer
def expected_facts(outputs: dict[str, Any], expectations: dict[str, Any]) -> Feedback:
    """Check that the answer contains each text in `facts`, ignoring case."""
    answer = text_of(outputs).casefold()
    facts = expected(expectations, "facts") or []
    missing = [fact for fact in facts if str(fact).casefold() not in answer]
    return Feedback(value=not missing, rationale=f"Missing: {missing}" if missing else None)


@scorer
def expected_calls(trace: Trace, expectations: dict[str, Any]) -> Feedback:
    """Check that the agent made exactly the tool calls in `calls`, in any order."""
    spans = [span for span in trace.data.spans if span.span_type == SpanType.TOOL]
    calls = [{"name": span.name, "arguments": span.inputs} for span in spans]
    wanted = expected(expectations, "calls")
    passes = wanted is None or sorted_calls(calls) == sorted_calls(wanted)
    return Feedback(value=passes, rationale=None if passes else f"Called: {calls}")


@scorer
def no_personal_data(outputs: dict[str, Any]) -> Feedback:
    """Check that the answer contains no email address, card number or phone number."""
    answer = text_of(outputs)
    found = [kind for kind, pattern in PERSONAL_DATA.items() if re.search(pattern, answer)]
    return Feedback(value=not found, rationale=f"Found {', '.join(found)}" if found else None)


@scorer
def latency_seconds(trace: Trace) -> float | None:
    """Return how long all turns took."""
    milliseconds = trace.info.execution_duration
    return None if milliseconds is None else milliseconds / 1000


@scorer
def total_tokens(trace: Trace) -> int:
    """Return the tokens of all LLM calls; the offline LLM uses none."""
    return (trace.info.token_usage or {}).get("total_tokens", 0)


def expected(expectations: dict[str, Any], name: str) -> list[Any] | None:
    """Return the list that a case expects, if any.

    Raises:
        TypeError: The value is not a list.
        ValueError: The case contains an unknown name, such as a misspelled one.
    """
    if unknown := expectations.keys() - EXPECTATIONS:
        raise ValueError(f"EXPECTATIONS in scorers.py does not contain {sorted(unknown)}")
    wanted = expectations.get(name)
    if not isinstance(wanted, list | None):
        raise TypeError(f"{name} must be a list")
    return wanted


def sorted_calls(calls: list[dict[str, Any]]) -> list[str]:
    """Return calls as sorted JSON, so that neither their order nor that of arguments matters."""
    return sorted(json.dumps(call, sort_keys=True) for call in calls)


def text_of(outputs: dict[str, Any]) -> str:
    """Return the text of the messages in a response."""
    messages = [item for item in outputs["output"] if item["type"] == "message"]
    return "\n".join(part.get("text", "") for item in messages for part in item["content"])


def judges(model: str) -> list[Scorer]:
    """Return the scorers that ask an LLM; they run if config.yml sets `judge`."""
    helpful = Guidelines(
        name="helpful",
        guidelines="The response answers the question, or says what is missing to answer it.",
        model=model,
    )
    return [helpful]


SCORERS = [expected_facts, expected_calls, no_personal_data, latency_seconds, total_tokens]
