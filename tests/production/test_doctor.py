"""What `doctor` checks in a Databricks workspace."""

import json
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from databricks.sdk.service.apps import AppPermissions

from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.helpers.fake_workspace import Fault, Workspace
from tests.helpers.fake_workspace.identity import GROUP, USER
from tests.helpers.fake_workspace.state import Endpoint
from tests.production.deployer import ENDPOINT, MODEL, Deployer
from tests.server.serving import free_port

NAMES = ["host", "login", "endpoint", "catalog", "serving", "versions", "app", "LLM", "store"]
LLM = {"AGENT_LLM": "databricks:/llm"}
BUNDLE = """
bundle: {name: agents}
variables: {app: {}, suffix: {default: x}}
resources: {apps: {agent: {name: "${var.app}-${var.suffix}"}}}
targets: {dev: {variables: {app: dev}}, prod: {variables: {app: prod}}}
"""
EMPTY = {"served_entities": [], "traffic_config": {"routes": []}}


@pytest.fixture
def doctor(deployer: Deployer, released: Agent) -> Iterator["Doctor"]:
    """`doctor` of an agent with an LLM, an endpoint and an app in the workspace."""
    state = deployer.workspace.state
    state.endpoints |= {
        "llm": Endpoint("llm", config=EMPTY, permission="CAN_QUERY"),
        ENDPOINT: Endpoint(ENDPOINT, config=EMPTY),
    }
    state.apps["prod-x"] = "CAN_MANAGE"
    with released.patched("databricks.yml", None, BUNDLE):
        yield Doctor(deployer)


