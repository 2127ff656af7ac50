"""The cases of an evaluation and their results."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..runtime.config import ConfigError
from ..runtime.validation import describe_validation_error, parse_json


class Inputs(BaseModel):
    """What a case sends to the agent: the user's messages, one per turn."""

    model_config = ConfigDict(extra="forbid")

    turns: list[str] = Field(min_length=1)
    custom_inputs: dict[str, Any] | None = None


class Case(BaseModel):
    """A line of `cases.jsonl`."""

    model_config = ConfigDict(extra="forbid")

    inputs: Inputs
    expectations: dict[str, Any] = {}

    @property
    def key(self) -> str:
        """The inputs as JSON, by which two evaluations are compared."""
        return self.inputs.model_dump_json(exclude_none=True)

    @property
    def title(self) -> str:
        """The turns in one line."""
        return " → ".join(" ".join(turn.split()) for turn in self.inputs.turns)


class Score(BaseModel):
    """What a scorer returned for a case; `error` says why it failed."""

    value: Any = None
    rationale: str = ""
    error: str = ""


class Row(BaseModel):
    """The results of a case.

    Attributes:
        case: The case.
        answer: The text of the last answer.
        error: Why the agent did not answer, or an empty string.
        trace_id: The trace of all turns.
        scores: The results by the name of the scorer.
    """

    case: Case
    answer: str = ""
    error: str = ""
    trace_id: str = ""
    scores: dict[str, Score] = {}


def load_cases(path: Path) -> list[Case]:
    """Read a file with one case per line.

    Raises:
        ConfigError: The file is missing or empty, a line is invalid, or two cases are equal.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read cases: {error}. Check --cases.") from error
    cases: dict[str, Case] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = Case.model_validate(parse_json(line))
        except ValueError as error:
            is_json = isinstance(error, ValidationError)
            problem = describe_validation_error(error) if is_json else f"Invalid JSON: {error}"
            raise ConfigError(f"{path.name}, line {number}: {problem}.") from error
        if case.key in cases:
            raise ConfigError(f"{path.name}, line {number}: This case occurs twice. Delete one.")
        cases[case.key] = case
    if not cases:
        raise ConfigError(f"{path.name} contains no cases. Write one JSON object per line.")
    return list(cases.values())


def calls_in(items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the tool calls in items of the Responses API, without those with invalid JSON."""
    for item in items:
        if item.get("type") == "function_call":
            with suppress(ValueError):
                arguments = json.loads(item["arguments"] or "{}")
                yield {"name": item["name"], "arguments": arguments}
