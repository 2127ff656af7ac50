"""An endpoint of Model Serving: what it serves, and which version gets the traffic."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound
from databricks.sdk.service import serving

from ..runtime.config import load_config
from .project import PROJECT_NAME, ProjectError
from .workspace import reason_of

POLL_SECONDS = 2
REPORT_SECONDS = 30
UPDATE_TIMEOUT = 45 * 60  # seconds


def endpoint_name() -> str:
    """Return the name of the endpoint that serves the agent."""
    return load_config().serving.name or PROJECT_NAME


@dataclass(frozen=True)
class Served:
    """What an endpoint serves.

    Attributes:
        entities: The served entities by version.
        answering: The version with most of the traffic; None if none is ready.
        share: How much of the traffic it gets, in percent.
        is_updating: Whether the endpoint prepares another configuration. It serves this one until
            the other one is ready.
    """

    entities: dict[str, serving.ServedEntityOutput]
    answering: str | None = None
    share: int = 100
    is_updating: bool = False

    def routes_all_to(self, version: str) -> bool:
        """Return whether a version gets all the traffic."""
        return self.answering == version and self.share == 100


class Endpoint:
    """The serving endpoint of the agent.

    Args:
        name: Its name.
        model: The registered model that it serves.
        report: Receives each call that changes something, and the progress.
        dry_run: Whether to leave out these calls.

    Raises:
        ProjectError: Nobody is logged in to a workspace.
    """

    def __init__(
        self, name: str, model: str, report: Callable[[str], None], *, dry_run: bool = False
    ) -> None:
        self.name = name
        self.model = model
        self.report = report
        self.dry_run = dry_run
        try:
            self.workspace = WorkspaceClient()
        except ValueError as error:
            raise ProjectError(f"{reason_of(error)}. Run `databricks auth login`.") from error
        self.url = f"{self.workspace.config.host}/serving-endpoints/{name}/invocations"

    def read(self) -> Served:
        """Return what the endpoint serves now; nothing if it does not exist.

        Raises:
            ProjectError: It serves another model.
        """
        try:
            found = self.workspace.serving_endpoints.get(self.name)
        except NotFound:
            return Served({})
        updating = serving.EndpointStateConfigUpdate.IN_PROGRESS
        is_updating = found.state is not None and found.state.config_update == updating
        if found.config is None:  # no update has succeeded yet
            return Served({}, is_updating=is_updating)
        entities = {str(one.entity_version): one for one in found.config.served_entities or []}
        for other in {one.entity_name for one in entities.values()} - {self.model}:
            raise ProjectError(
                f"The endpoint {self.name} serves {other or 'an external model'}. Set another name "
                "under `serving` in config.yml."
            )
        traffic = found.config.traffic_config or serving.TrafficConfig()
        shares = {
            one.served_entity_name or one.served_model_name: one.traffic_percentage
            for one in traffic.routes or []
        }
        found_shares = [(shares.get(entity.name, 0), one) for one, entity in entities.items()]
        share, answering = max(found_shares, default=(0, None))
        return Served(entities, answering if share else None, share, is_updating)

    def wait(self) -> Served:
        """Wait until the endpoint is not updating, and return what it serves.

        Raises:
            ProjectError: The update takes too long.
        """
        start, reports = time.monotonic(), 0
        while (now := self.read()).is_updating:
            seconds = time.monotonic() - start
            if seconds > UPDATE_TIMEOUT:
                raise ProjectError(
                    f"{self.name} is still updating after {seconds:.0f} s. See its events in the "
                    "workspace, and run the command again when it is ready."
                )
            if seconds >= reports * REPORT_SECONDS:
                self.report(f"{self.name} is updating, {seconds:.0f} s …")
                reports += 1
            time.sleep(POLL_SECONDS)
        return now

    def route(self, now: Served, version: str, kept: Collection[str] | None = None) -> Served:
        """Give a served version all the traffic, and wait.

        Args:
            now: What the endpoint serves.
            version: The version.
            kept: The versions to go on serving; by default, all.
        """
        entities = {
            one: serving.ServedEntityInput.from_dict(entity.as_dict())
            for one, entity in now.entities.items()
            if kept is None or one in kept
        }
        routes = [
            serving.Route(100 * (one == version), served_model_name=entity.name)
            for one, entity in entities.items()
        ]
        self.report(
            f"PUT /api/2.0/serving-endpoints/{self.name}/config: serve {', '.join(entities)} with "
            f"all traffic to {version}"
        )
        if self.dry_run:
            return Served(now.entities, version)
        traffic = serving.TrafficConfig(routes)
        try:
            self.workspace.serving_endpoints.update_config(
                self.name, served_entities=list(entities.values()), traffic_config=traffic
            )
            now = self.wait()
        except ProjectError:  # the update takes too long
            raise
        except Exception:
            # If only a response was lost, the endpoint is updated nevertheless.
            now = self.wait()
            if not now.routes_all_to(version):
                raise
        if not now.routes_all_to(version):
            raise ProjectError(f"{self.name} was not updated. See its events in the workspace.")
        return now

    def status(self) -> str:
        """Return a sentence that says which version answers."""
        try:
            now = self.read()
        except Exception as error:
            return f"Which version answers is unknown ({error})."
        until = " until the endpoint is updated" if now.is_updating else ""
        who = f"Version {now.answering}" if now.answering else "No version"
        share = "" if now.share in (0, 100) else f" {now.share} % of the requests"
        return f"{who} answers{share}{until}."
