"""Tests the ast-grep rules of a generated project with valid and invalid code."""

from pathlib import Path

import yaml

from tests.helpers.agents import Agent

CASES = Path(__file__).with_name("source_cases")


def test_every_rule_has_valid_and_invalid_cases(agent: Agent) -> None:
    rules = {path.stem for path in agent.folder.glob("tests/contract/source/rules/*.yml")}
    cases = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CASES.glob("*.yml")]
    assert {case["id"] for case in cases} == rules
    assert all(case["valid"] and case["invalid"] for case in cases)


def test_rules_agree_with_their_cases(agent: Agent, tmp_path: Path) -> None:
    source = agent.folder / "tests" / "contract" / "source"
    config = {
        "ruleDirs": [str(source / "rules")],
        "utilDirs": [str(source / "utils")],
        "testConfigs": [{"testDir": str(CASES)}],
    }
    path = tmp_path / "sgconfig.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    agent.check("ast-grep", "test", "--config", str(path), "--skip-snapshot-tests")
