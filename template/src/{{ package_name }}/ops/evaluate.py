"""Evaluates the agent: answers the cases in `evaluation/`, and measures the answers with MLflow."""

import io
import json
import runpy
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import mlflow
from mlflow.entities import Feedback, Trace, TraceState
from mlflow.genai import Scorer, scorer
from mlflow.types.responses import ResponsesAgentResponse
from pydantic import ValidationError

from ..runtime.config import Config, ConfigError
from ..runtime.items import items_text
from .cases import Case, Inputs, Row, Score
from .llm_check import require_response
from .project import ROOT

SCORERS = ROOT / "evaluation" / "scorers.py"

# Takes a request of the Responses API, and returns the response.
Respond = Callable[[dict[str, Any]], dict[str, Any]]


def load_scorers(judge: str | None) -> list[Scorer]:
    """Return the scorers in `evaluation/scorers.py`, and those that ask the judge if there is one.

    Raises:
        ConfigError: The file fails, or lists something else than scorers.
    """
    sys.path.append(str(SCORERS.parent))  # for modules that it imports
    try:
        names = runpy.run_path(str(SCORERS))
        scorers = [contract, *names["SCORERS"], *(names["judges"](judge) if judge else [])]
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(f"evaluation/scorers.py failed with {problem}.") from error
    for one in scorers:
        if not isinstance(one, Scorer):
            raise ConfigError(
                f"SCORERS in evaluation/scorers.py contains {one!r}, which is not a scorer. Write "
                "`@scorer` above the function."
            )
    return scorers


@scorer
def contract(outputs: Any) -> bool:
    """Check that the answer is a response of the Responses API that contains a message."""
    response = ResponsesAgentResponse.model_validate(outputs)
    return any(item.type == "message" for item in response.output)


def check_judge(config: Config) -> None:
    """Send the judge a short request.

    Otherwise, MLflow retries an unreachable judge for minutes per case.

    Raises:
        ConfigError: The judge is not openai:/MODEL or databricks:/ENDPOINT.
        LLMError: The judge does not answer.
    """
    if config.judge:
        if not config.judge.startswith(("openai:/", "databricks:/")):
            raise ConfigError(
                f"config.yml sets `judge` to {config.judge!r}. Set it to openai:/MODEL or "
                "databricks:/ENDPOINT."
            )
        require_response(config.judge, config.llm_timeout_seconds)


def evaluate_cases(cases: Sequence[Case], scorers: list[Scorer], respond: Respond) -> list[Row]:
    """Answer and measure all cases in the active run.

    Returns:
        A row per case, in the same order.
    """
    data = [case.model_dump(exclude_none=True) for case in cases]
    # The LLM and the tools have spans. Those of autologging would count the tokens twice.
    mlflow.autolog(disable=True, silent=True)
    with redirect_stdout(io.StringIO()):  # MLflow prints where to find the results
        result = mlflow.genai.evaluate(
            data=data, predict_fn=conversation_with(respond), scorers=scorers
        )
    traces = result.result_df["trace"] if result.result_df is not None else []
    rows = {row.case.key: row for row in map(row_of, traces)}
    lost = "MLflow recorded no trace."
    return [rows.get(case.key) or Row(case=case, error=lost) for case in cases]


def conversation_with(respond: Respond) -> Callable[..., dict[str, Any]]:
    """Return the function that answers a case: all its turns, in one trace."""

    @mlflow.trace(name="case")
    def answer(turns: list[str], custom_inputs: dict[str, Any] | None = None) -> dict[str, Any]:
        fields = {"custom_inputs": custom_inputs} if custom_inputs else {}
        items: list[dict[str, Any]] = []
        response: dict[str, Any] = {}
        for turn in turns:
            items.append({"role": "user", "content": turn})
            response = respond({"input": items, **fields})
            items += response["output"]
        return response

    return answer


def row_of(trace: Trace | str) -> Row:
    """Return the row for the trace of a case; without scores if the agent failed."""
    trace = Trace.from_json(trace) if isinstance(trace, str) else trace
    root = trace.data.spans[0]
    row = Row(case=Case(inputs=Inputs.model_validate(root.inputs)), trace_id=trace.info.trace_id)
    if trace.info.state != TraceState.OK:
        row.error = root.status.description or "The agent failed."
        return row
    feedbacks = [one for one in trace.info.assessments if isinstance(one, Feedback)]
    row.answer = response_text(root.outputs)
    row.scores = {one.name: score_of(one) for one in feedbacks}
    return row


def score_of(feedback: Feedback) -> Score:
    """Return what a scorer found, or why it failed."""
    if error := feedback.error:  # its message may be empty, as that of an assert
        return Score(error=error.error_message or error.error_code or "It raised an exception.")
    return Score(value=feedback.value, rationale=feedback.rationale or "")


def response_text(response: Any) -> str:
    """Return the text of the messages in a response; an invalid response as JSON."""
    try:
        ResponsesAgentResponse.model_validate(response)
    except ValidationError:
        return json.dumps(response, ensure_ascii=False)
    return items_text(response["output"])
