"""The commands from a verified agent to production. Each imports what it needs when it runs."""

import sys
from pathlib import Path

import click

from .options import exit_on_signals, not_empty


@click.command()
@click.option(
    "--cases",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of cases.  [default: evaluation/cases.jsonl]",
)
def evaluate(cases: Path | None) -> None:
    """Answer the cases in evaluation/, measure the answers, and compare them with the thresholds.

    Exits with 0 if the agent passes, 1 if it is below a threshold or worse than the champion, 2 if
    something could not be measured, and 3 if the settings are invalid.
    """
    from .evaluate import run_evaluation

    exit_on_signals()
    sys.exit(run_evaluation(cases))
