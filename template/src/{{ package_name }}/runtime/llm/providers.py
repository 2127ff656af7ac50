"""The providers of LLMs: `offline:/…`, `openai:/…` and `databricks:/…`.

Credentials are read per request, never at import, so the agent can be loaded, logged and tested
without any.
"""

import os
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import httpx
from anyio import CapacityLimiter, to_thread
from httpx_aiohttp import HttpxAiohttpClient

from ..validation import is_token
from .errors import LLMError
from .offline import OfflineTransport

_CREDENTIAL_PREFIXES = ("OPENAI_", "DATABRICKS_")
# The defaults of the `openai` client, which uses another HTTP library since its version 3.
_http_client = partial(
    HttpxAiohttpClient,
    limits=httpx.Limits(max_connections=1000, max_keepalive_connections=100),
    follow_redirects=True,
)


@dataclass(frozen=True, eq=False)
class Access:
    """How to reach a provider.

    Attributes:
        base_url: The URL of its API.
        api_key: The key, or `none` if the provider needs none.
        supports_usage_option: Whether it accepts `stream_options`.
        limit_option: The option that limits the tokens of a completion.
        http_client: Creates the HTTP client.
    """

    base_url: str
    api_key: str = field(default="none", repr=False)
    supports_usage_option: bool = True
    limit_option: str = "max_tokens"
    http_client: Callable[[], httpx.AsyncClient] = _http_client


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


def access_for(scheme: str) -> Access:
    """Return how to reach the provider with the credentials of the environment.

    Raises:
        LLMError: Credentials are missing.
    """
    credentials = (item for item in os.environ.items() if item[0].startswith(_CREDENTIAL_PREFIXES))
    return _access(scheme, tuple(sorted(credentials)))


@lru_cache(maxsize=8)
def _access(scheme: str, credentials: tuple[tuple[str, str], ...]) -> Access:
    """Look up the login once per set of credentials."""
    return _PROVIDERS[scheme](dict(credentials))


def _offline(_credentials: dict[str, str]) -> Access:
    http_client = partial(httpx.AsyncClient, transport=OfflineTransport())
    return Access("http://offline.invalid/v1", http_client=http_client)


def _openai(credentials: dict[str, str]) -> Access:
    """OpenAI, or any server with its API if OPENAI_BASE_URL is set."""
    base_url = credentials.get("OPENAI_BASE_URL", "").strip()
    api_key = credentials.get("OPENAI_API_KEY", "").strip()
    if not re.fullmatch(r"(https?://\S+)?", base_url):
        raise LLMError("OPENAI_BASE_URL is not a URL. Set it to one, such as http://host:8000/v1.")
    if not is_token(api_key):
        raise LLMError("OPENAI_API_KEY contains a space or a non-ASCII character. Copy it again.")
    if not api_key and not base_url:
        raise LLMError(
            "OPENAI_API_KEY is not set. Set it, or set OPENAI_BASE_URL to a server that needs "
            "no key (Ollama, vLLM), or try AGENT_LLM=offline:/demo."
        )
    # The client reads OPENAI_BASE_URL itself if the argument is None, even if it is empty.
    base_url = base_url or "https://api.openai.com/v1"
    # OpenAI's reasoning models refuse the older name, and few other servers know the newer one.
    is_openai = re.match(r"https://(api\.openai\.com|[^/]+\.openai\.azure\.com)(/|$)", base_url)
    limit_option = "max_completion_tokens" if is_openai else "max_tokens"
    return Access(base_url, api_key or "none", limit_option=limit_option)


def _databricks(_credentials: dict[str, str]) -> Access:
    """The serving endpoints of a Databricks workspace, with any login that its SDK supports."""
    from databricks.sdk.core import Config  # importing it is slow

    try:
        workspace = Config(retry_timeout_seconds=20)
    except ValueError as error:
        # The SDK appends its settings.
        reason = re.split(r"\. Config:|, please|\.$", str(error))[0]
        raise LLMError(
            f"No Databricks login was found: {reason}. Set DATABRICKS_HOST and DATABRICKS_TOKEN, "
            "or run `databricks auth login`, or try AGENT_LLM=offline:/demo."
        ) from error
    http_client = partial(_http_client, auth=_DatabricksLogin(workspace))
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
        # Renewing a token may call the workspace and block. It must not wait for other threads.
        authenticate = self.workspace.authenticate
        headers = await to_thread.run_sync(authenticate, limiter=CapacityLimiter(1))
        request.headers.update(headers)
        yield request


_PROVIDERS = {"offline": _offline, "openai": _openai, "databricks": _databricks}
