"""Options and arguments that several commands share, and signals."""

import signal
import sys

import click


def not_empty(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Reject an empty value, such as that of an unset variable in a script."""
    if value is not None and not value.strip():
        raise click.BadParameter("The value is empty. Check the variable that it comes from.")
    return value


def model_name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Reject a name that MLflow would refuse after the model is logged."""
    from ..runtime.validation import is_model_name  # imports pydantic

    not_empty(ctx, parameter, value)
    if value is not None and not is_model_name(value):
        raise click.BadParameter(
            "A model name cannot contain `/` or `:`, and cannot consist only of dots."
        )
    return value


def read_question(_ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> str:
    """Join the words of a question, or read it from standard input."""
    try:
        if words != ("-",) and (words or sys.stdin.isatty()):
            question = " ".join(words)
            question.encode()  # fails if an argument contains other bytes
        else:
            question = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeError as error:
        raise click.BadParameter("The question is not UTF-8 text.") from error
    if not question.strip():
        raise click.BadParameter(
            'The question is empty. Pass one, such as "What time is it in Tokyo?".'
        )
    return question


def exit_on_signals() -> None:
    """Exit with cleanup when the process is terminated, or its terminal is closed."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, _: sys.exit(128 + number))


allow_skipped_option = click.option(
    "--allow-skipped", is_flag=True, help="Skip rules about an LLM that the tests cannot replace."
)

port_option = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8000,
    envvar="DATABRICKS_APP_PORT",
    show_envvar=True,
    help="Port of the server.",
)
