"""Serving endpoints: what they accept, and how they are updated."""

import re
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.identity import USER
from tests.helpers.fake_workspace.routes import (
    Api,
    ApiError,
    Body,
    invalid,
    not_found,
    read,
    reply,
)
from tests.helpers.fake_workspace.state import READY, Endpoint, State

MAX_SERVED = 15
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
SECRET = re.compile(r"\{\{secrets/[\w.@-]{1,128}/[\w.@-]{1,128}\}\}")
SIZES = ("Small", "Medium", "Large")


class Entity(Body):
    entity_name: str
    entity_version: str
    name: str = ""
    workload_size: str = "Small"
    workload_type: str = "CPU"
    scale_to_zero_enabled: bool
    environment_vars: dict[str, str] = Field(default_factory=dict)
    instance_profile_arn: str = ""
    # What an endpoint shows of an entity, and clients send back.
    creator: str = ""
    creation_timestamp: int = 0
    state: dict[str, str] = Field(default_factory=dict)


class TrafficRoute(Body):
    """A route; the workspace shows its target under both names, and accepts one of them."""

    served_entity_name: str = ""
    served_model_name: str = ""
    traffic_percentage: int


class Traffic(Body):
    routes: list[TrafficRoute]


class Config(Body):
    name: str = ""
    served_entities: list[Entity]
    traffic_config: Traffic


class NewEndpoint(Body):
    name: str
    config: Config
    tags: list[dict[str, str]] = Field(default_factory=list)
    description: str = ""
    ai_gateway: dict[str, Any] = Field(default_factory=dict)


class Tags(Body):
    add_tags: list[dict[str, str]] = Field(default_factory=list)
    delete_tags: list[str] = Field(default_factory=list)


class Description(Body):
    name: str
    description: str


