"""The contract of a generated project: each rule notices what it is there for."""

import json
import re

import pytest

from tests.agents import Agent, rules_of
from tests.breakages import BREAKAGES, VARIATIONS


def test_every_rule_is_tried(agent: Agent) -> None:
    assert rules_of(agent.folder) == {breakage.rule for breakage in BREAKAGES.values()}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_rule_notices(name: str, agent: Agent) -> None:
    breakage = BREAKAGES[name]
    with agent.patched(breakage.file, breakage.old, breakage.new):
        done = agent.run("weather-agent", "verify", "--only", breakage.rule)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"broken: {breakage.rule}." in done.stdout, done.stdout + done.stderr
    report = done.stdout.partition("✗ ")[2]
    seen = " ".join(report.partition("seen")[2].partition("why")[0].split())
    assert re.search(breakage.says, seen), done.stdout
    assert re.search(r"^    mend +\S", report, re.MULTILINE)


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_sound_variation_raises_no_alarm(name: str, agent: Agent) -> None:
    with agent.patched(*VARIATIONS[name]):
        agent.check("weather-agent", "verify")


def test_without_a_model_the_other_rules_are_left_open(agent: Agent) -> None:
    with agent.patched("agent.py", "class Agent(ResponsesAgent):", "class Agent(ResponsesAgent)"):
        done = agent.run("weather-agent", "verify")
    assert done.returncode == 1
    assert "broken: accepted; not checked: task, signature" in done.stdout
    assert done.stdout.count("✗") == 1
    assert "✓ task" not in done.stdout
    assert "✓ print-call" in done.stdout


def test_a_rule_that_does_not_exist_is_an_error_in_words(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--only", "no-such-rule")
    assert done.returncode == 1
    assert "No rule is named no-such-rule; there are accepted, task" in done.stdout + done.stderr


def test_pytest_explains_a_broken_rule_in_words(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        done = agent.run("pytest", "-q", "tests/contract/test_model.py")
    assert "seen  It holds no message with the role user." in done.stdout
    assert "mend  Write `input_example.json`" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("log_model.py", 'name="agent",', 'artifact_path="agent",'),
        (
            "log_model.py",
            '            name="agent",\n',
            '            name="agent",\n            signature=None,\n',
        ),
        ("agent.py", "    def predict(self", "    @mlflow.trace\n    def predict(self"),
    ],
)
def test_what_is_certain_is_mended_before_a_commit(
    agent: Agent, file: str, right: str, wrong: str
) -> None:
    path = agent.package / file
    sound = path.read_text(encoding="utf-8")
    config = ("--config", "tests/contract/source/sgconfig.yml")
    with agent.patched(file, right, wrong):
        agent.check("ast-grep", "scan", *config, "--update-all", "src")
        agent.check("ruff", "format", "src")
        assert path.read_text(encoding="utf-8") == sound


def test_findings_can_be_had_as_json(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        only = ("--only", "input-example", "--only", "task")
        done = agent.run("weather-agent", "verify", "--json", *only)
    assert done.returncode == 1
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["rules"]}
    assert findings["task"]["result"] == "holds"
    assert findings["input-example"]["result"] == "broken"
    assert findings["input-example"]["seen"] == "It holds no message with the role user."
    assert findings["input-example"]["mend"].startswith("Write `input_example.json`")
