"""Checks the Databricks workspace, for `doctor`."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import mlflow
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied
from databricks.sdk.service.catalog import Privilege, SecurableType
from databricks.sdk.service.serving import EndpointStateReady as Ready
from databricks.sdk.service.serving import ServingEndpointDetailedPermissionLevel as Level
from packaging.version import Version

from ..ops.endpoint import endpoint_name
from ..ops.log_filters import hide_noise
from ..ops.project import PROJECT_NAME, ProjectError
from ..ops.registry import CHALLENGER, CHAMPION, Registry
from ..ops.workspace import BUNDLE, Login, app_names
from ..runtime.config import load_config
from ..runtime.llm import split_uri


def workspace_checks(
    *, for_llm: bool, for_store: bool
) -> Iterator[tuple[str, Callable[[], str], str]]:
    """Yield the name of each check, the check, and the name of the one that must pass first.

    Args:
        for_llm: Whether the LLM is an endpoint of the workspace.
        for_store: Whether the workspace is MLflow's store, so that models are deployed there.
    """
    hide_noise()
    login = Login()
    checks: dict[str, Callable[[Login], str]] = {}
    if for_llm:
        checks["endpoint"] = check_llm_endpoint
    if for_store:
        checks |= {"catalog": check_catalog, "serving": check_serving, "versions": check_versions}
    if BUNDLE.is_file():
        checks["app"] = check_apps
    yield "host", lambda: f"{login.find_host()} responds", ""
    yield "login", partial(explain, lambda one: f"{one.find_user()} is logged in", login), "host"
    for name, check in checks.items():
        yield name, partial(explain, check, login), "login"


def explain(check: Callable[[Login], str], login: Login) -> str:
    """Run a check; if the workspace fails, say so."""
    try:
        return check(login)
    except (DatabricksError, TimeoutError) as error:
        problem = str(error).removesuffix(".")
        raise ProjectError(
            f"{login.host} failed: {problem}. Run `doctor` again, or ask the administrator of the "
            "workspace."
        ) from error


def check_llm_endpoint(login: Login) -> str:
    """Check that the endpoint of the LLM is ready, and that the user may query it."""
    _, name = split_uri(load_config().llm_uri())
    other = "set `llm` in config.yml, or AGENT_LLM, to another endpoint"
    try:
        endpoint = login.client.serving_endpoints.get(name)
    except NotFound as error:
        raise ProjectError(f"There is no endpoint {name}. Create it, or {other}.") from error
    except PermissionDenied:
        endpoint = None
    if endpoint is None or endpoint.permission_level == Level.CAN_VIEW:
        raise ProjectError(
            f"{login.user} may not query the endpoint {name}. Ask its owner for Can Query, or "
            f"{other}."
        )
    if endpoint.state is None or endpoint.state.ready != Ready.READY:
        raise ProjectError(f"The endpoint {name} is not ready. See its events, or {other}.")
    return f"{name} is ready, and {login.user} may query it"


def check_catalog(login: Login) -> str:
    """Check that the user may register the model in Unity Catalog."""
    model = Registry().name
    schema = model.rpartition(".")[0]
    needed = [
        (SecurableType.CATALOG, schema.partition(".")[0], {Privilege.USE_CATALOG}),
        (SecurableType.SCHEMA, schema, {Privilege.USE_SCHEMA, Privilege.CREATE_MODEL}),
    ]
    statements = []
    for kind, name, privileges in needed:
        try:
            missing = privileges - login.privileges_on(kind, name)
        except NotFound as error:
            raise ProjectError(
                f"{name} does not exist. Run CREATE {kind.value} {name} in SQL, or set "
                "`model_name` in config.yml, or AGENT_MODEL_NAME, to another name."
            ) from error
        if missing:
            names = ", ".join(sorted(one.value.replace("_", " ") for one in missing))
            statements.append(f"GRANT {names} ON {kind.value} {name} TO `{login.user}`")
    if statements:
        raise ProjectError(
            f"{login.user} may not register {model}. Ask the owner to run {'; '.join(statements)}."
        )
    return f"{login.user} may register {model}"


def check_serving(login: Login) -> str:
    """Check that the user may manage the endpoint of the agent, if it exists."""
    name = endpoint_name()
    try:
        level = login.client.serving_endpoints.get(name).permission_level
    except NotFound:
        return f"{name} does not exist; `deploy` creates it"
    except PermissionDenied:
        level = Level.CAN_VIEW
    if level in (Level.CAN_VIEW, Level.CAN_QUERY):
        raise ProjectError(
            f"{login.user} may not manage the endpoint {name}. Ask its owner for Can Manage, or "
            "set another name under `serving` in config.yml."
        )
    return f"{login.user} may manage {name}"


def check_versions(_login: Login) -> str:
    """Compare this MLflow with the one that logged the version that `deploy` serves."""
    try:
        installed = f"mlflow {mlflow.__version__}, databricks-agents {version('databricks-agents')}"
    except PackageNotFoundError as error:
        raise ProjectError(
            "`deploy` needs databricks-agents. Run `uv sync --extra deploy`."
        ) from error
    registry = Registry()
    model = registry.with_alias(CHALLENGER) or registry.with_alias(CHAMPION)
    if model is None:
        return f"{installed}; {registry.name} has no version yet"
    logged = model.tags.get("mlflow")
    if logged is None:
        return f"{installed}; version {model.version} does not say which mlflow logged it"
    if Version(logged).release[:2] != Version(mlflow.__version__).release[:2]:
        raise ProjectError(
            f"Version {model.version} was logged with mlflow {logged}, but {installed} would "
            f"deploy it. Run `uv sync`, or commit uv.lock and run `uv run {PROJECT_NAME} register`."
        )
    return f"{installed}; mlflow {logged} logged version {model.version}"


def check_apps(login: Login) -> str:
    """Check that the user may manage the apps in databricks.yml that exist."""
    messages = []
    for name in app_names():
        try:
            permissions = login.app_permissions(name)
        except NotFound:
            messages.append(f"{name} does not exist; `databricks bundle deploy` creates it")
            continue
        if "CAN_MANAGE" not in permissions:
            raise ProjectError(
                f"{login.user} may not manage the app {name}. Ask its owner for Can Manage, or set "
                "another name in databricks.yml."
            )
        messages.append(f"{login.user} may manage {name}")
    return "; ".join(messages) or "databricks.yml has no app"
