"""Sends chat-completions requests to the LLM, in the same way for all providers."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any
from weakref import WeakKeyDictionary

from openai import AsyncOpenAI, AsyncStream

from .chunks import read_chunks
from .completion import finish_reason, incomplete_reason
from .errors import readable_errors
from .providers import Access, access_for, split_uri
from .tracing import trace_completion
from .usage import record_completion

JSON_MODE = {"type": "json_object"}
_LIMIT_OPTIONS = ("max_tokens", "max_completion_tokens")

_wants_streams: ContextVar[bool] = ContextVar("wants_streams", default=True)


def request_whole_completions() -> None:
    """Turn off streaming for later requests in this context.

    This takes less CPU time. The LLM responds only when a completion is finished, so these requests
    have no timeout; `answer_timeout_seconds` still applies.
    """
    _wants_streams.set(False)


@dataclass(frozen=True)
class LLM:
    """A model behind the chat-completions API.

    Attributes:
        uri: The URI of the model, such as `openai:/gpt-5-mini`.
        model: The provider's name of the model.
        access: How to reach the provider.
        timeout: The maximum time without a response or chunk, in seconds.
        max_retries: How often a request that failed or timed out is repeated.
        options: Options of the API, from config.yml and the caller's request.
    """

    uri: str
    model: str
    access: Access
    timeout: float
    max_retries: int
    options: dict[str, Any] = field(default_factory=dict)

    async def stream(self, messages: list[Any], **options: Any) -> AsyncGenerator[dict[str, Any]]:
        """Request one completion and yield its chunks as they arrive.

        Args:
            messages: The conversation as chat-completions messages.
            options: Other parameters of the API, such as `tools`. They override `LLM.options`, but
                a caller's `tool_choice: none` stays in effect.

        Yields:
            Chunks of a chat completion, `{"choices": [{"delta": {…}}]}`, without null fields. If
            streaming is off, the one chunk is the whole completion.

        Raises:
            LLMError: The LLM refused the request, failed, timed out or could not be reached, or
                its completion ended early.
        """
        body = self._body(messages, options)
        usage: dict[str, Any] = {}
        reason = ""
        with trace_completion(body) as chunks, readable_errors(self.uri):
            async with await self._post(body) as stream:
                async for chunk in read_chunks(stream):
                    chunks.append(chunk)
                    usage = chunk.get("usage") or usage
                    reason = finish_reason(chunk) or reason
                    yield chunk
            record_completion(usage, incomplete_reason(reason))

    def _body(self, messages: list[Any], options: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request."""
        body: dict[str, Any] = {"model": self.model, "stream": _wants_streams.get()}
        for name, value in (*self.options.items(), *options.items()):
            # Providers accept only one of the two names of the limit.
            body[self.access.limit_option if name in _LIMIT_OPTIONS else name] = value
        if body.get("response_format") == JSON_MODE:
            messages = mention_json(messages)
        body["messages"] = strip_last_answer(join_system_messages(messages))
        if not body["stream"]:
            body.pop("stream_options", None)
        elif self.access.supports_usage_option:
            body.setdefault("stream_options", {"include_usage": True})
        if "tools" not in body:  # APIs refuse these options without tools
            body.pop("tool_choice", None)
            body.pop("parallel_tool_calls", None)
        elif self.options.get("tool_choice") == "none":
            body["tool_choice"] = "none"
        return body

    async def _post(self, body: dict[str, Any]) -> AsyncStream[object]:
        """Send the request and return the response unread; `chunks.py` reads it."""
        timeout = self.timeout if body["stream"] else None
        client = await _client(self.access, timeout, self.max_retries)
        return await client.post(
            "/chat/completions",
            body=body,
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )


def mention_json(messages: list[Any]) -> list[Any]:
    """Add a system message if none mentions JSON, because OpenAI then refuses the JSON mode."""
    if "json" in json.dumps(messages, default=str).lower():
        return messages
    start = len(list(takewhile(_is_system_text, messages)))
    message = {"role": "system", "content": "Answer with a JSON object."}
    return [*messages[:start], message, *messages[start:]]


def join_system_messages(messages: list[Any]) -> list[Any]:
    """Join the system messages at the start, because some servers accept only one."""
    texts = [message["content"] for message in takewhile(_is_system_text, messages)]
    if len(texts) < 2:
        return messages
    content = "\n\n".join(text.strip() for text in texts if text.strip())
    return [{"role": "system", "content": content}, *messages[len(texts) :]]


def strip_last_answer(messages: list[Any]) -> list[Any]:
    """Remove white space from the end of a last message of the assistant; Anthropic refuses it."""
    last = messages[-1] if messages else {}
    content = last.get("content")
    if last.get("role") != "assistant" or not isinstance(content, str):
        return messages
    return [*messages[:-1], {**last, "content": content.rstrip()}]


def _is_system_text(message: Any) -> bool:
    return message["role"] == "system" and isinstance(message["content"], str)


def connect(
    uri: str, *, timeout: float, max_retries: int, options: dict[str, Any] | None = None
) -> LLM:
    """Return the LLM with this URI; no request is sent yet. `LLM` describes the arguments.

    Raises:
        LLMError: The URI is invalid, or credentials are missing.
    """
    scheme, model = split_uri(uri)
    return LLM(uri, model, access_for(scheme), timeout, max_retries, options or {})


Clients = dict[tuple[Access, float | None, int], AsyncOpenAI]

# A connection belongs to the event loop that opened it, so each loop has its own clients.
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncGenerator[Clients], Clients]]
_pools = WeakKeyDictionary()


async def _client(access: Access, timeout: float | None, max_retries: int) -> AsyncOpenAI:
    """Return the client of the running event loop, which keeps its connections open."""
    clients = await _clients_of_loop()
    key = (access, timeout, max_retries)
    if key not in clients:
        # openai 3 accepts clients of httpx, but its type hints name those of httpx2.
        http_client: Any = access.http_client()
        clients[key] = AsyncOpenAI(
            base_url=access.base_url,
            api_key=access.api_key,
            timeout=timeout,
            max_retries=max_retries,
            http_client=http_client,
        )
    return clients[key]


async def _clients_of_loop() -> Clients:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        # Other threads may add loops meanwhile, so iterate over a copy.
        for other in [reference() for reference in _pools.keyrefs()]:
            if other and other.is_closed():
                _pools.pop(other, None)
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
