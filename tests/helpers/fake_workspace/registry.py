"""Unity Catalog's registry of models, with MLflow's REST interface."""

import re
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tests.helpers.fake_workspace.routes import (
    Api,
    ApiError,
    Body,
    invalid,
    not_found,
    read,
    reply,
)
from tests.helpers.fake_workspace.state import READY, Model, State, Version

PREFIX = "/api/2.0/mlflow/unity-catalog"
MODEL_NAME = re.compile(r"[^\s./]+\.[^\s./]+\.[^\s./]+")
# How many versions a search returns at most; Unity Catalog returns few, too.
PAGE = 2
ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
FILTER = re.compile(r"name\s*=\s*'([^']+)'")


class Tag(Body):
    key: str
    value: str = ""


class ModelName(Body):
    name: str


class NewModel(ModelName):
    description: str = ""
    tags: list[Tag] = Field(default_factory=list)
    deployment_job_id: str = ""


class VersionName(ModelName):
    version: str


class NewVersion(ModelName):
    source: str
    run_id: str = ""
    run_tracking_server_id: str = ""
    model_id: str = ""
    description: str = ""
    tags: list[Tag] = Field(default_factory=list)
    feature_deps: str = ""
    model_version_dependencies: list[dict[str, Any]] = Field(default_factory=list)


class Lineage(VersionName):
    model_version_lineage_info: dict[str, Any]


class Search(Body):
    filter: str = ""
    max_results: int = 100
    page_token: str = ""


class Alias(ModelName):
    alias: str


class VersionAlias(Alias):
    version: str


class VersionTag(VersionName):
    key: str
    value: str = ""


class Registry:
    """The routes of the registry."""

    def __init__(self, state: State) -> None:
        self.state = state

    def model(self, name: str) -> Model:
        """Return a registered model."""
        if name not in self.state.models:
            raise not_found(f"Registered model {name}")
        return self.state.models[name]

    def version(self, name: str, number: str) -> Version:
        """Return a version of a registered model."""
        if number not in self.model(name).versions:
            raise not_found(f"Version {number} of {name}")
        return self.model(name).versions[number]

    async def create_model(self, request: Request) -> Response:
        body = await read(request, NewModel)
        if not MODEL_NAME.fullmatch(body.name):
            raise invalid(f"{body.name!r} is not a name of three levels.")
        if body.name in self.state.models:
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{body.name} already exists.")
        self.state.models[body.name] = Model(body.name)
        return reply({"registered_model": shown_model(self.state.models[body.name])})

    async def get_model(self, request: Request) -> Response:
        body = await read(request, ModelName)
        return reply({"registered_model": shown_model(self.model(body.name))})

    async def create_version(self, request: Request) -> Response:
        body = await read(request, NewVersion)
        model = self.model(body.name)
        number = str(len(model.versions) + 1)
        tags = {tag.key: tag.value for tag in body.tags}
        version = Version(body.name, number, body.source, body.run_id, body.model_id, tags=tags)
        model.versions[number] = version
        return reply({"model_version": self.shown(version)})

    async def finalize_version(self, request: Request) -> Response:
        body = await read(request, VersionName)
        version = self.version(body.name, body.version)
        folder = f"Models/{body.name.replace('.', '/')}/{body.version}/"
        if f"{folder}MLmodel" not in self.state.files:
            raise invalid(f"{folder} contains no file MLmodel.")
        version.status = READY
        return reply({"model_version": self.shown(version)})

    async def get_version(self, request: Request) -> Response:
        body = await read(request, VersionName)
        return reply({"model_version": self.shown(self.version(body.name, body.version))})

    async def search_versions(self, request: Request) -> Response:
        """Return versions without tags and aliases, as Unity Catalog does."""
        body = await read(request, Search)
        match = FILTER.fullmatch(body.filter)
        if not match:
            raise invalid(f"Cannot search for {body.filter!r}; only for a name.")
        model = self.state.models.get(match[1])
        versions = list(model.versions.values()) if model else []
        start = int(body.page_token or 0)
        end = start + min(body.max_results, PAGE)
        page = [self.shown(one) | {"tags": [], "aliases": []} for one in versions[start:end]]
        return reply(
            {"model_versions": page} | ({"next_page_token": f"{end}"} if versions[end:] else {})
        )

    async def get_by_alias(self, request: Request) -> Response:
        body = await read(request, Alias)
        number = self.model(body.name).aliases.get(body.alias)
        if number is None:
            raise not_found(f"Alias {body.alias} of {body.name}")
        return reply({"model_version": self.shown(self.version(body.name, number))})

    async def set_alias(self, request: Request) -> Response:
        body = await read(request, VersionAlias)
        if not ALIAS.fullmatch(body.alias) or re.fullmatch(r"latest|v\d+", body.alias):
            raise invalid(f"{body.alias!r} is not a valid name of an alias.")
        self.version(body.name, body.version)
        self.model(body.name).aliases[body.alias] = body.version
        return reply()

    async def delete_alias(self, request: Request) -> Response:
        body = await read(request, Alias)
        self.model(body.name).aliases.pop(body.alias, None)
        return reply()

    async def set_version_tag(self, request: Request) -> Response:
        body = await read(request, VersionTag)
        self.version(body.name, body.version).tags[body.key] = body.value
        return reply()

    async def delete_version_tag(self, request: Request) -> Response:
        body = await read(request, VersionTag)
        if self.version(body.name, body.version).tags.pop(body.key, None) is None:
            raise not_found(f"Tag {body.key}")
        return reply()

    async def emit_lineage(self, request: Request) -> Response:
        body = await read(request, Lineage)
        self.version(body.name, body.version)
        return reply()

    async def no_credentials(self, request: Request) -> Response:
        """Refuse: only clients that could not learn of the SDK's repository ask for credentials."""
        raise ApiError(403, "PERMISSION_DENIED", "The storage is only open to the Files API.")

    async def has_sdk_repository(self, request: Request) -> Response:
        return reply({"is_databricks_sdk_models_artifact_repository_enabled": True})

    def shown(self, version: Version) -> dict[str, Any]:
        """Return a version as the registry shows it."""
        aliases = self.model(version.name).aliases
        return {
            "name": version.name,
            "version": version.number,
            "creation_timestamp": 1,
            "last_updated_timestamp": 1,
            "user_id": "owner@example.com",
            "source": version.source,
            "run_id": version.run_id,
            "model_id": version.model_id,
            "status": version.status,
            "storage_location": f"s3://fake/{version.name}/{version.number}",
            "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
            "aliases": [
                {"alias": alias, "version": number}
                for alias, number in aliases.items()
                if number == version.number
            ],
        }


