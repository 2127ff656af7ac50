"""The endpoint of the agent: a request becomes a response or a stream of events."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

import mlflow
from mlflow.entities import LiveSpan, SpanType
from mlflow.entities.span import NO_OP_SPAN_TRACE_ID
from mlflow.genai.agent_server.utils import set_request_headers
from mlflow.pyfunc import ResponsesAgent
from mlflow.tracing.constant import SpanAttributeKey
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..ops.project import PROJECT_NAME
from ..runtime.llm.pieces import join_pieces
from .errors import ApiError, report_failure, stopping_error
from .events import Event, ResponseWriter
from .requests import parse_request
from .sampling import TraceSampler
from .settings import ServerSettings
from .state import RequestState, state_of
from .streaming import EventStreamResponse, encode

logger = logging.getLogger(__name__)

RETURN_TRACE_HEADER = "x-mlflow-return-trace-id"

AgentEvents = AsyncGenerator[ResponsesAgentStreamEvent]


@dataclass
class AgentEndpoint:
    """The ASGI application of the API routes; `RequestBody` has read the body before it.

    Attributes:
        agent: The agent that answers.
        settings: The settings of the server.
    """

    agent: ResponsesAgent
    settings: ServerSettings
    sampler: TraceSampler = field(init=False)

    def __post_init__(self) -> None:
        self.sampler = TraceSampler(self.settings.traces_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = state_of(scope)
        request, stream = parse_request(state.body)
        headers = Headers(scope=scope)
        # Agents read headers, such as a user's token, with MLflow's `get_request_headers`.
        set_request_headers(dict(headers))
        return_trace_id = headers.get(RETURN_TRACE_HEADER, "").lower() == "true"
        with self.sampler.sample():
            if stream:
                events = self.stream(request, state, return_trace_id)
                seconds = self.settings.keep_alive_seconds
                response: Response = EventStreamResponse(events, seconds)
            else:
                response = await self.respond(request, state, return_trace_id)
            await response(scope, receive, send)

    async def respond(
        self, request: ResponsesAgentRequest, state: RequestState, return_trace_id: bool
    ) -> Response:
        """Return the complete response."""
        with root_span("predict", request, state) as span, join_pieces():
            writer = response_writer(request, trace_metadata(state, return_trace_id))
            try:
                async with agent_events(self.agent, request) as events:
                    async for event in events:
                        state.record_first_event()
                        writer.add(event)
                body = writer.finished_response()
                record(span.set_outputs, body)
                return JSONResponse(body)
            except asyncio.CancelledError:
                if not state.is_stopping:
                    raise
                span.record_exception(stopping := stopping_error())
                return stopping.response()
            except Exception as error:
                span.record_exception(error)
                return report_failure(error).response()

    async def stream(
        self, request: ResponsesAgentRequest, state: RequestState, return_trace_id: bool
    ) -> AsyncGenerator[str]:
        """Yield the response as server-sent events."""
        with root_span("predict_stream", request, state) as span:
            metadata = trace_metadata(state, return_trace_id)
            writer = response_writer(request, metadata)
            yield encode([writer.start()])
            try:
                async with agent_events(self.agent, request) as events:
                    async for event in events:
                        state.record_first_event()
                        yield encode(writer.events_for(event))
                record(span.set_outputs, writer.finished_response())
                yield encode([writer.end()])
            except asyncio.CancelledError:
                if not state.is_stopping:
                    raise
                span.record_exception(stopping := stopping_error())
                yield encode(failure_events(writer, stopping))
            except Exception as error:
                span.record_exception(error)
                yield encode(failure_events(writer, report_failure(error)))
        yield encode([metadata, "[DONE]"] if metadata else ["[DONE]"])


@asynccontextmanager
async def agent_events(
    agent: ResponsesAgent, request: ResponsesAgentRequest
) -> AsyncGenerator[AgentEvents]:
    """Open the stream of the agent's events.

    An agent without `predict_stream_async` runs in a thread, so it does not block the event loop.

    Raises:
        RuntimeError: The agent raises `CancelledError` although its request is not cancelled.
    """
    stream = getattr(agent, "predict_stream_async", partial(events_in_threads, agent))
    try:
        async with aclosing(stream(request)) as events:
            yield events
    except asyncio.CancelledError as error:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        raise RuntimeError("The agent was cancelled by its own code.") from error


async def events_in_threads(agent: ResponsesAgent, request: ResponsesAgentRequest) -> AgentEvents:
    """Stream the events of `predict_stream` from threads.

    A thread cannot be interrupted: when the request ends early, the generator is closed after the
    event that it is working on.
    """
    events = agent.predict_stream(request)
    in_use = Lock()

    def next_event() -> ResponsesAgentStreamEvent | None:
        with in_use:
            return next(events, None)

    def close() -> None:
        with in_use:
            events.close()

    try:
        while event := await run_in_threadpool(next_event):
            yield event
    finally:
        asyncio.get_running_loop().run_in_executor(None, close)


@contextmanager
def root_span(
    name: str, request: ResponsesAgentRequest, state: RequestState
) -> Generator[LiveSpan]:
    """Open the root span of the request, and record its trace id for the access log."""
    attributes = {SpanAttributeKey.MESSAGE_FORMAT: "openai"}
    with mlflow.start_span(name, span_type=SpanType.AGENT, attributes=attributes) as span:
        record(span.set_inputs, request)
        if span.trace_id != NO_OP_SPAN_TRACE_ID:  # otherwise the request is not sampled
            state.trace_id = span.trace_id
        yield span


def record(setter: Callable[[Any], None], value: Any) -> None:
    """Set the inputs or outputs of a span; tracing must not fail a request."""
    try:
        setter(value)
    except Exception:
        logger.warning("A trace lacks its inputs or outputs.", exc_info=True)


def response_writer(request: ResponsesAgentRequest, metadata: dict[str, str]) -> ResponseWriter:
    """Return the writer of a response that repeats the metadata and tool options of the request."""
    options = request.model_dump(include={"parallel_tool_calls", "tool_choice"}, exclude_none=True)
    return ResponseWriter(PROJECT_NAME, (request.metadata or {}) | metadata, **options)


def trace_metadata(state: RequestState, return_trace_id: bool) -> dict[str, str]:
    """Return the trace id, if the client requests it and there is a trace."""
    return {"trace_id": state.trace_id} if return_trace_id and state.trace_id else {}


def failure_events(writer: ResponseWriter, error: ApiError) -> Iterator[Event]:
    """Yield the events that end a failed stream, with a code of the Responses API."""
    codes = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
    return writer.fail(codes.get(error.status, "server_error"), error.fields())
