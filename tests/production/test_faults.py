"""Each request of a command fails, before or after its effect; a second run completes the work."""

import copy
import json
from collections import Counter
from collections.abc import Callable

import pytest

from tests.helpers.fake_workspace import Fault
from tests.production.conftest import add_version
from tests.production.deployer import ENDPOINT, MODEL, READ, Deployer, check_interrupted

pytestmark = pytest.mark.proof

# The versions that were deployed, the champion, the command, and the version that answers then.
SITUATIONS = {
    "deploy": (0, None, ["deploy", "1"], "1"),
    "redeploy": (1, "1", ["deploy", "2"], "2"),
    "rollback": (3, "3", ["rollback"], "2"),
    "rollback of a challenger": (3, "2", ["rollback"], "2"),
}
# Several clients send these requests alike, so that one fault stands for all of them.
ALIKE = ("GET /.well-known/databricks-config", "PUT /api/2.0/fs/files/{path:path}")


def faults_of(requests: list[str]) -> list[Fault]:
    """Return the faults of a command: each request fails alone, and the endpoint is unreadable."""
    faults = [Fault(READ)]
    for route, count in Counter(requests).items():
        changes_something = not route.startswith(("GET", "HEAD"))
        faults += [
            Fault(route, after, number=number)
            for number in range(1, (1 if route in ALIKE else count) + 1)
            for after in (False, True)[: 1 + changes_something]
        ]
    return faults


def each_fault(deployer: Deployer, check: Callable[[Fault], None], *command: str) -> int:
    """Run a command without faults, and then a check for each fault from the same state.

    Returns:
        The number of faults.
    """
    state, api = deployer.workspace.state, deployer.workspace.api
    original = copy.deepcopy(vars(state))
    api.requests.clear()
    deployer.check(*command)
    failed, faults = [], faults_of(api.requests)
    for fault in faults:
        vars(state).update(copy.deepcopy(original))
        try:
            check(fault)
        except AssertionError as error:
            failed.append(f"{fault}: {error}")
    assert not failed, f"{len(failed)} of {len(faults)} faults:\n" + "\n\n".join(failed)
    return len(faults)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_old_or_the_new_version_answers(deployer: Deployer, situation: str) -> None:
    deployed, champion, command, new = SITUATIONS[situation]
    if deployed > 2:
        add_version(deployer.workspace, "3")
    versions = [str(number) for number in range(1, deployed + 1)]
    for version in versions:
        deployer.check("deploy", version)
        if champion and version <= champion:
            deployer.check("promote", version)
    old = versions[-1] if versions else None

    def check(fault: Fault) -> None:
        check_interrupted(deployer, fault, command, old, new, {*versions, new})
        assert deployer.champion == (new if command == ["rollback"] else champion)

    print(json.dumps({situation: each_fault(deployer, check, *command)}))


def test_registering_twice_adds_one_version(deployer: Deployer) -> None:
    """Register the commit of version 1 once more, as if it were another one."""
    deployer.promoted("1")
    versions = deployer.workspace.state.models[MODEL].versions
    commit = versions["1"].tags["git_commit"]
    versions["1"].tags["git_commit"] = "0" * 40

    def check(fault: Fault) -> None:
        api, model = deployer.workspace.api, deployer.workspace.state.models[MODEL]
        api.fault = fault
        first = deployer.run("register")
        api.fault = None
        if first.returncode:
            unreadable = fault.route == READ and not fault.number
            who = "Which version answers is unknown" if unreadable else "Version 1 answers."
            assert who in first.stderr, first.stderr
        deployer.check("register")
        new = [
            number
            for number, version in model.versions.items()
            if version.tags.get("git_commit") == commit and version.status == "READY"
        ]
        assert new == [model.aliases["challenger"]]
        assert model.aliases.get("champion") == "1"
        assert deployer.workspace.state.endpoints[ENDPOINT].served == ["1"]

    print(json.dumps({"register": each_fault(deployer, check, "register")}))
