"""Lets the OpenAI client of a framework call the LLM.

Providers differ from OpenAI in details that `LLM.stream` handles. A framework gets the completions
as OpenAI streams them: text as it arrives, then whole tool calls, usage and the end. A refusal is
a text, because frameworks drop other refusals or fail.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from .client import LLM
from .completion import Completion
from .errors import LLMError
from .fields import Fields
from .pieces import read_pieces
from .valid_messages import NO_OUTPUT, make_calls_valid, texts_only, without_blanks

_URL, _PATH = "http://llm.invalid", "/chat/completions"
_REQUEST = httpx.Request("POST", f"{_URL}{_PATH}")
# The header of `client.with_raw_response`.
_RAW_RESPONSE = "X-Stainless-Raw-Response"
# `LLM.stream` sets these fields itself.
_HANDLED = {"model", "messages", "stream", "stream_options"}
_FINISH_REASONS = {None: "stop", "max_output_tokens": "length", "content_filter": "content_filter"}


@dataclass
class _Answer:
    """The LLM of an answer, and what frameworks do not pass on.

    Attributes:
        llm: The LLM.
        turns: Its own messages by the ids of their tool calls.
        thoughts: The reasoning of each completion that `take_reasoning` has not returned yet.
        is_cut_off: Whether its last completion is incomplete.
        citations: The sources of the text of its last completion, as in a Response.
        may_call: Whether it may call tools.
    """

    llm: LLM
    turns: dict[str, Fields] = field(default_factory=dict)
    thoughts: list[str] = field(default_factory=list)
    is_cut_off: bool = False
    citations: list[Fields] = field(default_factory=list)
    may_call: bool = True


_current: ContextVar[_Answer] = ContextVar("answer")


def select_llm(llm: LLM) -> None:
    """Let the clients in this context call an LLM."""
    _current.set(_Answer(llm))


@contextmanager
def separate_answer() -> Generator[None]:
    """Keep the reasoning and the calls of an LLM in a tool apart from those of the answer."""
    answer = _current.get(None)
    if answer is None:  # a test calls the tool
        yield
        return
    token = _current.set(_Answer(answer.llm))
    try:
        yield
    finally:
        _current.reset(token)


def forbid_calls() -> None:
    """Let the LLM call no tools from now on in this context."""
    _current.get().may_call = False


def take_reasoning() -> list[str]:
    """Return the reasoning of each completion in this context since the last call."""
    thoughts = _current.get().thoughts
    taken = [*thoughts]
    thoughts.clear()
    return taken


def is_cut_off() -> bool:
    """Return whether the LLM cut off its last completion in this context."""
    return _current.get().is_cut_off


def citations() -> list[Fields]:
    """Return the sources of the text of the last completion in this context."""
    return _current.get().citations


def openai_client() -> AsyncOpenAI:
    """Return a client that sends chat completions to the LLM that `select_llm` has selected.

    It has no connections of its own, so one client serves all requests. An error of the LLM is an
    `LLMError`, or the cause of the client's error. `LLM.stream` has already retried the request.
    """
    # openai 3 accepts clients of httpx, but its type hints name those of httpx2.
    http_client: Any = httpx.AsyncClient(transport=LLMTransport(), trust_env=False)
    return _StreamingClient(base_url=_URL, api_key="none", max_retries=0, http_client=http_client)


class _StreamingClient(AsyncOpenAI):
    """A client that opens streams without building a request, which would take more CPU time."""

    async def post(self, path: str, **arguments: Any) -> Any:
        options = arguments.get("options") or {}
        wants_response = _RAW_RESPONSE in (options.get("headers") or {})
        if path != _PATH or not arguments.get("stream") or wants_response:
            return await super().post(path, **arguments)
        chunks = _request_chunks(arguments["body"] | (options.get("extra_json") or {}))
        response = httpx.Response(200, stream=_EventStream(chunks), request=_REQUEST)
        stream: Any = arguments["stream_cls"]
        return stream(cast_to=ChatCompletionChunk, response=response, client=self)


class LLMTransport(httpx.AsyncBaseTransport):
    """Answers `POST /chat/completions` with the LLM."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        chunks = _request_chunks(body)
        if body.get("stream"):
            headers = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=headers, stream=_EventStream(chunks))
        return httpx.Response(200, json=await _completion(chunks))


