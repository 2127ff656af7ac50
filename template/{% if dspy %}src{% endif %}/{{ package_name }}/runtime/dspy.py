"""Connects DSPy with the LLM, the tools and the Responses API."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from types import FunctionType
from typing import Any, NoReturn

import anyio
import dspy
import httpx
from dspy._vendor.lm15.transports import AsyncTransportResponse, TransportRequest
from dspy.clients.engines.lm15_engine import AsyncLM15Engine
from dspy.clients.engines.streaming import EngineChunk
from dspy.lm15 import Request, RouterConfig
from dspy.streaming import StreamResponse
from dspy.utils.exceptions import AdapterParseError
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from pydantic import PrivateAttr, TypeAdapter

from .dspy_adapter import ChatAdapter, add_results, answer_listeners, to_history
from .framework import adapt_events, function_call, message
from .items import RequestError, delta_event, function_call_output, unique_id
from .llm import LLM, LLMError
from .llm.transport import LLMTransport, select_llm, separate_answer
from .messages import to_messages
from .toolbox import Toolbox

_ANY: TypeAdapter[Any] = TypeAdapter(Any)


class _Transport:
    """Sends the requests of DSPy to the LLM."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(transport=LLMTransport(), trust_env=False)

    @asynccontextmanager
    async def stream(self, request: TransportRequest) -> AsyncGenerator[AsyncTransportResponse]:
        async def release(_body_consumed: bool) -> None:
            await response.aclose()

        async with self._client.stream(
            request.method, request.url, headers=request.headers, content=request.body
        ) as response:
            yield AsyncTransportResponse(
                status=response.status_code,
                reason=response.reason_phrase,
                headers=response.headers.multi_items(),
                http_version="1.1",
                chunks=response.aiter_bytes(),
                release=release,
            )


class _SynchronousEngine:
    """Declares what the LLM can do; the agent calls it asynchronously."""

    supports_function_calling = True

    def complete(self, request: Request) -> NoReturn:
        raise RuntimeError("The agent is asynchronous: call modules with `await module.acall(…)`.")

    stream = complete


def language_model() -> dspy.LM:
    """Return the LLM of each request as one language model of DSPy."""
    config = RouterConfig(
        env={},
        api_keys={"openai-chat": "none"},
        base_urls={"openai-chat": "http://llm.invalid"},
        transport=_Transport(),
    )
    return dspy.LM(
        "openai/llm",
        engine=_SynchronousEngine(),
        async_engine=AsyncLM15Engine(config),
        num_retries=0,  # `LLM.stream` has already retried a request that fails
        cache=False,
    )


class _Tool(dspy.Tool):
    """A function as `Toolbox` describes it."""

    _specification: Any = PrivateAttr()

    def _parse_function(self, func: Any, arg_desc: Any = None) -> None:
        """Set only the name. The toolbox describes the arguments, also recursive ones."""
        self.name = func.__name__

    def format_as_litellm_function_call(self) -> Any:
        return self._specification


class Tools(list[dspy.Tool]):
    """Functions as tools of DSPy. An error becomes an output, which the LLM reads.

    Args:
        functions: The functions.
        max_length: The maximum number of characters of an output.
    """

    def __init__(self, functions: Sequence[FunctionType], *, max_length: int) -> None:
        self._toolbox = Toolbox(functions)
        self._max_length = max_length
        for function, specification in zip(functions, self._toolbox.specifications, strict=True):
            tool = _Tool(func=function)
            tool._specification = specification
            self.append(tool)

    async def run(self, calls: dspy.ToolCalls) -> None:
        """Run calls at the same time, and add their results to them."""
        for call in calls.tool_calls:
            await _send(function_call(str(call.id), call.name, call.args))
        outputs = await asyncio.gather(*map(self._run, calls.tool_calls))
        for call, output in zip(calls.tool_calls, outputs, strict=True):
            await _send(function_call_output(str(call.id), output))
        add_results(calls, outputs)

    async def _run(self, call: dspy.ToolCalls.ToolCall) -> str:
        arguments = json.dumps(call.args)
        with separate_answer():
            return await self._toolbox.run(call.name, arguments, max_length=self._max_length)


