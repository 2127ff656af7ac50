"""The command line. Each command is one function elsewhere, imported when it is called."""

import sys
from typing import Any

import click

from .project import PROJECT_NAME, ROOT


class ReadableErrors(click.Group):
    """Turns an error into one sentence and exit status 1; with `--debug`, shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            sentence = " ".join(str(error).split()) or type(error).__name__
            click.secho(f"Error: {sentence}", fg="red", err=True)
            click.echo("(`--debug` before the command shows the traceback.)", err=True)
            sys.exit(1)


@click.group(cls=ReadableErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=PROJECT_NAME)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """{{ description }}

    Settings stand in config.yml, credentials in the environment or in the file .env.
    """
    from dotenv import load_dotenv

    load_dotenv(ROOT / ".env")


@main.command()
@click.argument("question")
def ask(question: str) -> None:
    """Ask the agent a QUESTION and watch it answer."""
    from .ask import print_answer
    from .tracking import use_store

    if not question.strip():
        raise click.UsageError("The question is empty; ask something.")
    use_store()
    print_answer(question)


@main.command()
@click.option("--register", metavar="NAME", help="Register the model under this name as well.")
def log(register: str | None) -> None:
    """Log the agent as an MLflow model, and register it if asked to."""
    from .log_model import llm_for_logging, log_agent
    from .tracking import use_store

    store = use_store()
    with llm_for_logging() as llm:
        click.echo(f"Logging to {store}; {llm} answers the input example …", err=True)
        model = log_agent(registered_model_name=register)
    click.echo(f"Logged {model.model_uri}")
    if register:
        click.echo(f"Registered {register}, version {model.registered_model_version}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others in.")
@click.option("--port", default=8000, show_default=True, envvar="DATABRICKS_APP_PORT")
@click.option("--workers", default=1, show_default=True, help="Processes that answer.")
@click.option("--reload", is_flag=True, help="Start again when a file changes.")
def serve(host: str, port: int, workers: int, reload: bool) -> None:
    """Answer requests of the Responses API over HTTP, until stopped."""
    from .server import serve

    serve(host, port, workers=workers, reload=reload)


@main.command()
@click.option("--only", metavar="RULE", multiple=True, help="Check this rule; may be repeated.")
@click.option("--model-uri", metavar="URI", help="Check this model, such as models:/NAME/1.")
@click.option("--url", help="Check the agent served at this address; AGENT_TOKEN is sent to it.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def verify(only: tuple[str, ...], model_uri: str | None, url: str | None, as_json: bool) -> None:
    """Check that the agent keeps the contract of the Responses API.

    Without --model-uri and --url, checks the source: logs it into a throw-away store, and has
    the offline LLM answer.
    """
    from .verify import verify

    if model_uri and url:
        raise click.UsageError("Give --model-uri or --url, not both.")
    sys.exit(verify(only, model_uri=model_uri, url=url, as_json=as_json))
