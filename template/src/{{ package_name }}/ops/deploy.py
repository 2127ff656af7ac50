"""Deploys versions of the agent with Model Serving.

Each step is safe to repeat: `deploy` reads what the endpoint serves and does what is missing.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

from ..runtime.config import Serving
from .endpoint import Endpoint, Served
from .project import ProjectError

try:
    from databricks import agents  # ty: ignore
    from databricks.sdk.service.serving import ServedEntityOutput
except ImportError as error:
    raise ProjectError(
        "Model Serving needs databricks-agents. Run `uv sync --extra deploy`."
    ) from error

MAX_SERVED = 15  # versions per endpoint


def deploy(
    endpoint: Endpoint,
    version: str,
    settings: Serving,
    kept: Sequence[str],
    check: Callable[[], None],
) -> None:
    """Serve a version with all the traffic, and check it.

    Args:
        endpoint: The endpoint, which is created if it does not exist.
        version: The version.
        settings: How to serve it.
        kept: The versions to keep if the endpoint is full. If the check fails, the version that
            answered before is restored, or the first of these.
        check: Raises if the version does not work.

    Raises:
        ProjectError: The version did not start.
    """
    now = endpoint.wait()
    others = [one for one in (now.answering, *kept) if one and one != version]
    if version not in now.entities:
        now = start(endpoint, now, version, settings, others)
    elif changed := changed_settings(now.entities[version], settings):
        endpoint.report(
            f"version {version} is served already and keeps its {', '.join(changed)}; a new "
            "version gets those of config.yml"
        )
    if version in now.entities and not agents.get_deployments(endpoint.model, int(version)):
        register_deployment(endpoint, version, now.entities[version].name)
    if not now.routes_all_to(version):
        now = endpoint.route(now, version)
    endpoint.report(f"verify --url {endpoint.url}")
    if not endpoint.dry_run:
        check_or_restore(endpoint, now, others, check)


def changed_settings(entity: ServedEntityOutput, settings: Serving) -> list[str]:
    """Return the names of the settings that differ from those of a served version."""
    variables = entity.environment_vars or {}
    pairs = {
        "workload_size": (entity.workload_size, settings.workload_size),
        "scale_to_zero": (entity.scale_to_zero_enabled, settings.scale_to_zero),
        **{name: (variables.get(name), value) for name, value in settings.environment.items()},
    }
    return [name for name, (found, wanted) in pairs.items() if found != wanted]


def start(
    endpoint: Endpoint, now: Served, version: str, settings: Serving, kept: Sequence[str]
) -> Served:
    """Serve another version, which gets the traffic when it is ready.

    Raises:
        ProjectError: It did not start, or the endpoint is full.
    """
    if len(now.entities) >= MAX_SERVED:
        served = [one for one in kept if one in now.entities]
        if not served:
            raise ProjectError(
                f"{endpoint.name} serves {len(now.entities)} versions, which is the maximum, and "
                "none of them answers or is the champion. Delete some of them in the workspace."
            )
        now = endpoint.route(now, served[0], served)
    options: dict[str, Any] = {
        "endpoint_name": endpoint.name,
        "workload_size": settings.workload_size,
        "scale_to_zero": settings.scale_to_zero,
        "environment_vars": settings.environment,
    }
    shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
    endpoint.report(f"agents.deploy({endpoint.model!r}, {version}, {shown})")
    if endpoint.dry_run:
        return Served(now.entities, version)
    try:
        with redirect_stdout(io.StringIO()):  # it recommends Apps
            agents.deploy(endpoint.model, int(version), **options)
    except Exception:
        # If only a response was lost, the version starts nevertheless.
        if version not in endpoint.wait().entities:
            raise
    now = endpoint.wait()
    if version not in now.entities:
        raise ProjectError(f"Version {version} did not start. See the logs of {endpoint.name}.")
    return now


def register_deployment(endpoint: Endpoint, version: str, entity: str | None) -> None:
    """Register a served version with the Review App, if an interrupted run did not."""
    path = "/api/2.0/agents/deployments"
    host = endpoint.workspace.config.host
    query = f"{host}/serving-endpoints/{endpoint.name}/served-models/{entity}/invocations"
    body = {
        "model_name": endpoint.model,
        "model_version": int(version),
        "endpoint_name": endpoint.name,
        "served_entity_name": entity,
        "query_endpoint": query,
        "workspace_url": host,
    }
    endpoint.report(f"POST {path}: register version {version}")
    if not endpoint.dry_run:
        endpoint.workspace.api_client.do("POST", path, body=body)


def check_or_restore(
    endpoint: Endpoint, now: Served, others: Sequence[str], check: Callable[[], None]
) -> None:
    """Check the version that answers, and give the traffic to another one if it fails."""
    try:
        check()
    except BaseException:  # also Ctrl+C and SIGTERM
        if before := next((one for one in others if one in now.entities), None):
            endpoint.route(now, before)
        raise