def shown_model(model: Model) -> dict[str, Any]:
    """Return a registered model as the registry shows it."""
    aliases = [{"alias": alias, "version": number} for alias, number in model.aliases.items()]
    times = {"creation_timestamp": 1, "last_updated_timestamp": 1}
    return {"name": model.name, "user_id": "owner@example.com", "aliases": aliases} | times


def add_routes(api: Api, state: State) -> None:
    """Add the routes of the registry."""
    registry = Registry(state)
    models, versions = f"{PREFIX}/registered-models", f"{PREFIX}/model-versions"
    api.add("POST", f"{models}/create", registry.create_model)
    api.add("GET", f"{models}/get", registry.get_model)
    api.add("GET", f"{models}/alias", registry.get_by_alias)
    api.add("POST", f"{models}/alias", registry.set_alias)
    api.add("DELETE", f"{models}/alias", registry.delete_alias)
    api.add("POST", f"{versions}/create", registry.create_version)
    api.add("POST", f"{versions}/finalize", registry.finalize_version)
    api.add("GET", f"{versions}/get", registry.get_version)
    api.add("GET", f"{versions}/search", registry.search_versions)
    api.add("POST", f"{versions}/set-tag", registry.set_version_tag)
    api.add("DELETE", f"{versions}/delete-tag", registry.delete_version_tag)
    api.add("POST", f"{versions}/emit-lineage", registry.emit_lineage)
    api.add("POST", f"{versions}/generate-temporary-credentials", registry.no_credentials)
    check = "is-databricks-sdk-models-artifact-repository-enabled"
    for path in (f"{models}:{check}", f"{models}:{check}/{{name}}"):
        api.add("GET", path, registry.has_sdk_repository)
