"""The contract of the default project."""

from collections.abc import Iterator

import pytest

from tests.contract.workbench import Workbench, start_workbench
from tests.helpers.agents import Agent


@pytest.fixture(scope="session")
def workbench(agent: Agent) -> Iterator[Workbench]:
    """The contract of the default project, which can be run again and again."""
    with start_workbench(agent) as running:
        yield running
