"""The invocations of endpoints, which real servers answer."""

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import Api, ApiError, not_found
from tests.helpers.fake_workspace.state import State
from tests.helpers.fake_workspace.tracking import forwarded


def add_routes(api: Api, state: State) -> None:
    """Add the route that passes a request on to the server of the version that has the traffic."""

    async def invoke(request: Request) -> Response:
        endpoint = state.endpoints.get(request.path_params["name"])
        if endpoint is None:
            raise not_found(f"Endpoint {request.path_params['name']}")
        if not endpoint.config:
            raise ApiError(400, "BAD_REQUEST", f"Endpoint {endpoint.name} is not ready.")
        (version,) = endpoint.answering
        upstream = state.upstreams.get(version) or state.upstreams[""]
        response = await forwarded(request, f"{upstream}/invocations")
        response.headers["served-model-name"] = version
        return response

    api.add("POST", "/serving-endpoints/{name}/invocations", invoke)
