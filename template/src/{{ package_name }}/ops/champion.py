"""The evaluation of the champion, the version that answers in production."""

import mlflow
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter, ValidationError

from .cases import Row
from .project import PROJECT_NAME, ProjectError, cause_of
from .registry import CHAMPION, EVALUATION_RUN, Registry

ROWS = TypeAdapter(list[Row])
ROWS_ARTIFACT = "evaluation/rows.json"
ALONE = f"Run `uv run {PROJECT_NAME} evaluate --without-champion`."


def champion_run(registry: Registry) -> str | None:
    """Return the run of the champion's evaluation; None if there is no champion.

    Raises:
        ProjectError: The champion was registered without an evaluation.
    """
    version = registry.with_alias(CHAMPION)
    if version is None:
        return None
    run = version.tags.get(EVALUATION_RUN)
    if not run:
        raise ProjectError(
            f"The champion, version {version.version} of {registry.name}, has no evaluation to "
            f"compare with. {ALONE}"
        )
    return run


def load_rows(run_id: str) -> list[Row]:
    """Return the rows of an evaluation.

    Raises:
        ProjectError: The run has no rows.
    """
    try:
        return ROWS.validate_json(mlflow.artifacts.load_text(f"runs:/{run_id}/{ROWS_ARTIFACT}"))
    except (MlflowException, OSError, ValidationError) as error:
        raise ProjectError(
            f"Cannot read the champion's evaluation in run {run_id}: {cause_of(error)}. {ALONE}"
        ) from error


def compare_runs(run_id: str, champion_run_id: str) -> dict[str, float]:
    """Return the p-values of MLflow's paired tests by scorer, and log them to the run.

    MLflow 3.18 added these tests. With older versions, the result is empty.
    """
    if not hasattr(mlflow.genai, "compare_evaluations"):
        return {}
    result = mlflow.genai.compare_evaluations(run_id, champion_run_id, log_results=True)
    return {name: one.p_value for name, one in result.scorers.items() if one.p_value is not None}