def _request_chunks(body: Fields) -> AsyncGenerator[Fields]:
    """Request a completion of the LLM."""
    answer = _current.get(None)
    if answer is None:
        raise LLMError("The framework may call the LLM only while the agent answers a request.")
    options = {name: body[name] for name in body.keys() - _HANDLED}
    for tool in options.get("tools", []):
        if tool["function"].get("strict") is False:  # the default; some servers refuse the field
            del tool["function"]["strict"]
    if not answer.may_call:
        options["tool_choice"] = "none"
    messages = list(_valid_messages(body["messages"], answer.turns))
    used = {call["id"] for one in messages for call in one.get("tool_calls") or []}
    return _strict_chunks(answer.llm.stream(messages, **options), answer, used)


def _valid_messages(messages: list[Fields], turns: dict[str, Fields]) -> Iterator[Fields]:
    """Yield messages that the LLM accepts.

    A message with the calls of an LLM's own one becomes that one, which may have signatures. Others
    come from the client or the framework, which may have changed the calls. Those without a content
    are left out.
    """
    for message in messages:
        calls = message.get("tool_calls")
        turn = turns.get(calls[0]["id"]) if calls else None
        if turn and _calls(turn) == _calls(message):
            yield turn
            continue
        if message.get("tool_call_id") not in turns:
            make_calls_valid(message)
        content = without_blanks(message.get("content"))
        if message["role"] == "tool":
            content = texts_only(content) or NO_OUTPUT
        if content or calls:
            yield message | {"content": content or None}


def _calls(message: Fields) -> list[tuple[str, str, Any]]:
    """Return the id, the name and the arguments of each call."""
    calls = ((call["id"], call["function"]) for call in message["tool_calls"])
    return [(identifier, one["name"], _parsed(one["arguments"])) for identifier, one in calls]


def _parsed(arguments: str) -> Any:
    """Return the value of a JSON text, or the text itself if it is not valid JSON."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


async def _strict_chunks(
    chunks: AsyncGenerator[Fields], answer: _Answer, used_ids: set[str]
) -> AsyncGenerator[Fields]:
    """Yield the chunks of one completion as OpenAI sends them.

    The role comes with the first one and the usage with the last, because clients take time for
    each chunk. Calls have new ids, because some servers number those of each completion from 0.
    """
    completion = Completion()
    head = {"id": f"chatcmpl-{uuid4().hex}", "object": "chat.completion.chunk", "created": 0}
    head["model"] = answer.llm.model
    role = {"role": "assistant"}
    thoughts: list[str] = []
    blank = ""  # white space before the text; without a text, it is not a message
    async with aclosing(read_pieces(chunks, completion)) as pieces:
        async for piece in pieces:
            if piece.kind == "reasoning":
                thoughts.append(piece.text)
                continue
            text = blank + piece.text
            if role and not text.strip():
                blank = text
                continue
            _move(thoughts, answer.thoughts)
            yield head | _choice({**role, "content": text})
            role, blank = {}, ""
    answer.is_cut_off = completion.incomplete_reason is not None
    answer.citations = completion.citations
    _move(thoughts, answer.thoughts)
    for call in completion.calls:
        if call.id in used_ids:
            call.id = f"call_{uuid4().hex}"
    calls = [call.message_part() for call in completion.calls]
    if calls:
        turn = {**completion.turn(), "tool_calls": calls}
        answer.turns.update({call["id"]: turn for call in calls})
        yield head | _choice({**role, "tool_calls": list(_deltas(calls))})
        role = {}
    reason = "tool_calls" if calls else _FINISH_REASONS[completion.incomplete_reason]
    yield head | _choice(role, reason) | {"usage": completion.usage or None}


def _move(thoughts: list[str], finished: list[str]) -> None:
    """Join the pieces of a reasoning, and append the text to `finished`."""
    if text := "".join(thoughts):
        finished.append(text)
    thoughts.clear()


def _choice(delta: Fields, finish_reason: str | None = None) -> Fields:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def _deltas(calls: list[Fields]) -> Iterator[Fields]:
    """Yield tool calls without the fields that only the LLM knows."""
    for index, call in enumerate(calls):
        function = {name: call["function"][name] for name in ("name", "arguments")}
        yield {"index": index, "id": call["id"], "type": "function", "function": function}


async def _completion(chunks: AsyncGenerator[Fields]) -> Fields:
    """Assemble a whole completion."""
    message: Fields = {"role": "assistant", "content": None}
    reason, chunk = None, {}
    async for chunk in chunks:
        for choice in chunk["choices"]:
            reason = choice["finish_reason"] or reason
            for name, value in choice["delta"].items():
                is_text = name == "content"
                message[name] = (message[name] or "") + value if is_text else value
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return chunk | {"object": "chat.completion", "choices": [choice]}


class _EventStream(httpx.AsyncByteStream):
    """The server-sent events of a completion."""

    def __init__(self, chunks: AsyncGenerator[Fields]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        await self._chunks.aclose()
