"""Connects to the LLM: `offline:/…`, `openai:/…` or `databricks:/…`, all through one client.

Credentials are read per request, never at import, so the agent can be loaded, logged and tested
without any.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import openai
from anyio import to_thread
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient

from .offline import OfflineTransport
from .tracing import trace_completion
from .usage import add_tokens

_CREDENTIAL_PREFIXES = ("OPENAI_", "DATABRICKS_")
_HINTS = {
    400: "The model does not accept this request; the message says why.",
    401: "Check the credentials.",
    403: "Check the permissions of the credentials.",
    404: "Check the name of the model and the URL of the server.",
    429: "Try again later, or ask for a higher limit.",
}


class LLMError(RuntimeError):
    """The LLM is misconfigured or did not answer; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Access:
    """How to reach a provider: base URL, credentials, and whether it accepts `stream_options`."""

    base_url: str | None
    api_key: str = "none"
    supports_usage_option: bool = True
    http_client: Callable[[], httpx.AsyncClient] = DefaultAioHttpClient


@dataclass(frozen=True)
class LLM:
    """A model behind the chat-completions API.

    Attributes:
        uri: The URI of the model, such as `openai:/gpt-5-mini`.
        model: The provider's name of the model.
        access: How to reach the provider.
        timeout: The maximum time without a response or chunk, in seconds.
        max_retries: How often a failed request is repeated.
    """

    uri: str
    model: str
    access: Access
    timeout: float
    max_retries: int

    async def stream(self, messages: list[Any], **options: Any) -> AsyncIterator[dict[str, Any]]:
        """Request one completion and yield its chunks as they arrive.

        Args:
            messages: The conversation as chat-completions messages.
            options: Other parameters of the API, such as `tools` or `temperature`.

        Raises:
            LLMError: The LLM refused the request, failed, timed out or could not be reached.
        """
        body = {"model": self.model, "messages": messages, "stream": True, **options}
        if self.access.supports_usage_option:
            body.setdefault("stream_options", {"include_usage": True})
        usage: dict[str, Any] = {}
        with trace_completion(body) as chunks, readable_errors(self.uri):
            async with await self._post(body) as response:
                async for data in response:
                    chunk = _normalized(data)
                    chunks.append(chunk)
                    usage = chunk.get("usage") or usage
                    yield chunk
        add_tokens(usage)

    async def _post(self, body: dict[str, Any]) -> AsyncStream[object]:
        """Send the request; chunks stay plain dictionaries (see `tracing.py`)."""
        client = await _client(self.access, self.timeout, self.max_retries)
        return await client.post(
            "/chat/completions",
            body=body,
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )


@contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn the client's exceptions into an `LLMError` that names the LLM and the fix."""
    try:
        yield
    except openai.APIStatusError as error:
        hint = _HINTS.get(error.status_code, "Try again later.")
        raise LLMError(
            f"{uri} returned status {error.status_code}: {_message(error)} {hint}"
        ) from error
    except (openai.OpenAIError, httpx.HTTPError) as error:
        cause = error if isinstance(error, httpx.HTTPError) else error.__cause__ or error
        if isinstance(cause, httpx.TimeoutException) and not isinstance(
            cause, httpx.ConnectTimeout
        ):
            raise LLMError(
                f"{uri} sent nothing for longer than llm_timeout_seconds in config.yml."
            ) from error
        raise LLMError(f"{uri} is unreachable or closed the connection: {cause}.") from error
    except ValueError as error:
        raise LLMError(
            f"{uri} did not return a chat completion: {error}. Check its URL."
        ) from error


def _normalized(chunk: Any) -> dict[str, Any]:
    """Remove null fields, which MLflow's converter does not accept."""
    if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
        raise ValueError(str(chunk)[:100])
    chunk = _without_nulls(chunk)
    for choice in chunk["choices"]:
        choice.setdefault("delta", {})
    return chunk


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: field if isinstance(field, str) else _without_nulls(field)
            for key, field in value.items()
            if field is not None
        }
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _message(error: openai.APIStatusError) -> str:
    """Return the server's message without the JSON around it."""
    body: Any = error.body
    return str(body["message"] if isinstance(body, dict) and "message" in body else error.message)


def split_uri(uri: str) -> tuple[str, str]:
    """Split `scheme:/model` into its two parts.

    Raises:
        LLMError: The URI is malformed, or the scheme is unknown.
    """
    scheme, _, model = uri.partition(":/")
    if scheme not in _PROVIDERS or not model:
        raise LLMError(
            f"{uri!r} is not the URI of an LLM. Set `llm` in config.yml or the variable AGENT_LLM "
            "to offline:/demo, openai:/MODEL or databricks:/ENDPOINT."
        )
    return scheme, model


