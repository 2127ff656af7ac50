"""Deployments of agents: the registration from which the Review App and monitoring start."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import Api, Body, invalid, not_found, read, reply
from tests.helpers.fake_workspace.state import State


class Deployment(Body):
    model_name: str
    model_version: str
    query_endpoint: str
    endpoint_name: str
    served_entity_name: str
    workspace_url: str


def add_routes(api: Api, state: State) -> None:
    """Add the routes of deployments, and those that tell a client about monitors and tables."""

    async def register(request: Request) -> Response:
        body = await read(request, Deployment)
        if body.endpoint_name not in state.endpoints:
            raise not_found(f"Endpoint {body.endpoint_name}")
        model = state.models.get(body.model_name)
        if model is None or body.model_version not in model.versions:
            raise not_found(f"Version {body.model_version} of {body.model_name}")
        key = (body.model_name, body.model_version)
        if key in state.agents:
            raise invalid(f"Version {body.model_version} of {body.model_name} is deployed already.")
        review = f"{request.base_url}ml/review-v2/{body.endpoint_name}"
        state.agents[key] = body.model_dump() | {"review_app_url": review}
        return reply({"deployed_chain": state.agents[key]})

    async def list_deployments(request: Request) -> Response:
        name, number = request.path_params["name"], request.path_params.get("version")
        found: list[dict[str, Any]] = [
            deployment
            for key, deployment in state.agents.items()
            if key[0] == name and number in (None, key[1])
        ]
        return reply({"chain_deployments": found} if found else {})

    async def count_usage(request: Request) -> Response:
        return reply()

    async def no_monitor(request: Request) -> Response:
        raise not_found(f"The monitor of {request.path_params['name']}")

    async def no_table(request: Request) -> Response:
        return reply({"table_exists": False})

    deployments = "/api/2.0/agents/deployments"
    api.add("POST", deployments, register)
    api.add("GET", f"{deployments}/{{name}}", list_deployments)
    api.add("GET", f"{deployments}/{{name}}/versions/{{version}}", list_deployments)
    api.add("POST", "/api/2.0/agents/evaluation-client-usage-events", count_usage)
    api.add("GET", "/api/2.0/managed-evals/monitors/{name}", no_monitor)
    api.add("GET", "/api/2.1/unity-catalog/tables/{name}/exists", no_table)
