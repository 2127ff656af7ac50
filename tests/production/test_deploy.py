"""`deploy` and `rollback` with a fake workspace."""

import copy
import sys
import time
from unittest.mock import Mock, call

import databricks
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.helpers.fake_workspace import Fault
from tests.helpers.fake_workspace.state import Endpoint
from tests.production.conftest import add_version
from tests.production.deployer import ENDPOINT, MODEL, READ, Deployer, check_interrupted
from tests.server.serving import serving_app

CONFIG = "PUT /api/2.0/serving-endpoints/{name}/config"
ALIAS = "POST /api/2.0/mlflow/unity-catalog/registered-models/alias"
AGENTS = "POST /api/2.0/agents/deployments"
BROKEN = (
    "The deployed agent breaks the contract: 1 failed: answer-text. Fix the rules in the report "
    "above, or see the logs of weather-agent."
)
# What `deploy` prints until the version answers.
PROGRESS = {"weather-agent is updating", "verify --url"}
SERVING = """serving:
  name: weather-agent
  workload_size: Small
  # Idle endpoints cost nothing, but their first request takes minutes.
  scale_to_zero: true
  environment: {}
"""
OTHER_SERVING = """serving:
  name: another-endpoint
  workload_size: Medium
  scale_to_zero: false
  environment: {OPENAI_API_KEY: "{{secrets/agents/openai}}"}
"""


def test_versions_are_deployed_promoted_and_rolled_back(deployer: Deployer) -> None:
    plan = deployer.check("deploy", "1", "--dry-run")
    assert "agents.deploy('main.default.weather_agent', 1, endpoint_name='weather-agent'" in plan
    assert plan.endswith("/weather-agent/invocations\nNothing was changed\n")
    assert not deployer.workspace.state.endpoints
    first, *progress, smoke, verified, last = deployer.check("deploy", "1").splitlines()
    assert first.startswith("agents.deploy(")
    assert {line.partition(",")[0].partition(" http")[0] for line in progress} <= PROGRESS
    assert smoke.startswith("The endpoint answered the input example in ")
    url = f"{deployer.workspace.url}/serving-endpoints/weather-agent/invocations"
    assert verified == f"verified {url} with dapi-…"
    assert last == "Version 1 answers."
    deployer.check("promote", "1")
    deployer.promoted("2")
    # A version that somebody registered by hand has no such tag.
    del deployer.workspace.state.models[MODEL].versions["1"].tags["git_commit"]
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    assert (deployer.answering, deployer.champion, endpoint.served) == ("2", "2", ["2", "1"])
    entity = endpoint.config["served_entities"][0]
    assert entity["scale_to_zero_enabled"]
    assert entity["environment_vars"]["MLFLOW_EXPERIMENT_ID"] == "1"
    rolled_back = deployer.check("rollback")
    assert rolled_back.startswith("PUT /api/2.0/serving-endpoints/weather-agent/config: serve 2, 1")
    assert f"{MODEL}, version 1 (commit unknown), is the champion\n" in rolled_back
    assert rolled_back.endswith("weather-agent: Version 1 answers.\n")
    assert (deployer.answering, deployer.champion) == ("1", "1")
    again = deployer.run("rollback")
    assert "no version before the champion, which is 1. Version 1 answers." in again.stderr
    assert (again.returncode, endpoint.history) == (1, ["1", "2", "1"])


def test_a_rollback_starts_at_what_answers(deployer: Deployer) -> None:
    deployer.promoted("1")
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    before = copy.deepcopy(endpoint.config)
    deployer.check("deploy", "2")
    # The rollback waits for an update that is running, which decides what answers.
    endpoint.pending, endpoint.config, endpoint.polls_left = endpoint.config, before, 2
    deployer.check("rollback")  # of a version that was not promoted
    assert (deployer.answering, deployer.champion) == ("1", "1")
    deployer.promoted("2")
    deployer.check("deploy", "1")  # as an interrupted rollback
    deployer.check("rollback")
    assert (deployer.answering, deployer.champion) == ("1", "1")


