"""The answers of a batch. Spark's driver uses this module without the agent and MLflow."""

from dataclasses import asdict, dataclass
from typing import Any

from ..project import ProjectError

# After this many failed questions in a row, the LLM counts as unusable.
MAX_FAILURES = 20
# The agent refuses a question with this error, before it asks the LLM.
REQUEST_ERROR = "RequestError"


@dataclass(frozen=True)
class Answer:
    """A row of the output.

    Attributes:
        id: The id of the question.
        answer: The text of the answer, or None.
        output: The items of the answer, JSON, or None.
        error: Why there is no answer, or why it is incomplete, or None.
        attempts: The number of attempts in this run, without the retries of the LLM's client.
        seconds: How long the last attempt took.
        input_tokens: The tokens of all requests to the LLM, as it counts them.
        output_tokens: The tokens of its completions.
        trace_id: The trace, or None if it is not sampled.
        status: `answered` or `failed`.
    """

    id: str
    answer: str | None
    output: str | None
    error: str | None
    attempts: int
    seconds: float
    input_tokens: int
    output_tokens: int
    trace_id: str | None
    status: str

    def as_row(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


class UnusableLLMError(ProjectError):
    """The batch stopped because too many questions failed in a row.

    Args:
        failures: How many questions failed without an answer between them.
        error: The error of one of them.
    """

    def __init__(self, failures: int, error: str | None) -> None:
        reason = (error or "").rstrip(".")
        super().__init__(
            f"{failures} questions failed in a row: {reason}. Check the LLM, and run the command "
            "again: it continues where it stopped."
        )
