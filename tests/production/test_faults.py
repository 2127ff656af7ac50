"""Each request of a command fails, before or after its effect; a second run completes the work."""

import copy
import json
from collections.abc import Callable

import pytest

from tests.helpers.fake_workspace import Fault
from tests.production.deployer import ENDPOINT, MODEL, Deployer, check_interrupted

pytestmark = pytest.mark.proof

# The version that answers first, the command, and the version that answers then.
SITUATIONS = {
    "deploy": (None, ["deploy", "1"], "1"),
    "redeploy": ("1", ["deploy", "2"], "2"),
    "rollback": ("2", ["rollback"], "1"),
}


def each_fault(deployer: Deployer, check: Callable[[Fault], None], *command: str) -> int:
    """Run a command without faults, and then a check for each fault from the same state.

    Returns:
        The number of faults.
    """
    state, api = deployer.workspace.state, deployer.workspace.api
    original = copy.deepcopy(vars(state))
    api.requests.clear()
    deployer.check(*command)
    faults = [
        Fault(route, after) for route in dict.fromkeys(api.requests) for after in (False, True)
    ]
    failed = []
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
    old, command, new = SITUATIONS[situation]
    deployer.promoted(*(str(number) for number in range(1, int(old or 0) + 1)))
    served = {"1"} if situation == "deploy" else {"1", "2"}

    def check(fault: Fault) -> None:
        check_interrupted(deployer, fault, command, old, new, served)

    print(json.dumps({situation: each_fault(deployer, check, *command)}))


def test_registering_twice_adds_one_version(deployer: Deployer) -> None:
    """Register the commit of version 1 once more, as if it were another one."""
    deployer.promoted("1")
    model = deployer.workspace.state.models[MODEL]
    commit = model.versions["1"].tags["git_commit"]
    model.versions["1"].tags["git_commit"] = "0" * 40

    def check(fault: Fault) -> None:
        api, model = deployer.workspace.api, deployer.workspace.state.models[MODEL]
        api.fault = fault
        first = deployer.run("register")
        api.fault = None
        if first.returncode:
            assert "Version 1 answers." in first.stderr, first.stderr
        deployer.check("register")
        new = [
            number
            for number, version in model.versions.items()
            if version.tags.get("git_commit") == commit and version.status == "READY"
        ]
        assert new == [model.aliases["challenger"]]
        assert model.aliases["champion"] == "1"
        assert deployer.workspace.state.endpoints[ENDPOINT].served == ["1"]

    print(json.dumps({"register": each_fault(deployer, check, "register")}))