def test_a_rollback_moves_the_alias_after_the_traffic_and_without_checks(
    deployer: Deployer,
) -> None:
    """An agent that fails its checks is replaced by the version before, which passed them."""
    deployer.promoted("1", "2")
    deployer.workspace.state.broken.add("1")
    done = deployer.run("rollback")
    assert done.stderr.endswith("See its events in the workspace. Version 2 answers.\n")
    assert (done.returncode, deployer.answering, deployer.champion) == (1, "2", "2")
    deployer.workspace.state.broken.clear()
    done = deployer.run("rollback", VERIFY_FAILS="1")
    assert (done.returncode, deployer.answering, deployer.champion) == (0, "1", "1")


def test_a_rollback_deploys_nothing_if_no_version_answers(deployer: Deployer) -> None:
    """The agent may be served elsewhere, by its alias."""
    deployer.check("promote", "1")
    assert "version 2 (commit 2222222), is the champion" in deployer.check("promote", "2")
    assert deployer.check("rollback").endswith("\nweather-agent: No version answers.\n")
    assert deployer.champion == "1"
    assert not deployer.workspace.state.endpoints


def test_an_alias_whose_response_is_lost_is_set(deployer: Deployer) -> None:
    deployer.workspace.api.fault = Fault(ALIAS, after=True)
    assert "version 1 (commit" in deployer.check("promote", "1")
    deployer.workspace.api.fault = Fault(ALIAS)
    done = deployer.run("promote", "2")
    assert done.stderr.endswith(
        "failed. No version answers. To continue, run the command again, or "
        "`uv run weather-agent --debug promote 2` for the traceback.\n"
    )
    assert (done.returncode, deployer.champion) == (1, "1")


