"""Runs `verify` of an agent, and reads its results."""

import json
from typing import Any

from tests.helpers.agents import Agent

# The result of each rule, and what was found.
Results = dict[str, tuple[str, str]]


def results_of(agent: Agent, *options: str, **variables: str) -> Results:
    """Run `verify`, and return for each rule its result and what was found."""
    done = agent.run("weather-agent", "verify", "--json", *options, **variables)
    assert done.stdout, done.stderr
    rules: list[dict[str, Any]] = json.loads(done.stdout)["rules"]
    return {rule["name"]: (rule["result"], rule["found"]) for rule in rules}


def only(*rules: str) -> list[str]:
    """Return the options that select rules."""
    return [option for rule in rules for option in ("--only", rule)]
