"""Asks the agent from the terminal."""

import click
from mlflow.types.responses import ResponsesAgentRequest

from ..runtime.items import Item, done_item, text_delta


def print_answer(question: str) -> None:
    """Print the agent's answer as it arrives, with its tool calls and their outputs."""
    from ..agent import AGENT  # after the store is selected: importing it turns on tracing

    message = {"role": "user", "content": question}
    request = ResponsesAgentRequest.model_validate({"input": [message]})
    try:
        for event in AGENT.predict_stream(request):
            click.echo(text_delta(event), nl=False)
            if item := done_item(event):
                _print_item(item)
    except Exception:
        click.echo()  # start the error on a new line
        raise


def _print_item(item: Item) -> None:
    if item["type"] == "message":
        click.echo()
    elif item["type"] == "function_call":
        click.secho(f"→ {item['name']}({item['arguments']})", dim=True)
    elif item["type"] == "function_call_output":
        click.secho(f"← {item['output']}", dim=True)