def test_an_error_keeps_its_type_and_its_advice(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, endpoint = package("commands.release"), Mock()
    endpoint.status.return_value = "Version 1 answers."
    monkeypatch.setattr(sys, "argv", ["weather-agent", "register"])
    with (
        pytest.raises(RuntimeError, match=r"^The LLM has no key\. Version 1 answers\.$"),
        module.report_version_on_error(endpoint),
    ):
        raise package("runtime.llm").LLMError("The LLM has no key.")
    words = "^KeyError: 'city'. Version 1 answers. To .* `uv run weather-agent --debug register` "
    with pytest.raises(RuntimeError, match=words), module.report_version_on_error(endpoint):
        raise KeyError("city")


def test_a_missing_login_is_named(deployer: Deployer) -> None:
    done = deployer.run("promote", "1", DATABRICKS_TOKEN="")
    assert done.stderr.endswith("default credentials. Run `databricks auth login`.\n")
    assert done.stderr.startswith("error: default auth: ")


def test_a_version_that_is_not_complete_is_not_promoted(deployer: Deployer) -> None:
    deployer.workspace.state.models[MODEL].versions["2"].status = "PENDING_REGISTRATION"
    done = deployer.run("promote", "2")
    assert f"{MODEL} has no version 2 that is ready. See its versions in" in done.stderr
    assert (done.returncode, deployer.champion) == (1, None)


def test_a_version_that_fails_its_checks_is_replaced(deployer: Deployer) -> None:
    deployer.promoted("1")
    done = deployer.run("deploy", "2", VERIFY_FAILS="1")
    assert f"{BROKEN} Version 1 answers." in done.stderr
    assert (done.returncode, deployer.answering) == (1, "1")
    deployer.check("deploy", "2")
    assert deployer.run("deploy", "2", VERIFY_FAILS="1").returncode == 1  # now it answers itself
    assert deployer.answering == "1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(143)])
def test_an_interrupted_check_restores_the_version_before(
    package: Package, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(databricks, "agents", Mock(), raising=False)  # an extra of the agent
    endpoint, now = Mock(), Mock(entities={"1": Mock(), "2": Mock()})
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        package("ops.deploy").check_or_restore(endpoint, now, ["1"], Mock(side_effect=error))
    endpoint.route.assert_called_once_with(now, "1")


def test_the_version_that_answered_is_restored(deployer: Deployer) -> None:
    """It need not be the champion, which may not even be served."""
    add_version(deployer.workspace, "3")
    deployer.check("promote", "1")
    done = deployer.run("deploy", "2", VERIFY_FAILS="1")
    assert done.stderr.endswith(f"{BROKEN} Version 2 answers.\n")
    deployer.check("deploy", "1")
    deployer.check("deploy", "2")
    done = deployer.run("deploy", "3", VERIFY_FAILS="1")
    assert done.stderr.endswith(f"{BROKEN} Version 2 answers.\n")


def test_the_settings_reach_the_endpoint(deployer: Deployer, released: Agent) -> None:
    with released.patched("config.yml", SERVING, OTHER_SERVING):
        deployer.check("deploy", "1")
    (entity,) = deployer.workspace.state.endpoints["another-endpoint"].config["served_entities"]
    assert entity["workload_size"] == "Medium"
    assert not entity["scale_to_zero_enabled"]
    assert entity["environment_vars"]["OPENAI_API_KEY"] == "{{secrets/agents/openai}}"
    others = OTHER_SERVING.replace("Medium", "Large").replace("false", "true")
    with released.patched("config.yml", SERVING, others.replace("/openai}}", "/another}}")):
        kept, *rest = deployer.check("deploy", "1").splitlines()
    assert kept == (
        "version 1 is served already and keeps its workload_size, scale_to_zero, OPENAI_API_KEY; "
        "a new version gets those of config.yml"
    )
    assert rest[0].startswith("verify --url ")  # nothing is changed


@pytest.mark.parametrize(
    ("entity", "model"),
    [
        ({"entity_name": "main.default.forecast", "entity_version": "1"}, "main.default.forecast"),
        ({"external_model": {"name": "gpt-5", "provider": "openai"}}, "an external model"),
    ],
)
def test_an_endpoint_of_another_model_is_not_changed(
    deployer: Deployer, entity: dict[str, object], model: str
) -> None:
    config = {"served_entities": [entity], "traffic_config": {"routes": []}}
    deployer.workspace.state.endpoints[ENDPOINT] = Endpoint(ENDPOINT, config=config)
    done = deployer.run("deploy", "1")
    assert f"The endpoint weather-agent serves {model}. Set another name under" in done.stderr
    assert deployer.workspace.state.endpoints[ENDPOINT].config == config


def test_an_update_of_somebody_else_is_awaited(deployer: Deployer) -> None:
    deployer.promoted("1", "2")
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    for command in (["deploy", "1"], ["rollback"]):
        endpoint.pending, endpoint.polls_left = copy.deepcopy(endpoint.config), 2
        assert "weather-agent is updating, 0 s …\n" in deployer.check(*command)
        assert deployer.answering == "1"


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_version_that_shares_the_traffic_gets_all_of_it(deployer: Deployer, version: str) -> None:
    deployer.promoted("1", "2")
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    # Workspaces name what they serve in a new way, in an old one, or in both.
    missing = {"1": "served_model_name", "2": "served_entity_name"}[version]
    for route, share in zip(endpoint.config["traffic_config"]["routes"], (90, 10), strict=True):
        route |= {"traffic_percentage": share, missing: None}
    done = deployer.run("promote", "9")
    assert "is ready. See its versions in MLflow's UI. Version 2 answers 90 % of the" in done.stderr
    assert deployer.check("deploy", version).endswith(f"Version {version} answers.\n")
    assert deployer.answering == version


def test_an_error_says_what_answers(deployer: Deployer) -> None:
    deployer.promoted("1")
    endpoint = deployer.workspace.state.endpoints[ENDPOINT]
    endpoint.pending, endpoint.polls_left = copy.deepcopy(endpoint.config), 9
    updating = deployer.run("promote", "9").stderr
    assert updating.endswith("UI. Version 1 answers until the endpoint is updated.\n")
    endpoint.pending, endpoint.config["traffic_config"]["routes"] = {}, []
    assert deployer.run("promote", "9").stderr.endswith("UI. No version answers.\n")
    deployer.workspace.api.fault = Fault(READ)
    unknown = deployer.run("promote", "9").stderr
    assert unknown.endswith(f"UI. Which version answers is unknown ({READ} failed.).\n")


def test_a_dry_run_changes_nothing(deployer: Deployer) -> None:
    deployer.promoted("1", "2")
    registered = deployer.workspace.state.agents.copy()
    deployer.workspace.state.agents.clear()
    plan = deployer.check("deploy", "1", "--dry-run").splitlines()
    assert plan[:2] == [
        "POST /api/2.0/agents/deployments: register version 1",
        "PUT /api/2.0/serving-endpoints/weather-agent/config: serve 2, 1 with all traffic to 1",
    ]
    assert (deployer.answering, deployer.registered) == ("2", [])
    deployer.check("deploy", "1")
    assert (deployer.answering, deployer.registered) == ("1", ["1"])
    # It equals the registration that databricks-agents has made.
    assert deployer.workspace.state.agents == {(MODEL, "1"): registered[MODEL, "1"]}


def test_a_failed_update_is_reported(deployer: Deployer) -> None:
    deployer.promoted("1", "2")
    deployer.workspace.state.broken.add("1")
    done = deployer.run("deploy", "1")
    assert "weather-agent was not updated. See its events in the workspace. Ver" in done.stderr
    assert (done.returncode, deployer.answering) == (1, "2")


def test_an_answer_with_an_error_is_reported(deployer: Deployer) -> None:
    deployer.promoted("1")
    deployer.workspace.api.fault = Fault("POST /serving-endpoints/{name}/invocations", status=503)
    done = deployer.run("deploy", "2")
    assert "The input example got status 503: " in done.stderr
    assert done.stderr.endswith(". See the logs of weather-agent. Version 1 answers.\n")
    assert (done.returncode, deployer.answering) == (1, "1")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"output": [{"id": "1"}]}', "output.0.type: Field required"),
        ("<html>", "value: Invalid JSON: expected value at line 1 column 1"),
    ],
    ids=["field", "JSON"],
)
def test_a_version_that_gives_an_invalid_answer_is_replaced(
    deployer: Deployer, answer: str, reason: str
) -> None:
    deployer.promoted("1")
    routes = [Route("/invocations", lambda _: Response(answer), methods=["POST"])]
    with serving_app(Starlette(routes=routes)) as another:
        deployer.workspace.state.upstreams["2"] = another.url
        done = deployer.run("deploy", "2")
    assert done.stderr.endswith(
        f"The deployed version gives an invalid answer to the input example ({reason}). "
        "See the logs of weather-agent. Version 1 answers.\n"
    )
    assert (done.returncode, deployer.answering) == (1, "1")