def connect(uri: str, *, timeout: float, max_retries: int) -> LLM:
    """Return the LLM with this URI; no request is sent yet.

    Args:
        uri: The URI, such as `openai:/gpt-5-mini`.
        timeout: The maximum time without a response or chunk, in seconds.
        max_retries: How often a request that failed or timed out is repeated.

    Raises:
        LLMError: The URI is invalid, or credentials are missing.
    """
    scheme, model = split_uri(uri)
    credentials = (item for item in os.environ.items() if item[0].startswith(_CREDENTIAL_PREFIXES))
    access = _access(scheme, tuple(sorted(credentials)))
    return LLM(uri, model, access, timeout, max_retries)


@lru_cache(maxsize=8)
def _access(scheme: str, credentials: tuple[tuple[str, str], ...]) -> Access:
    """Look up the login once per set of credentials."""
    return _PROVIDERS[scheme](dict(credentials))


Clients = dict[tuple[Access, float, int], AsyncOpenAI]

# A connection belongs to the event loop that opened it, so each loop has its own clients.
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncGenerator[Clients], Clients]]
_pools = WeakKeyDictionary()


async def _client(access: Access, timeout: float, max_retries: int) -> AsyncOpenAI:
    """Return the client of the running event loop, which keeps its connections open."""
    clients = await _clients_of_loop()
    key = (access, timeout, max_retries)
    if key not in clients:
        clients[key] = AsyncOpenAI(
            base_url=access.base_url,
            api_key=access.api_key,
            timeout=timeout,
            max_retries=max_retries,
            http_client=access.http_client(),
        )
    return clients[key]


async def _clients_of_loop() -> Clients:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        for closed in [other for other in _pools if other.is_closed()]:
            del _pools[closed]
        pool = _pool()
        _pools[loop] = pool, await anext(pool)
    return _pools[loop][1]


async def _pool() -> AsyncGenerator[Clients]:
    """Hold the clients of an event loop; the loop's shutdown ends this generator."""
    clients: Clients = {}
    try:
        yield clients
    finally:
        for client in clients.values():
            await client.close()
        clients.clear()


def _offline(_credentials: dict[str, str]) -> Access:
    http_client = partial(httpx.AsyncClient, transport=OfflineTransport())
    return Access("http://offline.invalid/v1", http_client=http_client)


def _openai(credentials: dict[str, str]) -> Access:
    """OpenAI, or any server with its API if OPENAI_BASE_URL is set."""
    base_url = credentials.get("OPENAI_BASE_URL")
    api_key = credentials.get("OPENAI_API_KEY")
    if not api_key and not base_url:
        raise LLMError(
            "OPENAI_API_KEY is not set. Set it, or set OPENAI_BASE_URL to a server that needs "
            "no key (Ollama, vLLM), or try AGENT_LLM=offline:/demo."
        )
    return Access(base_url, api_key or "none")


def _databricks(_credentials: dict[str, str]) -> Access:
    """The serving endpoints of a Databricks workspace, with any login that its SDK supports."""
    try:
        from databricks.sdk.core import Config
    except ImportError as error:
        raise LLMError(
            "databricks:/… needs the Databricks SDK. Run `uv sync --extra databricks`."
        ) from error
    try:
        workspace = Config(retry_timeout_seconds=20)
    except ValueError as error:
        raise LLMError(
            "No Databricks login was found. Set DATABRICKS_HOST and DATABRICKS_TOKEN, or run "
            "`databricks auth login`, or try AGENT_LLM=offline:/demo."
        ) from error
    http_client = partial(DefaultAioHttpClient, auth=_DatabricksLogin(workspace))
    base_url = f"{workspace.host}/serving-endpoints"
    # The endpoints report tokens by default, and some reject `stream_options`.
    return Access(base_url, supports_usage_option=False, http_client=http_client)


class _DatabricksLogin(httpx.Auth):
    """Adds a token to each request, and renews tokens that expire."""

    def __init__(self, workspace: Any) -> None:
        self.workspace = workspace

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        # Renewing a token may call the workspace and block.
        request.headers.update(await to_thread.run_sync(self.workspace.authenticate))
        yield request


_PROVIDERS = {"offline": _offline, "openai": _openai, "databricks": _databricks}
