"""Real clients talk to the default agent, each in an environment of its own.

`docs/clients.md` lists the results. The clients besides `openai` are installed and run in
`make proof`, because this takes long.
"""

from typing import Any

import pytest

from docs.write_clients import PAGE, page
from tests.clients.clients import CLIENTS, OPENAI_CLIENTS, Client
from tests.clients.conftest import RunClient

CANNOT_ANSWER = "The agent could not answer. See error"
TOO_MANY = "The LLM has too many requests. Try again later."
# What the exception of a client must say.
SENTENCES = {
    "invalid": "`tools` is not supported: the agent has its own tools.",
    "llm_401": CANNOT_ANSWER,
    "llm_429": TOO_MANY,
    "llm_500": CANNOT_ANSWER,
    "cut_off": CANNOT_ANSWER,
}
SITUATIONS = {"turns", "turns_streamed", "structured", "disconnect", "agent_stops"}.union(
    *({situation, f"{situation}_streamed"} for situation in SENTENCES)
)


def described(client: Client) -> Any:
    """Return a client as parameter of a test; only some clients are tested in `make test`."""
    marks = [] if client in OPENAI_CLIENTS else [pytest.mark.proof]
    return pytest.param(client, id=client.packages[0], marks=marks)


@pytest.mark.parametrize("client", [described(client) for client in CLIENTS])
def test_client(client: Client, run_client: RunClient) -> None:
    results = run_client(client)
    assert results.keys() == SITUATIONS
    for situation, message in client.failing.items():
        assert message in results.pop(situation)["message"]
    assert "word" in results.pop("disconnect")
    assert results.pop("agent_stops") is client.disconnects
    for situation, result in results.items():
        assert_result(client, situation, result)


def assert_result(client: Client, situation: str, result: Any) -> None:
    """Check the result of a situation that the client can handle."""
    histories = {"turns": client.history, "turns_streamed": client.history_streamed}
    if situation in histories:
        first, second = result
        assert first.endswith("It is noon.")
        assert second == histories[situation]
    elif situation == "structured":
        assert result == {"city": "Tokyo", "days": 29}
    else:
        sentence = SENTENCES[situation.removesuffix("_streamed")]
        assert "error" in result, f"{situation} raises no exception: {result}"
        assert sentence in result["message"], situation
        if situation == "llm_429":
            assert result["retry_after"] == "7"


def test_page_lists_the_clients() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "Run `python -m docs.write_clients`."