class Serving:
    """The routes of serving endpoints."""

    def __init__(self, state: State) -> None:
        self.state = state

    def endpoint(self, request: Request) -> Endpoint:
        """Return the endpoint in the path of a request."""
        name = request.path_params["name"]
        if name not in self.state.endpoints:
            raise not_found(f"Endpoint {name}")
        endpoint = self.state.endpoints[name]
        if not endpoint.permission:
            raise ApiError(403, "PERMISSION_DENIED", f"{USER} does not have View on {name}.")
        return endpoint

    async def create(self, request: Request) -> Response:
        body = await read(request, NewEndpoint)
        if not NAME.fullmatch(body.name):
            raise invalid(f"{body.name!r} is not a valid name of an endpoint.")
        if body.name in self.state.endpoints:
            raise ApiError(409, "RESOURCE_ALREADY_EXISTS", f"{body.name} already exists.")
        config = self.checked(body.config)
        tags = {tag["key"]: tag["value"] for tag in body.tags}
        endpoint = Endpoint(body.name, tags, body.description)
        self.state.endpoints[body.name] = endpoint
        self.start_update(endpoint, config)
        return reply(shown(endpoint))

    async def get(self, request: Request) -> Response:
        endpoint = self.endpoint(request)
        response = reply(shown(endpoint))
        self.advance(endpoint)
        return response

    async def update(self, request: Request) -> Response:
        endpoint = self.endpoint(request)
        if endpoint.pending:
            message = f"Endpoint {endpoint.name} is currently updating."
            raise ApiError(409, "RESOURCE_CONFLICT", message)
        self.start_update(endpoint, self.checked(await read(request, Config)))
        return reply(shown(endpoint))

    async def tag(self, request: Request) -> Response:
        endpoint, body = self.endpoint(request), await read(request, Tags)
        for key in body.delete_tags:
            endpoint.tags.pop(key, None)
        endpoint.tags |= {tag["key"]: tag["value"] for tag in body.add_tags}
        return reply(shown_tags(endpoint))

    async def describe(self, request: Request) -> Response:
        self.endpoint(request).description = (await read(request, Description)).description
        return reply()

    def checked(self, config: Config) -> dict[str, Any]:
        """Return a configuration that the endpoint can serve, with the default names."""
        entities = config.served_entities
        for one in entities:
            model = self.state.models.get(one.entity_name)
            version = model.versions.get(one.entity_version) if model else None
            if not version or version.status != READY:
                raise not_found(f"Version {one.entity_version} of {one.entity_name}")
            one.name = one.name or f"{one.entity_name.split('.')[-1]}-{one.entity_version}"
            if one.workload_size not in SIZES:
                raise invalid(f"{one.workload_size!r} is not a workload size.")
            for name, value in one.environment_vars.items():
                if not VARIABLE.fullmatch(name):
                    raise invalid(f"{name!r} is not a valid name of an environment variable.")
                if "{{" in value and not SECRET.fullmatch(value):
                    raise invalid(f"{value!r} does not name a secret.")
        if len(entities) > MAX_SERVED:
            raise invalid("served_models cannot contain more than 15 elements")
        if len({(one.entity_name, one.entity_version) for one in entities}) < len(entities):
            message = "Cannot create 2+ served entities with the same name and version."
            raise ApiError(400, "BAD_REQUEST", message)
        names, routes = {one.name for one in entities}, config.traffic_config.routes
        for route in routes:
            route.served_model_name = route.served_model_name or route.served_entity_name
            route.served_entity_name = route.served_model_name
        if ghosts := {route.served_model_name for route in routes} - names:
            raise invalid(f"The traffic goes to {ghosts}, which are not served.")
        if len({route.served_model_name for route in routes}) < len(routes):
            raise invalid("Two routes lead to the same served model.")
        shares = [route.traffic_percentage for route in routes]
        if sum(shares) != 100 or min(shares) < 0:
            raise invalid("The traffic does not add up to 100 percent.")
        return config.model_dump(include={"served_entities", "traffic_config"})

    def start_update(self, endpoint: Endpoint, config: dict[str, Any]) -> None:
        """Start an update, which ends when it has been requested a number of times."""
        endpoint.pending, endpoint.failed = config, False
        endpoint.polls_left = self.state.polls

    def advance(self, endpoint: Endpoint) -> None:
        """Complete an update when its time has come."""
        endpoint.polls_left -= 1
        if not endpoint.pending or endpoint.polls_left > 0:
            return
        versions = {one["entity_version"] for one in endpoint.pending["served_entities"]}
        endpoint.failed = bool(versions & self.state.broken)
        if not endpoint.failed:
            endpoint.config = endpoint.pending
            endpoint.history += endpoint.answering
        endpoint.pending = {}


def shown_tags(endpoint: Endpoint) -> list[dict[str, str]]:
    """Return the tags of an endpoint as the API shows them."""
    return [{"key": key, "value": value} for key, value in endpoint.tags.items()]


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint as the API shows it."""
    update = "UPDATE_FAILED" if endpoint.failed else "NOT_UPDATING"
    shown = {
        "name": endpoint.name,
        "id": endpoint.name,
        "creator": "owner@example.com",
        "description": endpoint.description,
        "tags": shown_tags(endpoint),
        "permission_level": endpoint.permission,
        "state": {
            "ready": "READY" if endpoint.config else "NOT_READY",
            "config_update": "IN_PROGRESS" if endpoint.pending else update,
        },
    }
    if endpoint.config:
        shown["config"] = endpoint.config
    if endpoint.pending:
        shown["pending_config"] = endpoint.pending
    return shown


def add_routes(api: Api, state: State) -> None:
    """Add the routes of serving endpoints."""
    serving = Serving(state)
    path = "/api/2.0/serving-endpoints"
    api.add("POST", path, serving.create)
    api.add("GET", f"{path}/{{name}}", serving.get)
    api.add("PUT", f"{path}/{{name}}/config", serving.update)
    api.add("PATCH", f"{path}/{{name}}/tags", serving.tag)
    api.add("PATCH", f"{path}/{{name}}/description", serving.describe)
