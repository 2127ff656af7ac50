"""`deploy` and `rollback` with a fake workspace."""

import pytest

from tests.helpers.agents import Agent
from tests.helpers.fake_workspace import Fault
from tests.production.conftest import add_version
from tests.production.deployer import ENDPOINT, Deployer, check_interrupted

CONFIG = "PUT /api/2.0/serving-endpoints/{name}/config"
AGENTS = "POST /api/2.0/agents/deployments"


def test_versions_are_deployed_promoted_and_rolled_back(deployer: Deployer) -> None:
    plan = deployer.check("deploy", "1", "--dry-run")
    assert "agents.deploy('main.default.weather_agent', 1, endpoint_name='weather-agent'" in plan
    assert plan.endswith("Nothing was changed\n")
    assert not deployer.workspace.state.endpoints
    assert deployer.check("deploy", "1").endswith("Version 1 answers.\n")
    deployer.check("promote", "1")
    deployer.promoted("2")
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    assert (deployer.answering, deployer.champion, endpoint.served) == ("2", "2", ["2", "1"])
    variables = endpoint.config["served_entities"][0]["environment_vars"]
    assert variables["MLFLOW_EXPERIMENT_ID"] == "1"
    assert deployer.check("rollback").endswith("weather-agent: Version 1 answers.\n")
    assert (deployer.answering, deployer.champion) == ("1", "1")
    again = deployer.run("rollback")
    assert "no version before the champion, which is 1. Version 1 answers." in again.stderr
    assert (again.returncode, endpoint.history) == (1, ["1", "2", "1"])


def test_a_version_that_fails_its_checks_is_replaced(deployer: Deployer) -> None:
    deployer.promoted("1")
    done = deployer.run("deploy", "2", VERIFY_FAILS="1")
    assert "1 failed: answer-text. Version 1 answers." in done.stderr
    assert (done.returncode, deployer.answering) == (1, "1")


def test_a_first_version_that_fails_its_checks_still_answers(deployer: Deployer) -> None:
    done = deployer.run("deploy", "1", VERIFY_FAILS="1")
    assert done.stderr.endswith("1 failed: answer-text. Version 1 answers.\n")
    assert (done.returncode, deployer.answering, deployer.champion) == (1, "1", None)


def test_a_version_that_does_not_start_changes_nothing(deployer: Deployer) -> None:
    deployer.promoted("1")
    deployer.workspace.state.broken.add("2")
    done = deployer.run("deploy", "2")
    assert "Version 2 did not start" in done.stderr
    assert "Version 1 answers." in done.stderr
    deployer.workspace.state.broken.clear()
    deployer.check("deploy", "2")
    assert deployer.answering == "2"


@pytest.mark.proof
def test_a_full_endpoint_keeps_what_a_rollback_needs(deployer: Deployer) -> None:
    for number in range(3, 18):
        add_version(deployer.workspace, str(number))
    deployer.promoted("1", "2")
    for number in range(3, 16):
        deployer.check("deploy", str(number))
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    assert len(endpoint.served) == 15
    deployer.check("deploy", "16")
    assert endpoint.served == ["16", "15", "2", "1"]
    deployer.check("deploy", "17")
    assert endpoint.served == ["17", "16", "15", "2", "1"]
    assert list(dict.fromkeys(endpoint.history)) == [str(number) for number in range(1, 18)]


def test_a_missing_extra_is_named(agent: Agent, deployer: Deployer) -> None:
    done = agent.run("weather-agent", "deploy", **deployer.workspace.variables)
    assert "error: Model Serving needs databricks-agents. Run `uv sync --extra" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("fault", [Fault(CONFIG), Fault(AGENTS)], ids=["update", "registration"])
def test_a_second_run_completes_an_interrupted_one(deployer: Deployer, fault: Fault) -> None:
    deployer.promoted("1")
    check_interrupted(deployer, fault, ["deploy", "2"], "1", "2", {"1", "2"})
