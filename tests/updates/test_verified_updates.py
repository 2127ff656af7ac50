"""Agents made before v0.5.0 moved the files pass `verify` after the update, as do their models."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

from tests.contract.verify import only
from tests.helpers.agents import Agent, install
from tests.updates.projects import NAME, NOW, PACKAGE, Project, all_releases, released

RELEASES = [*takewhile(lambda tag: tag != "v0.5.0", released())]
OWNERS_FUNCTION = '''

def store_name() -> str:
    """Return the name of the store."""
    return STORE.name
'''
# It imports a module that moves, and calls the function that the owner added to this module.
OWNERS_TEST = '''"""The owner's function."""

from weather_agent.tracking import store_name


def test_the_store_is_a_file() -> None:
    assert store_name() == "mlflow.db"
'''
OWNERS_TEST_FILE = "tests/test_store_name.py"
# One rule for each part of the contract that needs a model.
RULES = (
    *("answer-text", "whole-conversation", "side-by-side", "one-trace", "served-answers"),
    "requests-apart",
)


def logged_model(agent: Agent) -> str:
    """Log the agent as a model, and return its URI."""
    (uri,) = set(re.findall(r"models:/m-\w+", agent.check(NAME, "log")))
    return uri


@pytest.mark.proof
@pytest.mark.parametrize("release", RELEASES)
def test_an_updated_agent_and_its_older_model_pass_verify(
    release: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    template = all_releases(tmp_path_factory.getbasetemp())
    project = Project.made(template, tmp_path / NAME, release)
    agent = install(project.folder)
    model_uri = logged_model(agent)
    project.append(f"{PACKAGE}/tracking.py", OWNERS_FUNCTION)
    project.write(OWNERS_TEST_FILE, OWNERS_TEST)
    project.commit()

    project.update(NOW, unsafe=True)
    assert project.conflicts() == {}
    agent.check("uv", "sync", "--quiet")

    failed = agent.run("pytest", "-q", OWNERS_TEST_FILE)
    assert "No module named 'weather_agent.tracking'" in failed.stdout
    project.edit(OWNERS_TEST_FILE, "weather_agent.tracking", "weather_agent.ops.store")
    agent.check("pytest", "-q", OWNERS_TEST_FILE)

    agent.check(NAME, "verify")
    agent.check(NAME, "verify", "--model-uri", model_uri, *only(*RULES))
