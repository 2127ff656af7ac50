"""The invocations of endpoints, which real servers answer."""

import json

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import Api, ApiError, Body, not_found, read
from tests.helpers.fake_workspace.state import State
from tests.helpers.fake_workspace.tracking import forwarded


class Completion(Body):
    model: str
    messages: list[dict[str, str]]
    stream: bool


def add_routes(api: Api, state: State) -> None:
    """Add the route to the server of the version that has the traffic, and that of LLMs."""

    async def complete(request: Request) -> Response:
        body = await read(request, Completion)
        if body.model not in state.endpoints:
            raise not_found(f"Endpoint {body.model}")
        choice = {"index": 0, "delta": {"content": "OK"}, "finish_reason": "stop"}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": body.model}
        events = f"data: {json.dumps(chunk | {'choices': [choice]})}\n\ndata: [DONE]\n\n"
        return Response(events, media_type="text/event-stream")

    async def invoke(request: Request) -> Response:
        endpoint = state.endpoints.get(request.path_params["name"])
        if endpoint is None:
            raise not_found(f"Endpoint {request.path_params['name']}")
        if not endpoint.config:
            raise ApiError(400, "BAD_REQUEST", f"Endpoint {endpoint.name} is not ready.")
        version = max(endpoint.answering, key=lambda one: endpoint.answering[one])
        upstream = state.upstreams.get(version) or state.upstreams[""]
        response = await forwarded(request, f"{upstream}/invocations")
        response.headers["served-model-name"] = version
        return response

    api.add("POST", "/serving-endpoints/{name}/invocations", invoke)
    api.add("POST", "/serving-endpoints/chat/completions", complete)
