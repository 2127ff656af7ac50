"""What the workspace stores."""

from dataclasses import dataclass, field
from typing import Any

READY = "READY"
PENDING = "PENDING_REGISTRATION"


@dataclass
class Version:
    """A version of a registered model."""

    name: str
    number: str
    source: str
    run_id: str = ""
    model_id: str = ""
    status: str = PENDING
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    """A registered model: its versions by number, and its aliases."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """A serving endpoint.

    Attributes:
        config: What it serves; empty until the first update succeeds.
        pending: What it will serve when `polls_left` reaches 0.
        polls_left: How many more requests show that the endpoint is updating.
        failed: Whether the last update failed; the endpoint serves what it served before.
        history: The versions that have answered, in order.
        permission: What the user may do with it; empty if it is invisible.
    """

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    polls_left: int = 0
    failed: bool = False
    history: list[str] = field(default_factory=list)
    permission: str = "CAN_MANAGE"

    @property
    def answering(self) -> dict[str, int]:
        """The share of the traffic of each version that has any, in percent."""
        names = {one["name"]: one["entity_version"] for one in self.config["served_entities"]}
        routes = self.config["traffic_config"]["routes"]
        return {
            names[route["served_model_name"]]: route["traffic_percentage"]
            for route in routes
            if route["traffic_percentage"]
        }

    @property
    def served(self) -> list[str]:
        """The served versions."""
        return [one["entity_version"] for one in self.config["served_entities"]]


@dataclass
class State:
    """Everything in the workspace.

    Attributes:
        agents: The registered deployments of agents, by model and version.
        upstreams: The URLs of the servers behind versions; "" is that of all others.
        broken: The versions that do not start.
        polls: How many requests show that an endpoint is updating after each update.
        owners: The owners of catalogs and schemas, by name.
        grants: The privileges that were granted to the user, by name of the catalog or schema.
        apps: What the user may do with each app.
    """

    models: dict[str, Model] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    agents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    upstreams: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    polls: int = 1
    owners: dict[str, str] = field(
        default_factory=lambda: {"main": "admin", "main.default": "admin"}
    )
    grants: dict[str, set[str]] = field(
        default_factory=lambda: {
            "main": {"USE_CATALOG", "USE_SCHEMA"},
            "main.default": {"CREATE_MODEL"},
        }
    )
    apps: dict[str, str] = field(default_factory=dict)
