"""`release`, as the files of the CI services run it, in a fake workspace."""

import os
import shlex
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Render
from tests.helpers.agents import Agent
from tests.helpers.fake_workspace import Fault
from tests.production.deployer import MODEL, Deployer
from tests.release.repositories import git
from tests.rendering.workflows import RELEASES, release_steps, run_as
from tests.server.serving import Served

EVALUATED = "has passed its evaluation"


@pytest.fixture
def arguments(render: Render, tmp_path: Path) -> dict[str, list[str]]:
    """The arguments of the agent's command for each service, after its steps ran in its shell."""
    log = tmp_path / "uv.log"
    for name in ("uv", "pip"):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n', encoding="utf-8")
        stub.chmod(0o755)
    found = {}
    for ci in RELEASES:
        log.unlink(missing_ok=True)
        for step in release_steps(ci, render(ci=ci)):
            path = f"{tmp_path}:{os.environ['PATH']}"
            done = run_as(ci, step["command"], tmp_path, {"PATH": path})
            assert done.returncode == 0, done.stderr
        *_, sync, release = log.read_text(encoding="utf-8").splitlines()
        assert sync == "uv sync --locked --extra deploy"
        assert release.startswith("uv run weather-agent ")
        found[ci] = shlex.split(release)[3:]
    return found


def test_a_release_continues_where_it_stopped(
    deployer: Deployer, released: Agent, arguments: dict[str, list[str]]
) -> None:
    deployer.workspace.state.models[MODEL].aliases.clear()  # `register` sets them
    api = deployer.workspace.api
    api.fault = Fault("POST /api/2.0/serving-endpoints")
    stopped = deployer.run(*arguments["gitlab"])
    api.fault = None
    steps = ["", "verify", "", "evaluate", "✓ contract"]
    assert [line[:10] for line in stopped.stdout.splitlines()[:5]] == steps
    assert "passed with 6 cases" in stopped.stdout
    assert (
        "POST /api/2.0/serving-endpoints failed. No version answers. To continue" in stopped.stderr
    )
    assert (stopped.returncode, deployer.answering, deployer.champion) == (1, None, None)
    junit = released.folder / "evaluation" / "junit.xml"
    report = junit.read_text(encoding="utf-8")
    assert "<testsuite" in report
    for ci in ("github", "azure", "gitlab"):
        junit.unlink(missing_ok=True)  # each job starts with a clean clone
        printed = deployer.check(*arguments[ci])
        assert ci == "github" or junit.read_text(encoding="utf-8") == report
        assert EVALUATED in printed
        assert "\nevaluate\n" not in printed
        assert printed.endswith("weather-agent: Version 1 answers.\n")
        assert (deployer.answering, deployer.champion) == ("1", "1")
    assert deployer.registered == ["1"]


def test_a_release_stops_at_the_first_step_that_fails(
    deployer: Deployer, released: Agent, tracking: Served
) -> None:
    """An evaluation that failed is repeated; here, the champion has none to compare with."""
    client = MlflowClient(tracking.url)
    commit = git(released.folder, "rev-parse", "HEAD").strip()
    experiment = client.get_experiment_by_name("/Shared/weather-agent")
    assert experiment
    tags = {"git_commit": commit, "evaluation": "failed"}
    run_id = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    deployer.workspace.state.models[MODEL].aliases["champion"] = "2"
    with released.patched("instructions.md", None, "Be brief.\n"):
        dirty = deployer.run("release")
    assert "not committed. Commit, stash" in dirty.stderr
    unverified = deployer.run("release", VERIFY_FAILS="1")
    measured = deployer.run("release")
    client.delete_run(run_id)
    steps = [done.stdout.split() for done in (dirty, unverified, measured)]
    assert steps == [[], ["verify"], ["verify", "evaluate"]]
    assert "has no evaluation to compare with" in measured.stderr
    assert (dirty.returncode, unverified.returncode, measured.returncode) == (1, 1, 2)
    assert deployer.answering is None


def test_a_registered_version_is_released_without_the_first_steps(deployer: Deployer) -> None:
    printed = deployer.check("release", "--registered")
    assert printed.startswith("\ndeploy, and verify the deployed agent\n")
    assert (deployer.answering, deployer.champion) == ("1", "1")


def test_a_version_that_failed_its_evaluation_does_not_answer(deployer: Deployer) -> None:
    version = deployer.workspace.state.models[MODEL].versions["1"]
    version.tags["evaluation"] = "failed"
    done = deployer.run("release", "--registered")
    assert "Version 1 cannot be promoted, because its evaluation is failed." in done.stderr
    assert done.stderr.endswith("No version answers.\n")
    assert (done.returncode, deployer.answering) == (1, None)


def test_an_agent_that_fails_is_not_released(deployer: Deployer) -> None:
    done = deployer.run("release", "--registered", VERIFY_FAILS="1")
    assert "The deployed agent breaks the contract: 1 failed: answer-text. Fix the" in done.stderr
    assert (done.returncode, deployer.champion) == (1, None)


@pytest.mark.parametrize("option", ["--allow-skipped", "--junit=junit.xml"])
def test_a_registered_version_is_not_verified_again(deployer: Deployer, option: str) -> None:
    done = deployer.run("release", "--registered", option)
    assert "Pass --registered without --junit and --allow-skipped." in done.stderr
    assert (done.returncode, deployer.answering) == (2, None)


def test_releases_need_a_workspace(deployer: Deployer) -> None:
    done = deployer.commands.run("release")
    assert done.stdout == ""  # nothing ran before
    assert "error: Model Serving needs a Databricks workspace. Run `databricks auth" in done.stderr
    assert done.returncode == 1
