"""The HTTP server: MLflow's AgentServer around the agent, within limits.

`/responses` and `/invocations` answer requests of the Responses API, `/health` says that it runs,
and `/` is a page to chat with it.
It keeps nothing between requests, so any number of them may stand behind a balancer.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import mlflow
import uvicorn
from mlflow.genai.agent_server import AgentServer, invoke, stream
from mlflow.genai.agent_server.server import RETURN_TRACE_HEADER
from mlflow.genai.agent_server.utils import get_request_headers
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from .conversation import RequestError
from .guard import Guard, current_exchange
from .llm import LLMError
from .page import SETTINGS, ChatPage, page_settings
from .process import (
    log_to_terminal,
    spare_the_collector,
    stop_with_supervisor,
    store_is_ready,
    store_last_traces,
)
from .project import PACKAGE, PROJECT_NAME, ProjectError
from .sampling import Sampling
from .wire import Event, ResponseWriter

logger = logging.getLogger(__name__)

MAX_BYTES = 10_000_000
MAX_SECONDS = 30  # for a request to arrive
# Where a failure is none of the server's; others are 500.
STATUSES = {RequestError: 400, LLMError: 502, TimeoutError: 504}
NUMBERS = {"AGENT_MAX_REQUESTS": 128, "AGENT_TRACES_PER_SECOND": 5, "AGENT_STOP_SECONDS": 30}
# What is told to the agent counts as much as its code.
RELOADING: dict[str, Any] = {
    "reload": True,
    "reload_dirs": str(PACKAGE),
    "reload_includes": ["*.py", "*.md", "*.yml"],
}


class AnswerError(Exception):
    """The agent could not answer; says no more than the caller may know."""


def is_news(record: logging.LogRecord) -> bool:
    """Whether MLflow's server logs something else than an answer that failed: `told` does that."""
    return not (record.exc_info and isinstance(record.exc_info[1], AnswerError))


def create_app(agent: ResponsesAgent | None = None) -> ChatPage:
    """The application; MLflow allows one a process.

    Args:
        agent: What answers; the agent of this repository if none is given.
    """
    log_to_terminal()
    stop_with_supervisor()
    register(agent or own_agent())
    app = AgentServer("ResponsesAgent").app
    app.get(SETTINGS)(page_settings)
    guard = Guard(
        app,
        token=os.environ.get("AGENT_TOKEN", ""),
        max_requests=setting("AGENT_MAX_REQUESTS"),
        max_bytes=MAX_BYTES,
        max_seconds=MAX_SECONDS,
        sampling=Sampling(setting("AGENT_TRACES_PER_SECOND")),
        # A process that serves an agent of its own, such as a test, is not this one's to end.
        at_end=mlflow.flush_trace_async_logging if agent else store_last_traces,
    )
    spare_the_collector()
    return ChatPage(guard)


def setting(name: str) -> int:
    """A variable that holds a number above zero, or its default.

    Raises:
        ProjectError: it holds something else.
    """
    default = NUMBERS[name]
    wanted = os.environ.get(name, str(default))
    if not wanted.isdecimal() or int(wanted) == 0:
        raise ProjectError(f"{name} is {wanted!r}; set it to a number, such as {default}.")
    return int(wanted)


def own_agent() -> ResponsesAgent:
    """The agent of this repository, tracing into its store, or not at all if that is down."""
    traced = store_is_ready()
    from .agent import AGENT  # which may turn tracing on, as autologging does

    if not traced:
        mlflow.tracing.disable()
    return AGENT


def register(agent: ResponsesAgent) -> None:
    """Make the agent what MLflow's server asks."""
    logging.getLogger(AgentServer.__module__).addFilter(is_news)

    @invoke()
    async def respond(request: ResponsesAgentRequest) -> dict[str, Any]:
        writer = ResponseWriter(PROJECT_NAME)
        note_trace()
        try:
            async for event in answering(agent, request):
                note_first_event()
                list(writer.pass_on(event))
        except asyncio.CancelledError as error:
            raise AnswerError(told_to_come_again()) from error
        except Exception as error:
            raise AnswerError(told(error)) from error
        return writer.response("completed")

    @stream()
    async def respond_in_pieces(request: ResponsesAgentRequest) -> AsyncIterator[Event]:
        note_trace()
        writer = ResponseWriter(PROJECT_NAME, trace_asked_for())
        yield writer.begin()
        try:
            async for event in answering(agent, request):
                note_first_event()
                for written in writer.pass_on(event):
                    yield written
        except asyncio.CancelledError:
            for written in writer.fail(told_to_come_again()):
                yield written
        except RequestError as error:
            for written in writer.fail(told(error), "invalid_prompt"):
                yield written
        except Exception as error:
            for written in writer.fail(told(error)):
                yield written
        else:
            yield writer.end()


def answering(
    agent: ResponsesAgent, request: ResponsesAgentRequest
) -> AsyncIterator[ResponsesAgentStreamEvent]:
    """The agent's events; they end with the exchange, whether or not all of them were taken.

    An agent without `predict_stream_async` answers in threads, and so holds nobody up either.
    """
    ending = current_exchange.get().ending
    if answer := getattr(agent, "predict_stream_async", None):
        events = answer(request)
        ending.push_async_callback(events.aclose)
        return events
    events = agent.predict_stream(request)
    ending.push_async_callback(run_in_threadpool, events.close)
    return iterate_in_threadpool(events)


def told(error: Exception) -> str:
    """What a caller is told of an error; the rest is in the log and in the trace."""
    if span := mlflow.get_current_active_span():
        span.record_exception(error)
    exchange = current_exchange.get()
    exchange.failure = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), None)
    if isinstance(error, RequestError):
        return str(error)
    name = uuid4().hex[:12]
    logger.error("Failure %s", name, exc_info=error)
    return f"The agent could not answer. The server's log says why, at failure {name}."


def told_to_come_again() -> str:
    """What a caller is told of a server that stops.

    Raises:
        CancelledError: nobody is there to be told: the caller has left.
    """
    exchange = current_exchange.get()
    if not exchange.stopped:
        raise asyncio.CancelledError
    exchange.failure = 503
    return "The server is stopping. Ask again."


def note_trace() -> None:
    """Let the log name the trace of this request, if there is one."""
    span = mlflow.get_current_active_span()
    if span and span.trace_id.startswith("tr-"):
        current_exchange.get().trace_id = span.trace_id


def trace_asked_for() -> dict[str, str]:
    """The name of the trace, for callers who ask for it.

    MLflow tells them when the stream has ended, which those who leave before that never read.
    """
    trace_id = current_exchange.get().trace_id
    asked = get_request_headers().get(RETURN_TRACE_HEADER, "").lower() == "true"
    return {"trace_id": trace_id} if asked and trace_id else {}


def note_first_event() -> None:
    """Let the log say how long the first word took."""
    exchange = current_exchange.get()
    if exchange.first_event is None:
        exchange.first_event = exchange.seconds()


def serve(host: str, port: int, *, workers: int = 1, reload: bool = False) -> None:
    """Answer requests until the process is told to stop; what is under way may finish.

    Raises:
        ProjectError: a setting is wrong.
    """
    for name in NUMBERS:
        setting(name)  # a wrong one is said at once, by one process
    log_to_terminal()
    if workers > 1:
        store_is_ready()  # several processes would get in each other's way when a store is new
    logger.info("Serving at http://%s:%d/responses; Ctrl+C stops it.", host, port)
    uvicorn.run(
        "{{ package_name }}.server:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        **(RELOADING if reload else {}),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=setting("AGENT_STOP_SECONDS"),
        timeout_worker_healthcheck=30,
    )
