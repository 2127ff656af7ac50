"""A fake Databricks workspace over HTTP, as strict as what its SDKs expect of a real one.

It has Unity Catalog's registry of models and its grants, the Files API, serving endpoints, apps,
registered agents, and experiments and runs, which a real MLflow server stores. A route that it does
not have answers 404 and fails the test. Each route can fail, before or after its effect.

Limits and error messages are those that databricks-agents and databricks-sdk handle; no real
workspace was available.
"""

from collections.abc import Generator
from contextlib import contextmanager

from starlette.applications import Starlette

from tests.helpers.fake_workspace import (
    agents,
    files,
    identity,
    invocations,
    permissions,
    registry,
    serving,
    tracking,
)
from tests.helpers.fake_workspace.routes import TOKEN, Api, Fault
from tests.helpers.fake_workspace.state import State
from tests.server.serving import serving_app

__all__ = ["TOKEN", "Fault", "Workspace", "fake_workspace"]


class Workspace:
    """A running workspace.

    Attributes:
        url: The address of the workspace.
        state: What the workspace stores.
        api: Its routes, with the requests so far and the faults to inject.
    """

    def __init__(self, url: str, state: State, api: Api) -> None:
        self.url = url
        self.state = state
        self.api = api

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of somebody who is logged in to the workspace."""
        return {
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_TOKEN": TOKEN,
            "MLFLOW_TRACKING_URI": "databricks",
            "MLFLOW_REGISTRY_URI": "databricks-uc",
        }


@contextmanager
def fake_workspace(mlflow_server: str) -> Generator[Workspace]:
    """Run a workspace until the block ends, and check that it has all routes that were requested.

    Args:
        mlflow_server: The URL of the MLflow server that stores experiments and runs.
    """
    state, api = State(), Api()
    for part in (registry, files, serving, agents, identity, invocations, permissions):
        part.add_routes(api, state)
    tracking.add_routes(api, mlflow_server)
    with serving_app(Starlette(routes=api.routes)) as running:
        yield Workspace(running.url, state, api)
    assert not api.unknown, f"The fake workspace has no route {api.unknown}."
