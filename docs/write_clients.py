"""Writes `docs/clients.md`: the clients that are tested, and what works with each of them."""

from collections.abc import Iterator
from pathlib import Path

from tests.clients.clients import CLIENTS, DATE, Client

PAGE = Path(__file__).parent / "clients.md"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE}")


def page() -> str:
    """Return the whole page."""
    return "\n".join([*lines(), ""])


def lines() -> Iterator[str]:
    """Yield the lines of the page."""
    yield f"""# Clients

`make proof` installs the newest release of each client in an environment of its own and lets it
talk to the default agent. The LLM behind the agent refuses what OpenAI refuses. The versions are
the newest on {DATE} that work together; `tests/clients/clients.py` pins them.

| client | version | turns with tools | streaming | structured output | errors | disconnect |
|---|---|---|---|---|---|---|"""
    for client in CLIENTS:
        yield f"| {client.name} | {client.version} | {' | '.join(cells(client))} |"
    yield """
- *Turns with tools*: a question for which the agent calls two tools, and a second question with
  the history as the client keeps it. The LLM reads all calls and outputs (*yes*) or only the texts
  (*texts*), or the client sends errors in place of the outputs (*errors*).
- *Streaming*: the same, streamed.
- *Structured output*: an object with a schema, after tool calls.
- *Errors*: the client raises an exception with the server's message if the request is invalid, the
  LLM answers 401, 429 or 500, or its stream breaks off. Each is tested with and without streaming.
- *Disconnect*: the client leaves a stream, and the agent ends its request to the LLM.

## Notes
"""
    for client in CLIENTS:
        if client.notes:
            yield f"- **{client.name}**: {client.notes}"


def cells(client: Client) -> list[str]:
    """Return the cells for the situations."""
    turns = "no" if "turns" in client.failing else kept(client.history)
    structured = "no" if "structured" in client.failing else "yes"
    errors = "all but 429" if "llm_429" in client.failing else "yes"
    disconnect = "yes" if client.disconnects else "no"
    return [turns, kept(client.history_streamed), structured, errors, disconnect]


def kept(history: str) -> str:
    """Return what a history of a client contains of the agent's tool calls."""
    if "error" in history:
        return "errors"
    return "yes" if "output" in history else "texts"


if __name__ == "__main__":
    main()