async def _send(event: ResponsesAgentStreamEvent) -> None:
    """Add an event to the stream of the program that runs, unless an optimizer runs it."""
    if events := dspy.settings.send_stream:
        await events.send(event)


async def call(program: dspy.Module, **inputs: Any) -> AsyncGenerator[Any]:
    """Yield what a program streams: pieces of its answer, events of its tools, its prediction.

    `dspy.streamify` leaves a cancel scope open if its stream is closed early.
    """
    listeners = answer_listeners(program)
    sending, receiving = anyio.create_memory_object_stream[Any](16)

    async def send_all() -> None:
        with sending, dspy.context(send_stream=sending, stream_listeners=listeners):
            await sending.send(await program.acall(**inputs))

    task = asyncio.create_task(send_all())
    try:
        with receiving:
            async for value in receiving:
                is_chunk = isinstance(value, EngineChunk)
                for listener in listeners:
                    if piece := listener.receive(value) if is_chunk else listener.finalize():
                        yield piece
                if not is_chunk:
                    yield value
        await asyncio.wait([task])
        # Raised outside of a handler, the error does not become the cause of its own cause.
        if error := task.exception():
            raise _cause(error)
    finally:
        task.cancel()


_LM = language_model()
_ADAPTER = ChatAdapter()


def stream(
    program: dspy.Module, request: ResponsesAgentRequest, llm: LLM, **inputs: Any
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Answer a request with a program that returns an `answer`.

    It arrives word by word if one predictor of the program has the output `answer`.

    Args:
        program: Takes `history`, and `question` and `context` of the last turn, if it has them.
        request: The request.
        llm: The LLM.
        inputs: More inputs of the program; `stream` omits those without a value.

    Raises:
        LLMError: The LLM fails, or does not return the outputs of the program.
        NotImplementedError: The program changes an answer that the caller already has.
        RequestError: The request contains no message, or a part that DSPy does not send.
    """

    async def run() -> AsyncGenerator[ResponsesAgentStreamEvent]:
        select_llm(llm)
        history, turn = to_history(to_messages(request.input))
        if not history.messages and not turn:
            raise RequestError("The request contains no message. Send one.", "input")
        turn |= {name: value for name, value in inputs.items() if value not in (None, {})}
        # Otherwise DSPy keeps the requests of all users, in its trace and in its histories.
        with dspy.context(lm=_LM, adapter=_ADAPTER, trace=None, disable_history=True):
            values = call(program, history=history, **turn)
            try:
                async with aclosing(values), aclosing(to_events(values)) as converted:
                    async for event in converted:
                        yield event
            except AdapterParseError as error:
                raise LLMError(f"{llm.uri} did not return the outputs of the program.") from error

    return adapt_events(run())


def _cause(error: BaseException) -> BaseException:
    """Return the error of the LLM that DSPy reports as its own."""
    cause: BaseException | None = error
    while cause and not isinstance(cause, LLMError):
        cause = cause.__cause__
    return cause or error


async def to_events(values: AsyncIterator[Any]) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert what a program streams to events."""
    message_id, text = unique_id("msg"), ""
    async for value in values:
        match value:
            case StreamResponse(chunk=chunk):
                text += chunk
                yield delta_event(chunk, message_id)
                continue
            case dspy.Prediction(answer=answer) if not text and answer not in (None, ""):
                text = answer if isinstance(answer, str) else _ANY.dump_json(answer).decode()
                yield delta_event(text, message_id)
            case dspy.Prediction(answer=str(answer)) if answer.split() != text.split():
                raise NotImplementedError(
                    "The program changes an answer that the caller already has. Change what the "
                    "LLM receives, or rename the output `answer` of the predictor."
                )
        if text:
            yield message(text, message_id)
            message_id, text = unique_id("msg"), ""
        if isinstance(value, ResponsesAgentStreamEvent):
            yield value
