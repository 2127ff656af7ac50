"""The contract notices mistakes in the `agent.py` of each framework."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.contract.breakages.changes import SHORT_WAIT, Breakage
from tests.contract.workbench import Workbench, start_workbench
from tests.frameworks.breakages import BREAKAGES
from tests.frameworks.test_frameworks import FRAMEWORKS
from tests.helpers.agents import install


def problem(breakage: Breakage, workbench: Workbench) -> str:
    """Return how the result of a rule differs from the expected one, or ""."""
    with workbench.agent.changed([SHORT_WAIT, *breakage.patches]):
        finding = workbench.findings(breakage.rule)[breakage.rule]
    if finding.result != "failed":
        return f"{breakage.rule} {finding.result}: {finding.found}"
    return "" if re.search(breakage.found, finding.found) else finding.found


@pytest.mark.proof
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_mistake_is_noticed(framework: str, render: Render, tmp_path: Path) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(render(framework=framework), folder)
    with start_workbench(install(folder)) as workbench:
        problems = {
            name: problem(breakage, workbench) for name, breakage in BREAKAGES[framework].items()
        }
    assert {name: found for name, found in problems.items() if found} == {}
