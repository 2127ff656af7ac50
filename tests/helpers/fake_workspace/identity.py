"""Who is logged in, and to which workspace."""

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import Api, reply
from tests.helpers.fake_workspace.state import State

USER = "owner@example.com"
GROUP = "agent-developers"


def add_routes(api: Api, state: State) -> None:
    """Add the routes that name the user and the workspace."""

    async def me(request: Request) -> Response:
        groups = [{"display": GROUP, "value": "2", "type": "direct"}]
        return reply({"id": "1", "userName": USER, "active": True, "groups": groups})

    async def host_metadata(request: Request) -> Response:
        return reply({"oidc_endpoint": f"{request.base_url}oidc", "workspace_id": "1"})

    api.add("GET", "/.well-known/databricks-config", host_metadata, is_public=True)
    api.add("GET", "/api/2.0/preview/scim/v2/Me", me)
