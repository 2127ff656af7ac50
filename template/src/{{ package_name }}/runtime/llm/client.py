"""Which LLM answers: `offline:/…`, `openai:/…` or `databricks:/…`, all through one client.

Credentials are looked for when a request is answered, never at import, so that the agent can
be loaded, logged and tested where there are none.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import httpx
import openai
from anyio import to_thread
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient

from .llm_trace import traced
from .offline_llm import OfflineTransport
from .tokens import add_tokens

_CREDENTIALS = ("OPENAI_", "DATABRICKS_")
_HINTS = {
    400: "The request does not suit this model; the message says why.",
    401: "Check the credentials.",
    403: "Check what the credentials may do.",
    404: "Check the name of the model, and the server it is asked from.",
    429: "Wait, or ask for a higher limit.",
}


class LLMError(RuntimeError):
    """The LLM cannot be used as configured, or did not answer; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Access:
    """Where a provider's API is, what lets one in, and whether it counts tokens when told to."""

    base_url: str | None
    api_key: str = "none"
    usage_on_demand: bool = True
    http_client: Callable[[], httpx.AsyncClient] = DefaultAioHttpClient


@dataclass(frozen=True)
class LLM:
    """A model behind the chat-completions API; seconds of silence and retries are bounded."""

    uri: str
    model: str
    access: Access
    timeout: float
    max_retries: int

    @property
    def client(self) -> AsyncOpenAI:
        """The client that belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        return _client(self.access, self.timeout, self.max_retries, loop)

    async def stream(self, messages: list[Any], **options: Any) -> AsyncIterator[dict[str, Any]]:
        """Ask for one completion and yield its chunks as they come.

        Args:
            messages: The conversation, as chat completions want it.
            options: What else the API takes, such as `tools` or `temperature`.

        Raises:
            LLMError: the LLM refused, failed, fell silent or could not be reached.
        """
        asked = {"model": self.model, "messages": messages, "stream": True, **options}
        if self.access.usage_on_demand:
            asked.setdefault("stream_options", {"include_usage": True})
        usage: dict[str, Any] = {}
        with traced(asked) as chunks, readable_errors(self.uri):
            async with await self._ask(asked) as answer:
                async for chunk in answer:
                    chunks.append(whole := _checked(chunk))
                    usage = whole.get("usage") or usage
                    yield whole
        add_tokens(usage)

    async def _ask(self, asked: dict[str, Any]) -> AsyncStream[object]:
        """Send a request; what comes is not made into models of the client (see `llm_trace`)."""
        return await self.client.post(
            "/chat/completions",
            body=asked,
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )


@contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn what the client raises into one sentence that names the LLM and the way out."""
    try:
        yield
    except openai.APIStatusError as error:
        hint = _HINTS.get(error.status_code, "Ask again later.")
        raise LLMError(
            f"{uri} answered with status {error.status_code}: {_message(error)} {hint}"
        ) from error
    except (openai.OpenAIError, httpx.HTTPError) as error:
        cause = error if isinstance(error, httpx.HTTPError) else error.__cause__ or error
        if isinstance(cause, httpx.TimeoutException) and not isinstance(
            cause, httpx.ConnectTimeout
        ):
            raise LLMError(
                f"{uri} stayed silent for longer than llm_timeout_seconds in config.yml."
            ) from error
        raise LLMError(f"{uri} cannot be reached, or broke off: {cause}. Ask again.") from error
    except ValueError as error:
        raise LLMError(
            f"{uri} sent something else than a chat completion: {error}. Check its address."
        ) from error


def _checked(chunk: Any) -> dict[str, Any]:
    """A chunk without the fields that say nothing, which MLflow does not expect."""
    if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
        raise ValueError(str(chunk)[:100])
    whole = _without_nulls(chunk)
    for choice in whole["choices"]:
        choice.setdefault("delta", {})
    return whole


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(field) for key, field in value.items() if field is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _message(error: openai.APIStatusError) -> str:
    """What the server says, without the JSON around it."""
    body: Any = error.body
    return str(body["message"] if isinstance(body, dict) and "message" in body else error.message)


def split_uri(uri: str) -> tuple[str, str]:
    """Split `scheme:/model` into its two parts.

    Raises:
        LLMError: it is no such URI, or the scheme is unknown.
    """
    scheme, _, model = uri.partition(":/")
    if scheme not in _PROVIDERS or not model:
        raise LLMError(
            f"{uri!r} names no LLM. Set `llm` in config.yml or the variable AGENT_LLM to "
            "offline:/demo, openai:/MODEL or databricks:/ENDPOINT."
        )
    return scheme, model


def connect(uri: str, *, timeout: float, max_retries: int) -> LLM:
    """Give the LLM that a URI names.

    Args:
        uri: The LLM, such as `openai:/gpt-5-mini`.
        timeout: How long the LLM may stay silent, in seconds.
        max_retries: How often a request that failed or timed out is sent again.

    Raises:
        LLMError: the URI is wrong, or credentials are missing.
    """
    scheme, model = split_uri(uri)
    credentials = (item for item in os.environ.items() if item[0].startswith(_CREDENTIALS))
    access = _access(scheme, tuple(sorted(credentials)))
    return LLM(uri, model, access, timeout, max_retries)


@lru_cache(maxsize=8)
def _access(scheme: str, credentials: tuple[tuple[str, str], ...]) -> Access:
    """Look for a login once; other credentials are another one."""
    return _PROVIDERS[scheme](dict(credentials))


@lru_cache(maxsize=8)
def _client(
    access: Access, timeout: float, max_retries: int, _loop: asyncio.AbstractEventLoop
) -> AsyncOpenAI:
    """Keep the connections of a client open; they belong to the event loop that opened them."""
    return AsyncOpenAI(
        base_url=access.base_url,
        api_key=access.api_key,
        timeout=timeout,
        max_retries=max_retries,
        http_client=access.http_client(),
    )


def _offline(_credentials: dict[str, str]) -> Access:
    http_client = partial(httpx.AsyncClient, transport=OfflineTransport())
    return Access("http://offline.invalid/v1", http_client=http_client)


def _openai(credentials: dict[str, str]) -> Access:
    """OpenAI itself, or any server that speaks its API when OPENAI_BASE_URL names one."""
    base_url = credentials.get("OPENAI_BASE_URL")
    api_key = credentials.get("OPENAI_API_KEY")
    if not api_key and not base_url:
        raise LLMError(
            "OPENAI_API_KEY is not set. Set it, or set OPENAI_BASE_URL to a server that needs "
            "no key (Ollama, vLLM), or try AGENT_LLM=offline:/demo."
        )
    return Access(base_url, api_key or "none")


def _databricks(_credentials: dict[str, str]) -> Access:
    """The serving endpoints of a Databricks workspace, with whatever login its SDK finds."""
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
    # Its endpoints count tokens by themselves, and some refuse to be told so.
    return Access(base_url, usage_on_demand=False, http_client=http_client)


class _DatabricksLogin(httpx.Auth):
    """Signs each request with a token, and has tokens that expire renewed."""

    def __init__(self, workspace: Any) -> None:
        self.workspace = workspace

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        # Renewing one may ask the workspace, and wait for it.
        request.headers.update(await to_thread.run_sync(self.workspace.authenticate))
        yield request


_PROVIDERS = {"offline": _offline, "openai": _openai, "databricks": _databricks}
