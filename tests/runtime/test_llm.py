"""Connecting to a language model: credentials, errors, and what goes over the wire."""

import asyncio
import time
from typing import Any

import pytest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, Turn, text

HELLO = [{"role": "user", "content": "Hello"}]


def ask(package: Package, uri: str, timeout: float = 5, max_retries: int = 0) -> str:
    """What an LLM says to hello."""

    async def said() -> str:
        llm = package("llm").connect(uri, timeout=timeout, max_retries=max_retries)
        deltas = [chunk["choices"][0]["delta"] async for chunk in llm.stream(HELLO)]
        return " ".join(delta["content"] for delta in deltas if delta.get("content"))

    return asyncio.run(said())


@pytest.fixture
def own_server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    """A server that OPENAI_BASE_URL names, as for Ollama or vLLM."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    server.say(text("Good day"))
    return server


def test_a_server_of_ones_own_needs_no_key(package: Package, own_server: ChatServer) -> None:
    assert ask(package, "openai:/llama3:8b") == "Good day"
    assert own_server.paths == ["/v1/chat/completions"]
    assert own_server.bodies[0]["model"] == "llama3:8b"
    assert own_server.bodies[0]["stream"] is True


def test_the_key_is_sent(
    package: Package, own_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key-1")
    ask(package, "openai:/a-model")
    monkeypatch.setenv("OPENAI_API_KEY", "key-2")
    ask(package, "openai:/a-model")
    sent = [headers["authorization"] for headers in own_server.headers]
    assert sent == ["Bearer key-1", "Bearer key-2"]


def test_databricks_is_asked_with_its_token(
    package: Package, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    server.say(text("Good day"))
    assert ask(package, "databricks:/an-endpoint") == "Good day"
    assert server.paths == ["/serving-endpoints/chat/completions"]
    assert server.bodies[0]["model"] == "an-endpoint"
    assert server.headers[0]["authorization"] == "Bearer dapi-1"


@pytest.mark.parametrize(
    ("uri", "way_out"),
    [
        ("openai:/gpt-5-mini", "OPENAI_API_KEY is not set"),
        ("databricks:/an-endpoint", "Set DATABRICKS_HOST and DATABRICKS_TOKEN"),
        ("gpt-5-mini", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("bedrock:/claude", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("openai:/", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("offline:/no-such-model", "it has demo, tools"),
    ],
)
def test_what_is_missing_or_wrong_is_said(package: Package, uri: str, way_out: str) -> None:
    with pytest.raises(package("llm").LLMError, match=way_out):
        ask(package, uri)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (Turn(status=401, error="No such key."), "401: No such key. Check the credentials"),
        (Turn(status=404, error="No such model."), "404: No such model. Check the name"),
        (Turn(status=429, error="Too much."), "429: Too much. Wait"),
        (Turn(status=503, error="Busy."), "503: Busy. Ask again later"),
        (Turn(text("Well"), cut=True), "broke off"),
        (Turn(noise=b"data: [1]\n\n"), r"something else than a chat completion: \[1\]. Check"),
        (Turn(noise=b"data: {}\n\n"), "something else than a chat completion"),
        (Turn(noise=b"data: <html>\n\n"), "something else than a chat completion"),
        (Turn(text("Well"), silent_for=2), "stayed silent for longer than llm_timeout_seconds"),
        (Turn(text("Well then"), seconds_between=2), "stayed silent"),
    ],
)
def test_a_failing_server_is_an_error_in_words(
    package: Package, own_server: ChatServer, turn: Turn, words: str
) -> None:
    own_server.say(turn)
    with pytest.raises(package("llm").LLMError, match=words):
        ask(package, "openai:/a-model", timeout=0.5)


def test_a_dead_server_is_an_error_in_words(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(package("llm").LLMError, match="cannot be reached"):
        ask(package, "openai:/a-model")


def test_a_failure_is_tried_again_as_often_as_configured(
    package: Package, own_server: ChatServer
) -> None:
    own_server.say(Turn(status=503, error="Busy."), text("Good day"))
    assert ask(package, "openai:/a-model", max_retries=1) == "Good day"
    assert len(own_server.bodies) == 2


def test_connections_are_kept_by_the_event_loop_that_opened_them(package: Package) -> None:
    llm = package("llm").connect("offline:/demo", timeout=1, max_retries=0)

    async def connections() -> tuple[Any, Any]:
        return llm.client._client, llm.client._client

    first, second = asyncio.run(connections())
    assert first is second
    assert first is not asyncio.run(connections())[0]


def test_the_offline_llm_hangs_no_longer_than_the_client_waits(package: Package) -> None:
    begun = time.monotonic()
    with pytest.raises(package("llm").LLMError, match="stayed silent"):
        ask(package, "offline:/hang", timeout=0.2)
    assert time.monotonic() - begun < 5


def test_the_offline_llm_answers_in_one_piece_too(package: Package) -> None:
    tool = {"name": "add", "parameters": {"type": "object", "properties": {}, "required": []}}
    tools = [{"type": "function", "function": tool}]
    add = [{"role": "user", "content": "add"}]

    async def complete(model: str, messages: list[Any], **options: Any) -> Any:
        llm = package("llm").connect(f"offline:/{model}", timeout=1, max_retries=0)
        completions = llm.client.chat.completions
        done = await completions.create(model=model, messages=messages, tools=tools, **options)
        return done.choices[0]

    assert "offline" in asyncio.run(complete("demo", HELLO)).message.content
    called = asyncio.run(complete("demo", add))
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls[0].function.name == "add"
    forbidden = asyncio.run(complete("tools", HELLO, tool_choice="none"))
    assert forbidden.message.tool_calls is None


def test_the_offline_llm_counts_nothing_but_says_so(package: Package) -> None:
    async def chunks() -> list[dict[str, Any]]:
        llm = package("llm").connect("offline:/demo", timeout=1, max_retries=0)
        return [chunk async for chunk in llm.stream(HELLO, stream_options={"include_usage": True})]

    *_, last = asyncio.run(chunks())
    assert last["usage"]["total_tokens"] == 0
    assert last["choices"] == []
