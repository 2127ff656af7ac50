"""What the user may do in Unity Catalog and with apps."""

from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.identity import GROUP, USER
from tests.helpers.fake_workspace.routes import Api, ApiError, Body, invalid, not_found, read, reply
from tests.helpers.fake_workspace.state import State

KINDS = {"CATALOG": 1, "SCHEMA": 2}  # the levels of their names


class PermissionsOf(Body):
    principal: str
    max_results: int
    page_token: str = ""


def add_routes(api: Api, state: State) -> None:
    """Add the routes of catalogs, schemas, grants and apps."""

    def inherited(name: str) -> set[str]:
        """Return the privileges on a catalog or schema, with those on its catalog."""
        return state.grants.get(name, set()) | state.grants.get(name.partition(".")[0], set())

    async def securable(request: Request) -> Response:
        name = request.path_params["name"]
        kind = "CATALOG" if "/catalogs/" in request.url.path else "SCHEMA"
        if name not in state.owners or name.count(".") + 1 != KINDS[kind]:
            raise not_found(f"{name}")
        if state.owners[name] not in (USER, GROUP) and not inherited(name):
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have USE on {name}.")
        return reply({"name": name, "full_name": name, "owner": state.owners[name]})

    async def effective(request: Request) -> Response:
        kind, name = request.path_params["kind"], request.path_params["name"]
        body = await read(request, PermissionsOf)
        if name.count(".") + 1 != KINDS.get(kind):
            raise invalid(f"{name!r} is not the name of a securable of type {kind!r}.")
        if 0 < body.max_results < 150 or body.max_results < 0:
            raise invalid("max_results must be 0, or at least 150.")
        if name not in state.owners:
            raise not_found(f"{name}")
        if body.principal != USER:
            raise ApiError(404, "PRINCIPAL_DOES_NOT_EXIST", f"No principal {body.principal}.")
        if not body.page_token:  # a page may be empty although others follow
            return reply({"next_page_token": "2"})
        privileges = [{"privilege": one} for one in sorted(inherited(name))]
        assignments = [{"principal": USER, "privileges": privileges}] if privileges else []
        return reply({"privilege_assignments": assignments})

    def app_permission(request: Request) -> str:
        name = request.path_params["name"]
        if name not in state.apps:
            raise not_found(f"App with name {name}")
        return state.apps[name]

    async def get_app(request: Request) -> Response:
        app_permission(request)
        return reply({"name": request.path_params["name"], "creator": "admin@example.com"})

    async def app_permissions(request: Request) -> Response:
        permission = app_permission(request)
        if permission != "CAN_MANAGE":
            raise ApiError(403, "PERMISSION_DENIED", f"{USER} does not have Manage permissions.")
        granted = [{"permission_level": permission, "inherited": False}]
        entries = [{"group_name": GROUP, "all_permissions": granted}]
        return reply({"object_type": "apps", "access_control_list": entries})

    catalog = "/api/2.1/unity-catalog"
    api.add("GET", f"{catalog}/catalogs/{{name}}", securable)
    api.add("GET", f"{catalog}/schemas/{{name}}", securable)
    api.add("GET", f"{catalog}/effective-permissions/{{kind}}/{{name}}", effective)
    api.add("GET", "/api/2.0/apps/{name}", get_app)
    api.add("GET", "/api/2.0/permissions/apps/{name}", app_permissions)
