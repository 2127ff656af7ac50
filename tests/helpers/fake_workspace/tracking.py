"""Experiments, runs, logged models and traces, which a real MLflow server stores."""

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.helpers.fake_workspace.routes import Api, ApiError

ROUTES = (
    "GET /api/2.0/mlflow/experiments/get-by-name",
    "GET /api/2.0/mlflow/experiments/get",
    "POST /api/2.0/mlflow/experiments/create",
    "POST /api/2.0/mlflow/experiments/search",
    "POST /api/2.0/mlflow/runs/create",
    "POST /api/2.0/mlflow/runs/update",
    "GET /api/2.0/mlflow/runs/get",
    "POST /api/2.0/mlflow/runs/search",
    "POST /api/2.0/mlflow/runs/set-tag",
    "POST /api/2.0/mlflow/runs/log-batch",
    "POST /api/2.0/mlflow/runs/log-inputs",
    "POST /api/2.0/mlflow/runs/outputs",
    "POST /api/2.0/mlflow/logged-models",
    "POST /api/2.0/mlflow/logged-models/search",
    "GET /api/2.0/mlflow/logged-models/{id}",
    "PATCH /api/2.0/mlflow/logged-models/{id}",
    "PATCH /api/2.0/mlflow/logged-models/{id}/tags",
    "POST /api/2.0/mlflow/logged-models/{id}/params",
    "POST /api/3.0/mlflow/traces",
    "GET /api/3.0/mlflow/traces/{id}",
    "POST /api/3.0/mlflow/traces/{id}/assessments",
    "POST /api/2.0/mlflow/traces/link-to-run",
    "POST /api/3.0/mlflow/traces/search",
    "GET /api/2.0/mlflow/traces",
)
# These belong to a connection.
HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "authorization"}


def add_routes(api: Api, mlflow_server: str) -> None:
    """Add the routes that the MLflow server answers."""

    async def forward(request: Request) -> Response:
        return await forwarded(request, f"{mlflow_server}{request.url.path}")

    async def refuse(request: Request) -> Response:
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"{request.url.path} needs another workspace.")

    for route in ROUTES:
        method, path = route.split()
        api.add(method, path, forward)
    # Of a workspace with traces in Unity Catalog; MLflow falls back to the search above.
    api.add("POST", "/api/4.0/mlflow/traces/search-long-running", refuse)


async def forwarded(request: Request, url: str) -> Response:
    """Pass a request on, without its token, and stream the response back."""
    headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    client = httpx.AsyncClient(timeout=300)
    upstream = client.build_request(
        request.method,
        url,
        params=list(request.query_params.multi_items()),
        headers=headers,
        content=await request.body(),
    )
    response = await client.send(upstream, stream=True)
    kept = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}

    async def close() -> None:
        await response.aclose()
        await client.aclose()

    return StreamingResponse(
        response.aiter_raw(), response.status_code, kept, background=BackgroundTask(close)
    )