class Doctor:
    """Runs `doctor` and returns its messages."""

    def __init__(self, deployer: Deployer) -> None:
        self.deployer = deployer
        self.workspace: Workspace = deployer.workspace

    def run(self, **variables: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the messages of the checks that passed, and of those that failed, by name."""
        done = self.deployer.run("doctor", "--json", f"--port={free_port()}", **(LLM | variables))
        assert "dapi" not in done.stdout + done.stderr
        assert "host metadata" not in done.stderr  # the check of the host reports it
        checks = json.loads(done.stdout)["checks"]
        messages = [
            {one["name"]: one["message"] for one in checks if one["passed"] == passed}
            for passed in (True, False)
        ]
        assert done.returncode == (1 if messages[1] else 0)
        return messages[0], messages[1]


def test_a_working_workspace_passes(doctor: Doctor) -> None:
    passed, failed = doctor.run()
    assert not failed
    assert [name for name in passed if name in NAMES] == NAMES
    assert passed["login"] == f"{USER} is logged in"
    assert passed["catalog"] == f"{USER} may register {MODEL}"
    assert passed["app"] == (
        f"dev-x does not exist; `databricks bundle deploy` creates it; {USER} may manage prod-x"
    )


def test_every_problem_is_found_with_its_fix(doctor: Doctor) -> None:
    state = doctor.workspace.state
    state.endpoints["llm"].permission = "CAN_VIEW"
    state.endpoints[ENDPOINT].permission = ""
    state.grants["main"] = {"USE_CATALOG"}
    state.models[MODEL].versions["1"].tags["mlflow"] = "3.9.0"
    state.apps["dev-x"] = "CAN_USE"
    _, failed = doctor.run()
    fixes = {
        "endpoint": f"{USER} may not query the endpoint llm. Ask its owner for Can Query, or set",
        "catalog": f"Ask the owner to run GRANT USE SCHEMA ON SCHEMA main.default TO `{USER}`.",
        "serving": f"{USER} may not manage the endpoint {ENDPOINT}. Ask its owner for Can Manage",
        "versions": "commit uv.lock and run `uv run weather-agent register`.",
        "app": f"{USER} may not manage the app dev-x. Ask its owner for Can Manage",
    }
    assert list(failed) == list(fixes)
    for name, fix in fixes.items():
        assert fix in failed[name]
    assert "logged with mlflow 3.9.0, but mlflow 3." in failed["versions"]


def test_missing_things_are_found_with_their_fix(doctor: Doctor) -> None:
    state = doctor.workspace.state
    del state.owners["main.default"], state.endpoints[ENDPOINT]
    state.endpoints["llm"].config = {}
    state.models[MODEL].aliases.clear()
    passed, failed = doctor.run()
    assert list(failed) == ["endpoint", "catalog"]
    assert "The endpoint llm is not ready. See its events, or set `llm`" in failed["endpoint"]
    assert "main.default does not exist. Run CREATE SCHEMA main.default" in failed["catalog"]
    assert passed["serving"] == f"{ENDPOINT} does not exist; `deploy` creates it"
    assert passed["versions"].endswith(f"; {MODEL} has no version yet")
    state.owners |= {"main": "admin", "main.default": GROUP}
    state.grants.clear()
    state.endpoints.clear()
    _, failed = doctor.run()
    assert "GRANT USE CATALOG ON CATALOG main TO" in failed["catalog"]
    assert "SCHEMA main.default" not in failed["catalog"]  # owned by a group of the user
    assert "There is no endpoint llm. Create it, or set `llm`" in failed["endpoint"]


@pytest.mark.parametrize(
    ("variables", "name", "fix"),
    [
        ({"DATABRICKS_TOKEN": "dapi-old"}, "login", "Replace DATABRICKS_TOKEN, or unset it and"),
        ({"DATABRICKS_TOKEN": ""}, "login", "default credentials). Run `databricks auth login --h"),
        ({"DATABRICKS_HOST": "http://127.0.0.1:9"}, "host", "refused). Check the URL, the network"),
        ({"DATABRICKS_HOST": "http://db.invalid/?o=1"}, "host", "to https://db.invalid."),
        ({"DATABRICKS_HOST": ""}, "host", "No host is set. Run `databricks auth login --host"),
        ({"DATABRICKS_HOST": "https://db.invalid/ml/endpoints"}, "host", "to https://db.invalid."),
        ({"DATABRICKS_HOST": "http://db.invalid"}, "host", "to https://db.invalid."),
        ({"DATABRICKS_HOST": "https://db.invalid?o=1"}, "host", "to https://db.invalid."),
        (
            {"DATABRICKS_CLIENT_ID": "one", "DATABRICKS_CLIENT_SECRET": "two"},
            "host",
            "configured: oauth and pat. Check ~/.databrickscfg and DATABRICKS_",
        ),
    ],
)
def test_checks_that_need_a_login_do_not_repeat_its_error(
    doctor: Doctor, variables: dict[str, str], name: str, fix: str
) -> None:
    _, failed = doctor.run(HOME="/nowhere", **variables)
    assert fix in failed[name]
    dependent = NAMES[NAMES.index(name) + 1 :]
    assert list(failed) == [name, *dependent]
    expected = {"login": "Not checked, because `host` failed."} if name == "host" else {}
    for one in dependent:
        assert failed[one] == expected.get(one, "Not checked, because `login` failed.")


def test_a_workspace_that_fails_hides_no_other_check(doctor: Doctor) -> None:
    doctor.workspace.api.fault = Fault("GET /api/2.0/apps/{name}")
    _, failed = doctor.run()
    assert list(failed) == ["app"]
    assert "failed. Run `doctor` again, or ask the administrator of the workspace." in failed["app"]


@pytest.mark.parametrize(
    ("bundle", "found"),
    [
        ("targets: {dev: }\nresources: ", "databricks.yml has no app"),
        ("resources: {apps: {a: {name: an-app}}}", "an-app does not exist; `databricks bundle"),
        (
            "resources: {apps: {a: {name: an-app}}}\n"
            "targets: {dev: {resources: {apps: {a: {description: d}}}}}",
            "an-app does not exist",
        ),
        ("targets: {dev: {resources: {apps: {a: {name: a-dev}, b: }}}}", "a-dev does not exist"),
        (
            "bundle: {name: b}\nresources: {apps: {a: {name: '${bundle.name}-${bundle.target}'}}}\n"
            "targets: {dev: , prod: }",
            "b-dev does not exist; `databricks bundle deploy` creates it; b-prod does not exist",
        ),
        (
            "variables: {x: , y: {default: b}}\n"
            "targets: {dev: , prod: {variables: {x: {default: c}, y: d}}}\n"
            "resources: {apps: {a: {name: 'a${var.x}${var.y}'}}}",
            "acd does not exist; `databricks bundle deploy` creates it",
        ),
    ],
)
def test_apps_are_found_in_every_form_of_the_bundle(
    bundle: str, found: str, doctor: Doctor, released: Agent
) -> None:
    with released.patched("databricks.yml", None, bundle):
        passed, failed = doctor.run()
    assert not failed
    assert passed["app"].startswith(found)


def test_permissions_that_are_enough(doctor: Doctor, released: Agent) -> None:
    state = doctor.workspace.state
    state.grants = {"main": {"ALL_PRIVILEGES"}}
    model = state.models[MODEL]
    model.aliases = {"champion": "1"}
    major, minor, _ = model.versions["1"].tags["mlflow"].split(".", 2)
    model.versions["1"].tags["mlflow"] = f"{major}.{minor}.999"
    with released.patched("databricks.yml", None, "resources: {}"):
        passed, failed = doctor.run()
    assert not failed
    assert passed["versions"].endswith(f"mlflow {major}.{minor}.999 logged version 1")
    del model.versions["1"].tags["mlflow"]
    assert "version 1 does not say which mlflow logged it" in doctor.run()[0]["versions"]


def test_permissions_that_are_not_enough(doctor: Doctor) -> None:
    state = doctor.workspace.state
    state.endpoints["llm"].permission = ""
    state.endpoints[ENDPOINT].permission = "CAN_QUERY"
    state.grants["main.default"] = set()
    _, failed = doctor.run()
    assert f"{USER} may not query the endpoint llm." in failed["endpoint"]
    assert f"{USER} may not manage the endpoint {ENDPOINT}." in failed["serving"]
    assert "GRANT CREATE MODEL ON SCHEMA main.default TO" in failed["catalog"]


def test_the_reason_of_a_refused_login_is_reported(doctor: Doctor) -> None:
    """A workspace answers 403 to an invalid token, and to an address that it blocks."""
    doctor.workspace.api.fault = Fault("GET /api/2.0/preview/scim/v2/Me", status=403)
    _, failed = doctor.run()
    assert "invalid or expired (GET /api/2.0/preview/scim/v2/Me failed). Rep" in failed["login"]
    doctor.workspace.api.fault = Fault("GET /api/2.0/preview/scim/v2/Me", status=404)
    _, failed = doctor.run()
    assert "is not a workspace. Set DATABRICKS_HOST to the URL of one." in failed["login"]
    doctor.workspace.api.fault = Fault("GET /.well-known/databricks-config", status=404)
    assert not doctor.run()[1]


def test_only_what_the_agent_uses_is_checked(doctor: Doctor, released: Agent) -> None:
    """An agent with an LLM in a workspace may have a local store and no bundle."""
    (released.folder / "databricks.yml").unlink()
    passed, failed = doctor.run(MLFLOW_TRACKING_URI="", MLFLOW_REGISTRY_URI="")
    assert not failed
    assert [name for name in passed if name in NAMES] == [*NAMES[:3], "LLM", "store"]
    passed, failed = doctor.run(AGENT_LLM="offline:/demo")
    assert not failed
    assert [name for name in passed if name in NAMES] == [*NAMES[:2], *NAMES[3:6], "LLM", "store"]
    (released.folder / "databricks.yml").touch()  # the fixture deletes it


def test_nothing_of_a_workspace_is_checked_without_one(doctor: Doctor) -> None:
    """Only the settings of the agent count, not a login that other programs use."""
    local = {"AGENT_LLM": "offline:/demo", "MLFLOW_TRACKING_URI": ""}
    passed, failed = doctor.run(**local)
    assert not {"host", "login"} & {*passed, *failed}
    assert not doctor.workspace.api.requests


def test_invalid_settings_and_missing_files_end_no_check(doctor: Doctor, released: Agent) -> None:
    """An image has the package without the repository."""
    project, aside = released.folder / "pyproject.toml", released.folder / "aside.toml"
    project.rename(aside)
    try:
        with released.patched("config.yml", None, "llm: ["):
            passed, failed = doctor.run(AGENT_LLM="", MLFLOW_TRACKING_URI="")
    finally:
        aside.rename(project)
    assert passed[".env"] == "does not exist; settings come from the environment only"
    assert list(passed) == [".env", "Python", "settings", "store", "port"]
    assert list(failed) == ["LLM"]
    assert "config.yml is not valid YAML" in failed["LLM"]


def test_a_request_that_times_out_is_a_problem_of_the_workspace(package: Package) -> None:
    checks = package("commands.workspace_checks")
    login = Mock(host="https://db.example")
    check = Mock(side_effect=TimeoutError("Timed out after 0:00:10"))
    with pytest.raises(RuntimeError, match=r"db.example failed: Timed out .*Run `doctor` again"):
        checks.explain(check, login)


def test_a_group_without_a_name_grants_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = package("ops.workspace")
    client = Mock()
    client.current_user.me.return_value = Mock(user_name=USER, groups=[Mock(display=None)])
    monkeypatch.setattr(module, "WorkspaceClient", Mock(return_value=client))
    monkeypatch.setattr(module, "Config", Mock())
    login = module.Login()
    assert login.find_user() == USER
    assert login.principals == {USER}


def test_permissions_on_an_app_are_those_of_the_user_and_its_groups(package: Package) -> None:
    login = package("ops.workspace").Login()
    login.principals, login.client = {USER, GROUP}, Mock()
    entries = [
        {"user_name": USER, "all_permissions": [{"permission_level": "CAN_USE"}]},
        {"group_name": "admins", "all_permissions": [{"permission_level": "CAN_MANAGE"}]},
    ]

    def permissions() -> set[str]:
        found = AppPermissions.from_dict({"access_control_list": entries})
        login.client.apps.get_permissions.return_value = found
        return login.app_permissions("an-app")

    assert permissions() == {"CAN_USE"}
    for kind, name in (("group_name", GROUP), ("service_principal_name", USER)):
        entries[1] = {kind: name, "all_permissions": entries[1]["all_permissions"]}
        assert permissions() == {"CAN_USE", "CAN_MANAGE"}


def test_an_app_that_the_user_may_only_use_is_reported(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = package("commands.workspace_checks")
    monkeypatch.setattr(checks, "app_names", lambda: ["an-app"])
    login = Mock(user=USER)
    login.app_permissions.return_value = {"CAN_USE"}
    with pytest.raises(RuntimeError, match=f"^{USER} may not manage the app an-app"):
        checks.check_apps(login)


def test_deploying_needs_databricks_agents(package: Package) -> None:
    """Use the environment of the tests, which does not have it."""
    checks = package("commands.workspace_checks")
    with pytest.raises(RuntimeError, match="Run `uv sync --extra deploy`"):
        checks.check_versions(checks.Login())
