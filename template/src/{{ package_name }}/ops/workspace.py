"""A Databricks workspace: who is logged in, and what they may do."""

import os
import re
from collections.abc import Callable
from urllib.parse import urlsplit

import yaml
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import ApiClient, Config
from databricks.sdk.credentials_provider import credentials_strategy
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service.catalog import Privilege, SecurableType

from .project import ROOT, ProjectError

BUNDLE = ROOT / "databricks.yml"


@credentials_strategy("none", [])
def no_credentials(_config: Config) -> Callable[[], dict[str, str]]:
    """Send no credentials, so that the host can be read without a login."""
    return dict


class Login:
    """Who is logged in to which workspace. Each method needs those before it.

    Attributes:
        host: The URL of the workspace.
        client: Calls the workspace.
        user: The name of the user, or the ID of the service principal.
        principals: The user and the groups of the user.
    """

    host: str
    client: WorkspaceClient
    user: str
    principals: set[str]

    def find_host(self) -> str:
        """Send a request to the host, without credentials, and return its URL.

        Raises:
            ProjectError: The host is missing, is not a workspace, or does not respond.
        """
        try:
            config = Config(
                credentials_strategy=no_credentials,
                http_timeout_seconds=10,
                retry_timeout_seconds=1,
            )
        except ValueError as error:
            raise ProjectError(
                f"{reason_of(error)}. Check ~/.databrickscfg and DATABRICKS_…."
            ) from error
        self.host = config.host or ""
        if not self.host:
            raise ProjectError(
                "No host is set. Run `databricks auth login --host https://WORKSPACE`, or set "
                "DATABRICKS_HOST."
            )
        url = urlsplit(self.host)
        is_secure = url.scheme == "https" or url.hostname in ("localhost", "127.0.0.1")
        if not is_secure or url.path or url.query:
            raise ProjectError(
                f"{self.host} is not the URL of a workspace. Set DATABRICKS_HOST, or `host` in "
                f"~/.databrickscfg, to https://{url.hostname}."
            )
        try:
            ApiClient(config).do("GET", "/.well-known/databricks-config")
        except DatabricksError:
            pass  # not every workspace has this route
        except OSError as error:
            raise ProjectError(
                f"{self.host} does not respond as a workspace ({innermost(error)}). Check the URL, "
                "the network and the proxy."
            ) from error
        return self.host

    def find_user(self) -> str:
        """Ask the workspace who is logged in, and return the name.

        Raises:
            ProjectError: Nobody is logged in, the login has expired, or the host is not a
                workspace.
        """
        try:
            config = Config(http_timeout_seconds=10, retry_timeout_seconds=10)
            self.client = WorkspaceClient(config=config)
            user = self.client.current_user.me()
        except NotFound as error:
            raise ProjectError(
                f"{self.host} is not a workspace. Set DATABRICKS_HOST to the URL of one."
            ) from error
        except (ValueError, Unauthenticated, PermissionDenied) as error:
            # A token in the environment wins over a login.
            token = os.environ.get("DATABRICKS_TOKEN")
            start = "Replace DATABRICKS_TOKEN, or unset it and run" if token else "Run"
            raise ProjectError(
                f"The login is missing, invalid or expired ({reason_of(error)}). "
                f"{start} `databricks auth login --host {self.host}`."
            ) from error
        self.user = user.user_name or ""
        groups = (group.display for group in user.groups or [])
        self.principals = set(filter(None, (self.user, *groups)))
        return self.user

    def privileges_on(self, kind: SecurableType, name: str) -> set[Privilege | None]:
        """Return the privileges of the user, with those of groups and those that are inherited.

        Raises:
            NotFound: The catalog or schema does not exist.
        """
        found: set[Privilege | None] = set()
        is_catalog = kind == SecurableType.CATALOG
        try:
            securable = (self.client.catalogs if is_catalog else self.client.schemas).get(name)
            if securable.owner in self.principals:
                return set(Privilege)
            token = None
            while True:
                page = self.client.grants.get_effective(
                    kind.value, name, max_results=0, page_token=token, principal=self.user
                )
                for one in page.privilege_assignments or []:
                    found |= {granted.privilege for granted in one.privileges or []}
                if not (token := page.next_page_token):
                    return set(Privilege) if Privilege.ALL_PRIVILEGES in found else found
        except PermissionDenied:  # it is invisible without any privilege
            return found

    def app_permissions(self, name: str) -> set[str]:
        """Return the permissions of the user on an app, such as `CAN_MANAGE`.

        Raises:
            NotFound: The app does not exist.
        """
        try:
            self.client.apps.get(name)
            granted = self.client.apps.get_permissions(name).access_control_list or []
        except PermissionDenied:
            return set()
        return {
            permission.permission_level.value
            for one in granted
            if {one.user_name, one.service_principal_name, one.group_name} & self.principals
            for permission in one.all_permissions or []
            if permission.permission_level
        }


def reason_of(error: Exception) -> str:
    """Return the message of an error of the SDK, without the settings that it appends."""
    return re.split(r"\. Config:|, please|\.$", str(error))[0]


def innermost(error: BaseException) -> BaseException:
    """Return the first cause of an error, which has the shortest message."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def app_names() -> list[str]:
    """Return the names of the apps of all targets in databricks.yml, as far as it has them."""
    bundle = yaml.safe_load(BUNDLE.read_text(encoding="utf-8")) or {}
    names: set[str] = set()
    for target, settings in (bundle.get("targets") or {"": {}}).items():
        values = {"bundle.target": target, "bundle.name": (bundle.get("bundle") or {}).get("name")}
        apps: dict[str, dict[str, str]] = {}
        for source in (bundle, settings or {}):
            for name, value in (source.get("variables") or {}).items():
                values[f"var.{name}"] = value.get("default") if isinstance(value, dict) else value
            for key, app in ((source.get("resources") or {}).get("apps") or {}).items():
                apps[key] = apps.get(key, {}) | (app or {})
        for name in [app.get("name", "$") for app in apps.values()]:
            for reference, value in values.items():
                name = name.replace(f"${{{reference}}}", "$" if value is None else str(value))
            names.add(name)
    return sorted(name for name in names if "$" not in name)
