"""Asks the agent from the terminal."""

from contextlib import closing
from typing import Any

import click
from mlflow.types.responses import ResponsesAgentRequest

from ..runtime.items import Item, done_item, text_delta
from ..runtime.llm.usage import record_completions


def request_for(items: list[Item], **fields: Any) -> ResponsesAgentRequest:
    """Return the request with this conversation."""
    return ResponsesAgentRequest.model_validate({"input": items, **fields})


def print_response(request: ResponsesAgentRequest) -> None:
    """Print the agent's response as JSON."""
    from ..agent import AGENT  # after the store is selected: importing it turns on tracing

    response = AGENT.predict(request)
    click.echo(response.model_dump_json(exclude_none=True, indent=2))
    if details := response.incomplete_details:
        _warn_of_incomplete_answer(details.reason)


def print_answer(request: ResponsesAgentRequest, items: list[Item]) -> None:
    """Print the agent's answer as it arrives, and append its items to a list.

    If the answer is interrupted, the text that arrived is the last item.
    """
    from ..agent import AGENT

    record = record_completions()
    text = ""
    try:
        with closing(AGENT.predict_stream(request)) as events:
            for event in events:
                text += text_delta(event)
                click.echo(text_delta(event), nl=False)
                if item := done_item(event):
                    items.append(item)
                    _print_item(item, is_streamed=bool(text))
                    text = ""
    except BaseException:
        click.echo()  # start the error on a new line
        if text:
            items.append({"role": "assistant", "content": text})
        raise
    if record.incomplete_reason:
        _warn_of_incomplete_answer(record.incomplete_reason)


def _warn_of_incomplete_answer(reason: str | None) -> None:
    click.secho(f"warning: The answer is incomplete: {reason}.", fg="yellow", err=True)


def _print_item(item: Item, *, is_streamed: bool) -> None:
    if item["type"] == "message":
        click.echo("" if is_streamed else _text_of(item))
    elif item["type"] == "function_call":
        click.secho(f"→ {item['name']}({item['arguments']})", dim=True)
    elif item["type"] == "function_call_output":
        click.secho(f"← {item['output']}", dim=True)


def _text_of(message: Item) -> str:
    return "".join(part.get("text") or part.get("refusal") or "" for part in message["content"])
