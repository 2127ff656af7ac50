"""Registers, promotes, deploys and rolls back the agent, and prints which version answers."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from mlflow.entities.model_registry import ModelVersion

from ..ops.evaluation_report import copy_junit
from ..ops.git import require_commit
from ..ops.project import CASES, ProjectError
from ..ops.registry import CHAMPION, Registry
from ..ops.release import (
    PREVIOUS,
    newest_evaluation,
    promote,
    register,
    require_passed,
    version_before,
)
from ..ops.store import connect_store
from ..runtime.config import load_config
from .endpoint_check import check_endpoint
from .errors import debug_command, is_expected, message_of
from .verify import verify

if TYPE_CHECKING:
    from ..ops.endpoint import Endpoint


def release_version(*, registered: bool, junit: Path | None, allow_skipped: bool) -> int:
    """Verify, evaluate, register, deploy, check and promote the agent of the current commit.

    A second run continues where the first one stopped: it skips the evaluation if the commit has
    passed one, and the other steps do only what is missing.

    Args:
        registered: Release the challenger, without the first three steps.
        junit: Write the evaluation to this file as JUnit XML.
        allow_skipped: Skip rules that are not proven.

    Returns:
        The exit code: 0, or that of `verify` or `evaluate` if the agent did not pass.
    """
    endpoint = require_endpoint()
    import_deploy()  # it may be missing, and the first steps take minutes
    if registered:
        with report_version_on_error(endpoint):
            connect_store()
            require_passed(Registry().version_or_challenger(None))  # before it answers
    else:
        if code := verify_and_evaluate(junit, allow_skipped=allow_skipped):
            return code
        print_step("register")
        register_version(allow_skipped=allow_skipped)
    print_step("deploy, and verify the deployed agent")
    deploy_version(None, dry_run=False)
    print_step("promote")
    promote_version(None)
    return 0


def verify_and_evaluate(junit: Path | None, *, allow_skipped: bool) -> int:
    """Verify and evaluate the agent, unless its commit has passed an evaluation."""
    commit = require_commit()
    connect_store()
    run = newest_evaluation(commit)
    if run and run.data.tags["evaluation"] == "passed":
        click.echo(f"Commit {commit[:7]} has passed its evaluation, run {run.info.run_id}")
        if junit:
            copy_junit(run.info.run_id, junit)
        return 0
    print_step("verify")
    if code := verify(allow_skipped=allow_skipped).exit_code:
        return code
    print_step("evaluate")
    from .evaluate import run_evaluation  # imports MLflow's evaluation

    return run_evaluation(CASES, url=None, with_champion=True, junit=junit, as_json=False)


def register_version(*, allow_skipped: bool) -> None:
    """Register the agent of the current commit as the challenger."""
    with report_version_on_error(find_endpoint()):
        store = connect_store()
        registry = Registry()
        click.echo(f"Registering {registry.name} in {store} …", err=True)
        check = partial(verify_model, allow_skipped=allow_skipped)
        version = register(registry, check)
    evaluation = version.tags.get("evaluation", "missing")
    click.echo(f"{label(version)} is the challenger; its evaluation is {evaluation}")


def verify_model(model_uri: str, *, allow_skipped: bool) -> str:
    """Verify a logged model and return the report as JSON.

    Raises:
        ProjectError: A rule failed, or is not proven.
    """
    report = verify(model_uri=model_uri, allow_skipped=allow_skipped)
    if not report.passed:
        raise ProjectError(f"The model is not registered: {report.summary()}.")
    return report.to_json()


def promote_version(number: str | None) -> None:
    """Make a version the champion; by default, the challenger."""
    endpoint = find_endpoint()
    with report_version_on_error(endpoint):
        connect_store()
        registry = Registry()
        version = registry.version_or_challenger(number)
        promote(registry, version)
    click.echo(f"{label(version)} is the champion")
    print_answering(registry, endpoint)


def deploy_version(number: str | None, *, dry_run: bool) -> None:
    """Serve a version with Model Serving; by default, the challenger."""
    endpoint = require_endpoint(dry_run=dry_run)
    deploy = import_deploy()
    with report_version_on_error(endpoint):
        connect_store()  # the deployed agent sends its traces to this experiment
        registry = Registry()
        version = registry.version_or_challenger(number).version
        champion = registry.with_alias(CHAMPION)
        kept = [champion.version, champion.tags.get(PREVIOUS, "")] if champion else []
        settings = load_config().serving
        deploy(endpoint, version, settings, kept, lambda: check_endpoint(endpoint))
    click.echo("Nothing was changed" if dry_run else endpoint.status())


def roll_back() -> None:
    """Make the version before the champion the champion, and let the endpoint serve it."""
    endpoint = find_endpoint()
    with report_version_on_error(endpoint):
        connect_store()
        registry = Registry()
        answering = endpoint.wait().answering if endpoint else None
        version = version_before(registry, answering)
        if endpoint and answering:
            deploy = import_deploy()
            # Without checks: the version has passed them, and nothing better could be restored.
            deploy(endpoint, version.version, load_config().serving, (), lambda: None)
        registry.point(CHAMPION, version)
    click.echo(f"{label(version)} is the champion")
    print_answering(registry, endpoint)


@contextmanager
def report_version_on_error(endpoint: "Endpoint | None") -> Generator[None]:
    """Append which version answers to error messages.

    An expected error says what to do; others can be temporary. Without an endpoint, an expected
    error stays as it is, because nothing was changed.

    Raises:
        ProjectError: The block raised an error.
    """
    try:
        yield
    except Exception as error:
        if is_expected(error) and not endpoint:
            raise
        status = endpoint.status() if endpoint else Registry().status()
        message = f"{message_of(error).removesuffix('.')}. {status}"
        if not is_expected(error):
            message += (
                f" To continue, run the command again, or `{debug_command()}` for the traceback."
            )
        raise ProjectError(message) from error


def find_endpoint(*, dry_run: bool = False) -> "Endpoint | None":
    """Return the endpoint that serves the agent; None without a Databricks workspace.

    Raises:
        ProjectError: Nobody is logged in to the workspace.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("databricks"):
        return None
    from ..ops.endpoint import Endpoint, endpoint_name

    model = load_config().registered_model()
    return Endpoint(endpoint_name(), model, click.echo, dry_run=dry_run)


def require_endpoint(*, dry_run: bool = False) -> "Endpoint":
    """Return the endpoint that serves the agent.

    Raises:
        ProjectError: The store is not a Databricks workspace, or nobody is logged in to it.
    """
    if endpoint := find_endpoint(dry_run=dry_run):
        return endpoint
    raise ProjectError(
        "Model Serving needs a Databricks workspace. Run `databricks auth login`, and set "
        "MLFLOW_TRACKING_URI=databricks in .env."
    )


def import_deploy() -> Callable[..., None]:
    """Return `deploy`, which needs the extra with the same name.

    Raises:
        ProjectError: The extra is not installed.
    """
    from ..ops.deploy import deploy

    return deploy


def print_step(name: str) -> None:
    """Print the name of a step of `release`."""
    click.secho(f"\n{name}", bold=True)


def label(version: ModelVersion) -> str:
    """Return how a message names a version."""
    commit = version.tags.get("git_commit", "unknown")[:7]  # other tools register without it
    return f"{version.name}, version {version.version} (commit {commit}),"


def print_answering(registry: Registry, endpoint: "Endpoint | None") -> None:
    """Print which version answers."""
    if endpoint:
        click.echo(f"{endpoint.name}: {endpoint.status()}")
    else:
        click.echo(f"It answers where models:/{registry.name}@{CHAMPION} is loaded")
