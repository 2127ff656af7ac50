"""Registers, promotes and rolls back versions of the agent in MLflow's registry."""

from collections.abc import Callable
from tempfile import TemporaryDirectory

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from .git import require_commit
from .log_model import llm_for_logging, log_agent
from .project import PROJECT_NAME, ROOT, ProjectError
from .registry import CHALLENGER, CHAMPION, EVALUATION_RUN, Registry
from .template.answers import ANSWERS_FILE, read_answers

PREVIOUS = "previous_champion"  # the tag of a champion that names the one before it


def register(registry: Registry, check: Callable[[str], str]) -> ModelVersion:
    """Register the agent of the current commit as the challenger, unless it is registered.

    Args:
        registry: The registry.
        check: Verifies the model at a URI and returns the report as JSON; raises if a rule failed.

    Raises:
        ProjectError: Something is not committed, the answers file is invalid, or the model is not
            verified.
    """
    commit = require_commit()
    version = registry.of_commit(commit)
    if version is None:
        template = template_version()
        with llm_for_logging():
            model = log_agent()
        registry.client.log_text(model.run_id, check(model.model_uri), "verification.json")
        tags = {"git_commit": commit, "template": template, "mlflow": mlflow.__version__}
        version = mlflow.register_model(model.model_uri, registry.name, tags=tags)
    add_evaluation(registry, version, commit)
    registry.point(CHALLENGER, version)
    return registry.get(version.version)


def add_evaluation(registry: Registry, version: ModelVersion, commit: str) -> None:
    """Tag a version with the newest evaluation of its commit, and copy the report to its run."""
    run = newest_evaluation(commit)
    if run and run.info.run_id != version.tags.get(EVALUATION_RUN):
        with TemporaryDirectory() as folder:
            report = mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path="evaluation", dst_path=folder
            )
            registry.client.log_artifacts(version.run_id or "", report, "evaluation")
        result = run.data.tags["evaluation"]
        registry.tag(version, evaluation=result, **{EVALUATION_RUN: run.info.run_id})


def newest_evaluation(commit: str) -> Run | None:
    """Return the run of the newest evaluation of a commit."""
    runs = mlflow.search_runs(
        filter_string=f"tags.git_commit = '{commit}' and tags.evaluation != ''",
        order_by=["start_time DESC"],
        max_results=1,
        output_format="list",
    )
    return next(iter(runs), None)


def template_version() -> str:
    """Return the version of the template that the repository has; `unknown` if none is recorded.

    Raises:
        ProjectError: The answers file is invalid.
    """
    path = ROOT / ANSWERS_FILE
    if not path.exists():  # the owner no longer updates
        return "unknown"
    return str(read_answers(path).get("_commit") or "unknown")


def require_passed(version: ModelVersion) -> None:
    """Check that a version may become the champion.

    Raises:
        ProjectError: It has not passed an evaluation.
    """
    evaluation = version.tags.get("evaluation", "missing")
    if evaluation != "passed":
        raise ProjectError(
            f"Version {version.version} cannot be promoted, because its evaluation is "
            f"{evaluation}. At its commit, run `uv run {PROJECT_NAME} evaluate` and `register`."
        )


def promote(registry: Registry, version: ModelVersion) -> None:
    """Make a version the champion.

    Raises:
        ProjectError: It has not passed an evaluation.
    """
    require_passed(version)
    champion = registry.with_alias(CHAMPION)
    if champion and champion.version != version.version:
        registry.tag(version, **{PREVIOUS: str(champion.version)})  # a number in a local registry
    registry.point(CHAMPION, version)


def version_before(registry: Registry, answering: str | None) -> ModelVersion:
    """Return the version to roll back to.

    It is the champion before the champion, or the champion itself if the version that answers was
    never promoted.

    Args:
        registry: The registry.
        answering: The version that an endpoint serves; None without an endpoint.

    Raises:
        ProjectError: There is no version to roll back to.
    """
    champion = registry.with_alias(CHAMPION)
    if champion is None:
        raise ProjectError(f"{registry.name} has no champion. Run `uv run {PROJECT_NAME} promote`.")
    previous = champion.tags.get(PREVIOUS)
    # If the version before already answers, an interrupted run has routed the traffic to it.
    if answering not in (None, champion.version, previous):
        return champion
    if previous is None:
        raise ProjectError(
            f"{registry.name} has no version before the champion, which is {champion.version}."
        )
    return registry.get(previous)
