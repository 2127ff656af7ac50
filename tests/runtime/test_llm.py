"""The LLM client: credentials, errors, retries and connections."""

import asyncio
import gc
import json
import time
import weakref
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, Turn, text

HELLO = [{"role": "user", "content": "Hello"}]


def complete(package: Package, uri: str, timeout: float = 5, max_retries: int = 0) -> str:
    """Return the text of one completion."""

    async def stream() -> str:
        llm = package("runtime.llm").connect(uri, timeout=timeout, max_retries=max_retries)
        deltas = [chunk["choices"][0]["delta"] async for chunk in llm.stream(HELLO)]
        return " ".join(delta["content"] for delta in deltas if delta.get("content"))

    return asyncio.run(stream())


@pytest.fixture
def openai_server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    """The fake LLM at the URL in OPENAI_BASE_URL, like Ollama or vLLM."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    server.reply(text("Good day"))
    return server


def test_a_connection_may_close_after_the_end(package: Package, openai_server: ChatServer) -> None:
    choice = {"delta": {"content": "Bye"}, "finish_reason": "stop"}
    events = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
    openai_server.reply(Turn(raw_start=events.encode(), cut=True))
    assert complete(package, "openai:/a-model") == "Bye"


def test_the_limit_of_tokens_has_the_name_that_the_provider_knows(
    package: Package, openai_server: ChatServer
) -> None:
    options = {"max_completion_tokens": 5}
    llm = package("runtime.llm").connect("openai:/m", timeout=5, max_retries=0, options=options)

    async def read(**options: int) -> None:
        async for _ in llm.stream(HELLO, **options):
            pass

    asyncio.run(read())
    asyncio.run(read(max_tokens=7))
    limits = [
        (body["max_tokens"], "max_completion_tokens" in body) for body in openai_server.bodies
    ]
    assert limits == [(5, False), (7, False)]


@pytest.mark.parametrize(
    ("instructions", "sent"),
    [
        ("Be brief.", "Be brief.\n\nAnswer with a JSON object."),
        ("Return JSON.", "Return JSON."),
    ],
)
def test_json_mode_comes_with_a_message_about_json(
    package: Package, openai_server: ChatServer, instructions: str, sent: str
) -> None:
    options = {"response_format": {"type": "json_object"}}
    llm = package("runtime.llm").connect("openai:/m", timeout=5, max_retries=0, options=options)

    async def read() -> None:
        async for _ in llm.stream([{"role": "system", "content": instructions}, *HELLO]):
            pass

    asyncio.run(read())
    assert openai_server.bodies[0]["messages"][0]["content"] == sent


def test_custom_base_url_needs_no_key(package: Package, openai_server: ChatServer) -> None:
    assert complete(package, "openai:/llama3:8b") == "Good day"
    assert openai_server.paths == ["/v1/chat/completions"]
    assert openai_server.bodies[0]["model"] == "llama3:8b"
    assert openai_server.bodies[0]["stream"] is True


def test_api_key_is_read_for_each_request(
    package: Package, openai_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("key-1", "key-2"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        complete(package, "openai:/a-model")
    sent = [headers["authorization"] for headers in openai_server.headers]
    assert sent == ["Bearer key-1", "Bearer key-2"]


def test_databricks_endpoint_gets_the_token(
    package: Package, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    server.reply(text("Good day"))
    assert complete(package, "databricks:/an-endpoint") == "Good day"
    assert server.paths == ["/serving-endpoints/chat/completions"]
    assert server.bodies[0]["model"] == "an-endpoint"
    assert server.headers[0]["authorization"] == "Bearer dapi-1"


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("openai:/gpt-5-mini", "OPENAI_API_KEY is not set"),
        ("databricks:/an-endpoint", "Set DATABRICKS_HOST and DATABRICKS_TOKEN"),
        ("gpt-5-mini", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("bedrock:/claude", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("openai:/", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("offline:/no-such-model", "demo, tools"),
    ],
)
def test_invalid_uri_or_missing_credentials(package: Package, uri: str, hint: str) -> None:
    with pytest.raises(package("runtime.llm").LLMError, match=hint):
        complete(package, uri)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (Turn(status=401, error="No such key."), "401: No such key. Check the credentials"),
        (Turn(status=404, error="No such model."), "404: No such model. Check the name"),
        (Turn(status=422, error="No seed."), "422: No seed. The model does not accept this req"),
        (Turn(status=429, error="Too much."), "429: Too much. Try again later, or ask"),
        (Turn(status=503, error="Busy."), "503: Busy. Try again later"),
        (Turn(text("Well"), cut=True), "closed the connection"),
        (Turn(raw_start=b"data: [1]\n\n"), r"did not return a chat completion: \[1\]. Check"),
        (Turn(raw_start=b"data: <html>\n\n"), "did not return a chat completion"),
        (Turn(raw_start=b'{"error": {"message": "No slot."}}\n'), "an error: No slot. Try again"),
        (Turn(raw_start=b"event: error\ndata: No slot.\n\n"), "an error: No slot. Try again"),
        (Turn(raw_start=b'error: {"message": "No slot."}\n\n'), "an error: No slot. Try again"),
        (Turn(text("Well"), delay=1), "a-model timed out: it sent nothing for longer than llm_"),
        (Turn(text("Well then"), seconds_between=1), "sent nothing for longer"),
    ],
)
def test_failing_server_raises_llm_error(
    package: Package, openai_server: ChatServer, turn: Turn, message: str
) -> None:
    openai_server.reply(turn)
    with pytest.raises(package("runtime.llm").LLMError, match=message):
        complete(package, "openai:/a-model", timeout=0.5)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "Too long", "code": "x"}, "Too long."),
        ({"detail": "Too long!"}, "Too long!"),
        ({"detail": [{"loc": ["body"], "msg": "Too long."}]}, "Too long."),
        ([{"error": {"code": 400, "message": "Too long."}}], "Too long."),
        ("<h1>Too long</h1>", "<h1>Too long</h1>."),
        (None, "Error code: 400."),
        ([], "Error code: 400."),
    ],
)
def test_error_contains_the_reason_of_the_server(package: Package, body: Any, reason: str) -> None:
    request: Any = httpx.Request("POST", "http://localhost")
    refused = openai.APIError("Error code: 400", request, body=body)
    errors = package("runtime.llm.errors")
    with pytest.raises(errors.LLMError) as raised, errors.readable_errors("openai:/m"):
        raise refused
    assert str(raised.value) == f"openai:/m reported an error: {reason} Try again later."


def test_unusable_databricks_login_is_named(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[DEFAULT]\nhost = https://a.cloud.databricks.com\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "typo")
    match = "No Databricks login was found: .* has no typo profile configured. Set DATABRICKS_HOST"
    with pytest.raises(package("runtime.llm").LLMError, match=match):
        complete(package, "databricks:/an-endpoint")


def test_unreachable_server_raises_llm_error(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(package("runtime.llm").LLMError, match="is unreachable") as raised:
        complete(package, "openai:/a-model")
    assert "ssl:" not in str(raised.value)
    assert str(raised.value).endswith(" Check the network and OPENAI_BASE_URL.")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENAI_BASE_URL", "127.0.0.1:8000/v1"),
        ("OPENAI_BASE_URL", "http://a host/v1"),
        ("OPENAI_API_KEY", "“sk-1”"),
        ("OPENAI_API_KEY", "sk-1\nsk-2"),
    ],
)
def test_credentials_that_cannot_work_are_named(
    package: Package, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(package("runtime.llm").LLMError, match=f"^{variable} ") as raised:
        complete(package, "openai:/a-model")
    assert value not in str(raised.value)


def test_line_ends_around_credentials_are_ignored(
    package: Package, openai_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{openai_server.url}\r\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\r\n")
    openai_server.reply(text("Good day"))
    assert complete(package, "openai:/a-model") == "Good day"
    assert openai_server.headers[0]["authorization"] == "Bearer sk-1"


def test_empty_base_url_selects_openai(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    access = package("runtime.llm.providers").access_for("openai")
    assert access.base_url == "https://api.openai.com/v1"


def test_failed_request_is_retried(package: Package, openai_server: ChatServer) -> None:
    openai_server.reply(Turn(status=503, error="Busy."), text("Good day"))
    assert complete(package, "openai:/a-model", max_retries=1) == "Good day"
    assert len(openai_server.bodies) == 2


async def get_client(package: Package) -> Any:
    """Return the HTTP client that an LLM uses in the running event loop."""
    llm = package("runtime.llm").connect("offline:/demo", timeout=1, max_retries=0)
    return await package("runtime.llm.client")._client(llm.access, llm.timeout, llm.max_retries)


def test_each_event_loop_has_one_client(package: Package) -> None:
    async def get_two_clients() -> list[Any]:
        return [await get_client(package), await get_client(package)]

    first, second = asyncio.run(get_two_clients())
    assert first is second
    assert asyncio.run(get_client(package)) is not first


def test_clients_are_closed_when_their_event_loop_shuts_down(package: Package) -> None:
    async def get_open_client() -> Any:
        client = await get_client(package)
        assert not client.is_closed()
        return client

    assert asyncio.run(get_open_client()).is_closed()


def test_clients_of_a_closed_event_loop_are_released(package: Package) -> None:
    """Not every program shuts its event loop down as `asyncio.run` does."""
    loop = asyncio.new_event_loop()
    client = weakref.ref(loop.run_until_complete(get_client(package)))
    loop.close()
    asyncio.run(get_client(package))
    gc.collect()
    assert client() is None


def test_offline_llm_hangs_until_the_timeout(package: Package) -> None:
    started_at = time.monotonic()
    with pytest.raises(package("runtime.llm").LLMError, match="sent nothing"):
        complete(package, "offline:/hang", timeout=0.2)
    assert time.monotonic() - started_at < 5


def test_offline_llm_stalls_until_the_timeout(package: Package) -> None:
    llm = package("runtime.llm")
    pieces = []

    async def read() -> None:
        model = llm.connect("offline:/stall", timeout=0.2, max_retries=0)
        async for chunk in model.stream(HELLO):
            pieces.append(chunk["choices"][0]["delta"].get("content"))

    with pytest.raises(llm.LLMError, match="sent nothing"):
        asyncio.run(read())
    assert pieces[-1] == "to"


@pytest.mark.parametrize("messages", [[], HELLO, [*HELLO, {"role": "assistant", "content": None}]])
def test_messages_without_white_space_stay_as_they_are(
    package: Package, messages: list[Any]
) -> None:
    assert package("runtime.llm.client").strip_last_answer(messages) is messages


def test_started_answer_loses_its_white_space(package: Package) -> None:
    strip = package("runtime.llm.client").strip_last_answer
    started = {"role": "assistant", "content": "It is \n"}
    assert strip([*HELLO, started])[1:] == [{"role": "assistant", "content": "It is"}]
    assert strip([started, *HELLO]) == [started, *HELLO]
    assert started["content"] == "It is \n"


def test_offline_llm_returns_complete_responses(package: Package) -> None:
    tool = {"name": "add", "parameters": {"type": "object", "properties": {}, "required": []}}
    tools = [{"type": "function", "function": tool}]
    add = [{"role": "user", "content": "add"}]

    async def create(model: str, messages: list[Any], **options: Any) -> Any:
        client = await get_client(package)
        completions = client.chat.completions
        done = await completions.create(model=model, messages=messages, tools=tools, **options)
        return done.choices[0]

    assert "offline" in asyncio.run(create("demo", HELLO)).message.content
    called = asyncio.run(create("demo", add))
    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls[0].function.name == "add"
    without_tools = asyncio.run(create("tools", HELLO, tool_choice="none"))
    assert without_tools.message.tool_calls is None


def test_offline_llm_reports_zero_tokens(package: Package) -> None:
    async def stream() -> list[dict[str, Any]]:
        llm = package("runtime.llm").connect("offline:/demo", timeout=1, max_retries=0)
        return [chunk async for chunk in llm.stream(HELLO, stream_options={"include_usage": True})]

    *_, last = asyncio.run(stream())
    assert last["usage"]["total_tokens"] == 0
    assert last["choices"] == []


def test_offline_llm_lets_other_tasks_run_between_chunks(package: Package) -> None:
    async def stream() -> list[int]:
        iterations = 0

        async def count_iterations() -> None:
            nonlocal iterations
            while True:
                await asyncio.sleep(0)
                iterations += 1

        counting = asyncio.ensure_future(count_iterations())
        llm = package("runtime.llm").connect("offline:/demo", timeout=5, max_retries=0)
        counts = [iterations async for _ in llm.stream(HELLO)]
        counting.cancel()
        return counts

    counts = asyncio.run(stream())
    assert counts == sorted(set(counts)), "Chunks arrived without a pause."
