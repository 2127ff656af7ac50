"""The command line. Each command imports what it needs when it runs, so `--help` is fast."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from ..ops.project import DESCRIPTION, PROJECT_NAME, ROOT, ProjectError
from . import production, template
from .errors import print_error
from .options import (
    allow_skipped_option,
    exit_on_signals,
    model_name,
    not_empty,
    port_option,
    read_question,
)


class ReadableErrors(click.Group):
    """Prints an error in one line and exits with 1; `--debug` prints the traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click handles these; a pipe is broken when `head` has read enough
        except Exception as error:
            print_error(error)
            sys.exit(1)


@click.group(
    cls=ReadableErrors,
    help=f"""{DESCRIPTION.removesuffix(".")}. Settings are in config.yml, credentials in the
    environment or in .env.
    """,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(package_name=PROJECT_NAME)
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    from ..ops.env_file import load_env_file

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ProjectError("The current folder no longer exists. Go to another one.") from error
    if sys.stdin is None:  # closed, as in some services
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 (stays open)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every encoding has ✓ and …
    if ctx.invoked_subcommand != "doctor":  # it reports errors in the file
        load_env_file(ROOT / ".env")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False  # see https://no-color.org; subcommands inherit it


@main.command()
@click.argument("question", nargs=-1, callback=read_question)
@click.option("--json", "as_json", is_flag=True, help="Print the whole response as JSON.")
def ask(question: str, as_json: bool) -> None:
    """Ask the agent a QUESTION and print the answer as it arrives.

    Reads the question from standard input if QUESTION is -, or if it is missing in a pipe.
    """
    from ..ops.store import connect_store
    from .ask import print_answer, print_response, request_for

    exit_on_signals()
    connect_store()
    request = request_for([{"role": "user", "content": question}])
    if as_json:
        print_response(request)
    else:
        print_answer(request, [])


@main.command()
def chat() -> None:
    """Hold a conversation with the agent.

    Ctrl+C stops an answer. Ctrl+D or `exit` ends the conversation. In a pipe, each line is a turn.
    Exits with 1 if a turn failed.
    """
    from ..ops.store import connect_store
    from .chat import hold_conversation

    exit_on_signals()
    connect_store()
    sys.exit(not hold_conversation())


@main.command()
@click.option(
    "--register", metavar="NAME", callback=model_name, help="Also register the model as NAME."
)
def log(register: str | None) -> None:
    """Log the agent as an MLflow model."""
    from ..ops.log_model import llm_for_logging, log_agent
    from ..ops.store import connect_store

    exit_on_signals()
    store = connect_store()
    with llm_for_logging() as llm:
        click.echo(f"Logging to {store}; {llm} answers the input example …", err=True)
        model = log_agent(registered_model_name=register)
    click.echo(f"Logged {model.model_uri}")
    if register:
        click.echo(f"Registered {register}, version {model.registered_model_version}")


@main.command()
@click.option(
    "--host",
    default="127.0.0.1",
    callback=not_empty,
    help="Address; 0.0.0.0 accepts other machines.",
)
@port_option
@click.option("--workers", type=click.IntRange(1), default=1, help="Number of worker processes.")
@click.option("--reload", is_flag=True, help="Restart when the code changes.")
def serve(host: str, port: int, workers: int, reload: bool) -> None:
    """Serve the Responses API and a chat page over HTTP."""
    from .serve import run_server

    if reload and workers > 1:
        raise click.UsageError("Pass --reload or --workers, not both.")
    run_server(host, port, workers=workers, reload=reload)


@main.command()
@click.argument("source", metavar="IN", callback=not_empty)
@click.argument("target", metavar="OUT", callback=not_empty)
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    help="Where rows are answered: in this process, or by Spark.",
)
@click.option("--remote", metavar="URL", callback=not_empty, help="Spark Connect: sc://HOST:PORT.")
@click.option("--concurrency", type=click.IntRange(1), default=128, help="Rows at the same time.")
@click.option(
    "--rows-per-commit",
    type=click.IntRange(1),
    help="Store answers after this many rows (default: 500, or 5,000 with Spark).",
)
@click.option(
    "--model-uri", metavar="URI", callback=not_empty, help="Ask this model: models:/NAME/1."
)
@click.option(
    "--columns",
    multiple=True,
    metavar="COLUMN=NAME",
    help="Read COLUMN from the input column NAME; repeatable.",
)
@click.option(
    "--traces-per-second", type=click.IntRange(0), default=1, help="Rows to trace per second."
)
def batch(**arguments: Any) -> None:
    """Answer the rows of the table IN, and add the answers to OUT.

    Reads Parquet, JSON lines, CSV and Delta. A row has an `id`, and a `question` or `input`. The
    same command continues after an interruption, and repeats failed rows. Exits with 1 if rows
    failed.
    """
    from .batch import BatchOptions, run_batch

    exit_on_signals()
    options = BatchOptions(**arguments)
    if options.remote and options.engine != "spark":
        raise click.UsageError("--remote needs --engine spark.")
    sys.exit(run_batch(options))


@main.command()
@port_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def doctor(port: int, as_json: bool) -> None:
    """Check what the agent needs here and in its workspace.

    Sends a short request to the LLM. Exits with 1 if something is missing.
    """
    from .doctor import run_checks

    sys.exit(not run_checks(port, as_json=as_json))


@main.command()
@click.option("--only", metavar="RULE", multiple=True, help="Check this rule; repeatable.")
@click.option(
    "--model-uri", metavar="URI", callback=not_empty, help="Check this model: models:/NAME/1."
)
@click.option(
    "--url", callback=not_empty, help="Check the agent at this URL, with the token in AGENT_TOKEN."
)
@allow_skipped_option
@click.option("-v", "--verbose", is_flag=True, help="Print the full sentence of each rule.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def verify(
    only: tuple[str, ...],
    model_uri: str | None,
    url: str | None,
    allow_skipped: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Check the agent against the Responses API contract.

    By default, checks the source: logs it to a temporary store and answers with the offline LLM.
    Exits with 1 if a rule failed or was not checked. Otherwise, exits with 2 if a rule is not
    proven, because the tests cannot replace the agent's LLM.
    """
    from .verify import verify

    if model_uri and url:
        raise click.UsageError("Pass --model-uri or --url, not both.")
    exit_on_signals()
    report = verify(
        only,
        model_uri=model_uri,
        url=url,
        allow_skipped=allow_skipped,
        verbose=verbose,
        as_json=as_json,
    )
    sys.exit(report.exit_code)


for command in (
    production.evaluate,
    production.register,
    production.promote,
    production.rollback,
    production.deploy,
    production.release,
    template.status,
    template.update,
):
    main.add_command(command)
