"""The pieces of a text: one by one for a stream, joined for a whole answer."""

from typing import Any

import pytest
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, text
from tests.server.conftest import RunApp
from tests.server.serving import HELLO


@pytest.fixture
def pieces(package: Package, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pieces of text for which the agent has made an event."""
    module = package("runtime.messages")
    recorded: list[str] = []
    delta_event = module.delta_event

    def record(text: str, *arguments: Any, **options: Any) -> Any:
        recorded.append(text)
        return delta_event(text, *arguments, **options)

    monkeypatch.setattr(module, "delta_event", record)
    return recorded


def test_predict_joins_them(package: Package, pieces: list[str]) -> None:
    agent = package("agent").AGENT
    request = ResponsesAgentRequest.model_validate(HELLO)
    (message,) = agent.predict(request).output
    assert pieces == [whole := message.content[0]["text"]]
    pieces.clear()
    list(agent.predict_stream(request))
    assert "".join(pieces) == whole
    assert len(pieces) > 1


def test_the_server_joins_them(run_agent: RunApp, server: ChatServer, pieces: list[str]) -> None:
    endpoint = run_agent()
    server.reply(text("1 2 3"), text("1 2 3"))
    endpoint.post(HELLO)
    assert pieces == ["123"]
    endpoint.post(HELLO | {"stream": True})
    assert pieces[1:] == ["1", "2", "3"]
