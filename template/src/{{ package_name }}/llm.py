"""Which LLM answers: `offline:/…`, `openai:/…` or `databricks:/…`, all through one client.

Credentials are looked for when a request is answered, never at import, so that the agent can
be loaded, logged and tested where there are none.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx
import openai
from openai import OpenAI

from .offline_llm import OfflineTransport

_CREDENTIAL_PREFIXES = ("OPENAI_", "DATABRICKS_")
_HINTS = {
    400: "The request does not suit this model; the message says why.",
    401: "Check the credentials.",
    403: "Check what the credentials may do.",
    404: "Check the name of the model, and the server it is asked from.",
    429: "Wait, or ask for a higher limit.",
}


class LLMError(RuntimeError):
    """The LLM cannot be used as configured, or did not answer; the message says what to do."""


@dataclass(frozen=True)
class LLM:
    """A model behind the chat-completions API."""

    uri: str
    model: str
    client: OpenAI

    def stream(self, messages: list[Any], **options: Any) -> Iterator[dict[str, Any]]:
        """Ask for one completion and yield its chunks as they come.

        Args:
            messages: The conversation, as chat completions want it.
            options: What else the API takes, such as `tools` or `temperature`.

        Raises:
            LLMError: the LLM refused, failed, fell silent or could not be reached.
        """
        with readable_errors(self.uri):
            completion = self.client.chat.completions
            with completion.create(
                model=self.model, messages=messages, stream=True, **options
            ) as chunks:
                for chunk in chunks:
                    yield chunk.model_dump(exclude_none=True)


@contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn what the client raises into one sentence that names the LLM and the way out."""
    try:
        yield
    except (openai.APITimeoutError, httpx.TimeoutException) as error:
        raise LLMError(
            f"{uri} stayed silent for longer than llm_timeout_seconds in config.yml."
        ) from error
    except openai.APIStatusError as error:
        hint = _HINTS.get(error.status_code, "Ask again later.")
        raise LLMError(
            f"{uri} answered with status {error.status_code}: {_message(error)} {hint}"
        ) from error
    except (openai.OpenAIError, httpx.HTTPError) as error:
        cause = error.__cause__ or error
        raise LLMError(f"{uri} cannot be reached, or broke off: {cause}. Ask again.") from error


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
    if scheme not in _CLIENTS or not model:
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
    credentials = tuple(
        sorted(item for item in os.environ.items() if item[0].startswith(_CREDENTIAL_PREFIXES))
    )
    client = _cached_client(scheme, credentials)
    return LLM(uri, model, client.with_options(timeout=timeout, max_retries=max_retries))


@lru_cache(maxsize=8)
def _cached_client(scheme: str, credentials: tuple[tuple[str, str], ...]) -> OpenAI:
    """Keep the connections of a client open; other credentials make another client."""
    return _CLIENTS[scheme](dict(credentials))


def _offline_client(_credentials: dict[str, str]) -> OpenAI:
    return OpenAI(
        base_url="http://offline.invalid/v1",
        api_key="none",
        http_client=httpx.Client(transport=OfflineTransport()),
    )


def _openai_client(credentials: dict[str, str]) -> OpenAI:
    """OpenAI itself, or any server that speaks its API when OPENAI_BASE_URL names one."""
    base_url = credentials.get("OPENAI_BASE_URL")
    api_key = credentials.get("OPENAI_API_KEY")
    if not api_key and not base_url:
        raise LLMError(
            "OPENAI_API_KEY is not set. Set it, or set OPENAI_BASE_URL to a server that needs "
            "no key (Ollama, vLLM), or try AGENT_LLM=offline:/demo."
        )
    return OpenAI(base_url=base_url, api_key=api_key or "none")


def _databricks_client(_credentials: dict[str, str]) -> OpenAI:
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

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers.update(workspace.authenticate())  # refreshes tokens that expire
        return request

    return OpenAI(
        base_url=f"{workspace.host}/serving-endpoints",
        api_key="none",
        http_client=httpx.Client(auth=sign),
    )


_CLIENTS = {
    "offline": _offline_client,
    "openai": _openai_client,
    "databricks": _databricks_client,
}
