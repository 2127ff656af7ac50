"""The application: routes and their handlers.

`/responses` and `/invocations` answer requests of the Responses API, `/` is a chat page. The server
keeps no state between requests, so any number of processes can run behind a load balancer.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import mlflow
from mlflow.pyfunc import ResponsesAgent
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..ops.project import PROJECT_NAME
from ..runtime.items import RequestError
from .browsers import BrowserProtection
from .endpoint import AgentEndpoint
from .errors import ApiError, handle_api_error, handle_error
from .middleware import (
    AccessLog,
    Authentication,
    CancelOnDisconnect,
    ConcurrencyLimit,
    RequestBody,
)
from .openapi import openapi_schema
from .page import OPEN_PATHS, page_routes
from .settings import ServerSettings, load_settings

API_PATHS = ("/responses", "/invocations")
HEALTH_PATHS = ("/health", "/ping")  # `/ping` is the path of MLflow's scoring server


def create_app(
    agent: ResponsesAgent,
    settings: ServerSettings | None = None,
    *,
    on_shutdown: Callable[[], None] = mlflow.flush_trace_async_logging,
) -> Starlette:
    """Return the application.

    Args:
        agent: The agent that answers.
        settings: The settings; by default, those of the environment.
        on_shutdown: Called in a thread at shutdown. Canceled requests may still be ending.
    """
    settings = settings or load_settings()
    endpoint = with_limits(AgentEndpoint(agent, settings), settings)
    open_paths = {*HEALTH_PATHS, *OPEN_PATHS}
    app = Starlette(
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path in API_PATHS),
            Route("/agent/info", agent_info),
            *(Route(path, health) for path in HEALTH_PATHS),
            Route("/openapi.json", openapi),
            *page_routes(),
        ],
        middleware=[
            Middleware(AccessLog, paths=API_PATHS),
            Middleware(BrowserProtection, hosts=settings.hosts()),
            Middleware(Authentication, token=settings.token, open_paths=open_paths),
        ],
        exception_handlers={
            ApiError: handle_api_error,
            RequestError: handle_error,
            HTTPException: handle_http_error,
            Exception: handle_error,
        },
        lifespan=partial(run_on_shutdown, on_shutdown),
    )
    app.router.redirect_slashes = False  # behind a proxy, the URL of the redirect would be wrong
    return app


def with_limits(endpoint: ASGIApp, settings: ServerSettings) -> ASGIApp:
    """Wrap the agent's endpoint in the middleware that only its routes need."""
    app = CancelOnDisconnect(endpoint)
    app = RequestBody(app, settings.max_body_bytes, settings.body_timeout_seconds)
    return ConcurrencyLimit(app, settings.max_requests)


@asynccontextmanager
async def run_on_shutdown(callback: Callable[[], None], _app: Starlette) -> AsyncGenerator[None]:
    """Run a function in a thread at shutdown."""
    yield
    await run_in_threadpool(callback)


async def handle_http_error(request: Request, error: Exception) -> Response:
    """Respond to Starlette's own errors: an unknown path or method."""
    assert isinstance(error, HTTPException)
    path, headers = request.url.path[:100], error.headers or {}
    api = " and ".join(request.scope.get("root_path", "") + api_path for api_path in API_PATHS)
    texts = {
        404: f"There is no {path}. The API is at {api}.",
        405: f"{path} accepts {headers.get('Allow')}.",
    }
    text = texts.get(error.status_code, f"{error.detail}.")
    return ApiError(error.status_code, text, headers=headers).response()


async def health(_request: Request) -> Response:
    """Respond to load balancers."""
    return JSONResponse({"status": "healthy"})


async def openapi(_request: Request) -> Response:
    """Describe the routes of the agent."""
    return JSONResponse(openapi_schema())


async def agent_info(_request: Request) -> Response:
    """Describe the agent to Databricks Apps."""
    info = {
        "name": os.environ.get("DATABRICKS_APP_NAME", PROJECT_NAME),
        "use_case": "agent",
        "agent_api": "responses",
        "mlflow_version": mlflow.__version__,
    }
    return JSONResponse(info)
