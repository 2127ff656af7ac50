"""The contract of the default project."""

from collections.abc import Iterator

import pytest

from tests.contract.logged_model import LoggedModel
from tests.contract.workbench import Workbench, start_workbench
from tests.helpers.agents import Agent


@pytest.fixture(scope="session")
def workbench(agent: Agent) -> Iterator[Workbench]:
    """A process that runs the contract of the default project repeatedly."""
    with start_workbench(agent) as running:
        yield running


@pytest.fixture(scope="session")
def logged_model(workbench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> LoggedModel:
    """The model of the default project."""
    return workbench.log(tmp_path_factory.mktemp("logged"))
