"""The commands from a verified agent to production. Each imports what it needs when it runs."""

import sys
from pathlib import Path

import click

from ..ops.project import CASES
from .options import allow_skipped_option, exit_on_signals, not_empty


class InvalidUsage(click.UsageError):
    """The options of `evaluate` are invalid."""

    exit_code = 3  # click's 2 means here that something could not be measured


class EvaluateCommand(click.Command):
    """Reports invalid options as `InvalidUsage`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise InvalidUsage(error.format_message(), error.ctx) from error


junit_option = click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the evaluation to this JUnit XML file.",
)


@click.command(cls=EvaluateCommand)
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    default=CASES,
    show_default=False,
    help="File of cases; by default evaluation/cases.jsonl.",
)
@click.option("--url", callback=not_empty, help="Evaluate the agent at this URL, with AGENT_TOKEN.")
@click.option("--without-champion", is_flag=True, help="Do not compare with the champion.")
@click.option(
    "--from-traces",
    metavar="FILTER",
    help='Print a case per trace that matches, instead of evaluating; "" matches all.',
)
@junit_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def evaluate(
    cases: Path,
    url: str | None,
    without_champion: bool,
    from_traces: str | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Answer the cases in evaluation/, and check the thresholds.

    Exits with 0 if the agent passes, 1 if it is below a threshold or worse than the champion, 2 if
    something could not be measured, and 3 if the settings are invalid.
    """
    from .evaluate import print_cases_from_traces, run_evaluation

    exit_on_signals()
    if from_traces is not None:
        if url or junit or as_json or without_champion:
            raise InvalidUsage("Pass --from-traces without other options than --cases.")
        sys.exit(print_cases_from_traces(cases, from_traces))
    code = run_evaluation(
        cases, url=url, with_champion=not without_champion, junit=junit, as_json=as_json
    )
    sys.exit(code)


@click.command()
@allow_skipped_option
def register(allow_skipped: bool) -> None:
    """Register the agent of this commit as the challenger.

    Logs and verifies the model first.
    """
    from .release import register_version

    exit_on_signals()
    register_version(allow_skipped=allow_skipped)


@click.command()
@click.argument("version", required=False, callback=not_empty)
def promote(version: str | None) -> None:
    """Make VERSION the champion; by default, the challenger. Its evaluation must have passed."""
    from .release import promote_version

    exit_on_signals()
    promote_version(version)


@click.command()
def rollback() -> None:
    """Make the version before the champion the champion again.

    If versions are deployed, also routes the traffic of the endpoint to it.
    """
    from .release import roll_back

    exit_on_signals()
    roll_back()


@click.command()
@click.argument("version", required=False, callback=not_empty)
@click.option("--dry-run", is_flag=True, help="Print the calls that would change something.")
def deploy(version: str | None, dry_run: bool) -> None:
    """Serve VERSION with Model Serving; by default, the challenger.

    Checks the deployed agent, and restores the previous version if a check fails.
    """
    from .release import deploy_version

    exit_on_signals()
    deploy_version(version, dry_run=dry_run)


@click.command()
@click.option("--registered", is_flag=True, help="Start at `deploy`, with the challenger.")
@junit_option
@allow_skipped_option
def release(registered: bool, junit: Path | None, allow_skipped: bool) -> None:
    """Verify, evaluate, register, deploy and promote the agent.

    If a step fails, run the command again: it continues there. If the agent does not pass `verify`
    or `evaluate`, exits with the code of that command. Exits with 1 if another step fails.
    """
    from .release import release_version

    if registered and (junit or allow_skipped):
        raise click.UsageError("Pass --registered without --junit and --allow-skipped.")
    exit_on_signals()
    code = release_version(registered=registered, junit=junit, allow_skipped=allow_skipped)
    sys.exit(code)