def test_the_first_request_is_the_input_example_and_waits_for_the_start(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = package("commands.release")
    post = Mock(return_value=httpx.Response(503, text="starting " * 1000))
    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.setenv("AGENT_TOKEN", "")
    endpoint = Mock(url="https://db.example/serving-endpoints/weather-agent/invocations")
    endpoint.workspace.config.authenticate.return_value = {"Authorization": "Bearer dapi"}
    with pytest.raises(RuntimeError, match="got status 503: starting") as raised:
        release.check_endpoint(endpoint)
    assert len(str(raised.value)) < 600
    assert post.call_args.kwargs == {
        "json": package("runtime.config").load_input_example(),
        "headers": {"Authorization": "Bearer dapi"},
        "timeout": 600,
    }


def test_an_update_that_does_not_end_is_reported(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = package("ops.endpoint")
    endpoint = object.__new__(module.Endpoint)
    endpoint.name = "weather-agent"
    ready, updating = module.Served({}), module.Served({}, is_updating=True)
    endpoint.report, endpoint.read = Mock(), Mock(side_effect=[*[updating] * 3, ready])
    sleep = Mock()
    monkeypatch.setattr(time, "sleep", sleep)
    assert endpoint.wait() == ready
    assert sleep.mock_calls == [call(2)] * 3
    assert endpoint.report.call_count == 1  # every 30 seconds
    endpoint.read = lambda: updating
    monkeypatch.setattr(module, "UPDATE_TIMEOUT", -1)
    with pytest.raises(RuntimeError, match="weather-agent is still updating after 0 s"):
        endpoint.wait()
    endpoint.workspace, endpoint.dry_run = Mock(), False
    endpoint.read = Mock(return_value=updating)
    with pytest.raises(RuntimeError, match="weather-agent is still updating after 0 s"):
        endpoint.route(ready, "1")
    assert endpoint.read.call_count == 1


def test_a_first_version_that_did_not_start_is_deployed_again(deployer: Deployer) -> None:
    deployer.workspace.state.broken.add("1")
    done = deployer.run("deploy", "1")
    assert "Version 1 did not start. See the logs of weather-agent. No version" in done.stderr
    deployer.workspace.state.broken.clear()
    assert deployer.check("deploy", "1").endswith("Version 1 answers.\n")
    assert deployer.registered == ["1"]


def test_a_first_version_that_fails_its_checks_still_answers(deployer: Deployer) -> None:
    done = deployer.run("deploy", "1", VERIFY_FAILS="1")
    assert done.stderr.endswith(f"{BROKEN} Version 1 answers.\n")
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


@pytest.mark.parametrize(("kept", "routed"), [(["99", "3"], "3"), (["99"], None), ([], None)])
def test_a_full_endpoint_keeps_a_version_that_it_serves(
    package: Package, monkeypatch: pytest.MonkeyPatch, kept: list[str], routed: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "databricks.agents", Mock())
    module = package("ops.deploy")
    endpoint = Mock(dry_run=True)
    now = Mock(entities={str(number): Mock() for number in range(1, 16)}, answering=None)
    endpoint.route.return_value = now
    settings = package("runtime.config").Serving()
    if routed:
        module.start(endpoint, now, "16", settings, kept)
        endpoint.route.assert_called_once_with(now, routed, [routed])
        return
    with pytest.raises(RuntimeError, match="none of them answers or is the champion"):
        module.start(endpoint, now, "16", settings, kept)


def test_a_commit_is_found_among_many_versions(deployer: Deployer) -> None:
    add_version(deployer.workspace, "10")
    versions = deployer.workspace.state.models[MODEL].versions
    commit = versions["1"].tags.pop("git_commit")
    versions["2"].tags["git_commit"] = versions["10"].tags["git_commit"] = commit
    add_version(deployer.workspace, "11")  # an interrupted run has left it
    versions["11"].tags["git_commit"], versions["11"].status = commit, "PENDING_REGISTRATION"
    assert "version 10" in deployer.check("register")
    assert len(versions) == 4


def test_a_profile_names_a_workspace(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Mock()
    monkeypatch.setattr(package("ops.endpoint"), "Endpoint", endpoint)
    monkeypatch.setenv("AGENT_MODEL_NAME", MODEL)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks://prod")
    assert package("commands.release").find_endpoint() == endpoint.return_value
    assert endpoint.call_args.args[:2] == (ENDPOINT, MODEL)


def test_an_endpoint_without_a_name_has_that_of_the_project(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, config = package("ops.endpoint"), package("runtime.config")
    monkeypatch.setattr(endpoint, "load_config", lambda: Mock(serving=config.Serving()))
    assert endpoint.endpoint_name() == "weather-agent"


@pytest.mark.parametrize("command", ["deploy", "release"])
def test_a_missing_extra_is_named(agent: Agent, deployer: Deployer, command: str) -> None:
    done = agent.run("weather-agent", command, **deployer.workspace.variables)
    assert done.stdout == ""  # nothing ran before
    assert "error: Model Serving needs databricks-agents. Run `uv sync --extra" in done.stderr
    assert done.returncode == 1


def test_a_lost_request_is_reported_and_a_lost_response_stops_nothing(deployer: Deployer) -> None:
    deployer.promoted("1")
    deployer.workspace.api.fault = Fault(CONFIG)
    assert f"{CONFIG} failed. Version 1 answers. To" in deployer.run("deploy", "2").stderr
    deployer.workspace.api.fault = Fault(CONFIG, after=True)
    for version in ("2", "1"):
        assert deployer.check("deploy", version).endswith(f"Version {version} answers.\n")


@pytest.mark.parametrize("fault", [Fault(CONFIG), Fault(AGENTS)], ids=["update", "registration"])
def test_a_second_run_completes_an_interrupted_one(deployer: Deployer, fault: Fault) -> None:
    deployer.promoted("1")
    check_interrupted(deployer, fault, ["deploy", "2"], "1", "2", {"1", "2"})
