"""Asking the agent from the terminal."""

from typing import Any

import click
from mlflow.types.responses import ResponsesAgentRequest

from .conversation import done_item, text_delta


def print_answer(question: str) -> None:
    """Print the agent's answer as it comes, with the tools it calls and what they return."""
    from .agent import AGENT  # once the store is set, as importing it turns tracing on

    message = {"role": "user", "content": question}
    request = ResponsesAgentRequest.model_validate({"input": [message]})
    try:
        for event in AGENT.predict_stream(request):
            click.echo(text_delta(event), nl=False)
            if item := done_item(event):
                _echo_item(item)
    except Exception:
        click.echo()  # the error belongs on a line of its own
        raise


def _echo_item(item: dict[str, Any]) -> None:
    if item["type"] == "message":
        click.echo()
    elif item["type"] == "function_call":
        click.secho(f"→ {item['name']}({item['arguments']})", dim=True)
    elif item["type"] == "function_call_output":
        click.secho(f"← {item['output']}", dim=True)
