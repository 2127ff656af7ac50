"""Rules about the source, for ast-grep: `source/rules` holds them, `source/cases` tries them."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from .harness.project import ROOT
from .harness.rules import rule

SOURCE = Path(__file__).parent / "source"
AST_GREP = Path(sysconfig.get_path("scripts")) / "ast-grep"


def ast_grep(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ast-grep with the rules of this folder."""
    subcommand, *rest = arguments
    return subprocess.run(
        [AST_GREP, subcommand, "--config", SOURCE / "sgconfig.yml", *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def described(path: Path) -> Any:
    """A rule of ast-grep as a test parameter that carries it as a rule of the contract."""
    source = yaml.safe_load(path.read_text(encoding="utf-8"))
    why, mend = (" ".join(part.split()) for part in source["note"].split("\n\n"))
    mark = rule(source["id"], source["metadata"]["holds"], why=why, mend=mend)
    return pytest.param(source["id"], marks=mark, id=source["id"])


@pytest.fixture(scope="module")
def matches(url: str | None, given_model: Path | None) -> list[dict[str, Any]]:
    """Every place in the source that a rule speaks against."""
    if url or given_model:
        pytest.skip("The source is checked where the agent is developed.")
    return json.loads(ast_grep("scan", "--json=compact", "src").stdout)


@pytest.mark.parametrize("name", [described(path) for path in sorted(SOURCE.glob("rules/*.yml"))])
def test_source(name: str, matches: list[dict[str, Any]]) -> None:
    places = dict.fromkeys(place_of(match) for match in matches if match["ruleId"] == name)
    assert not places, "; ".join(places)


def place_of(match: dict[str, Any]) -> str:
    """The file, the line and its text, of several lines the first."""
    first_line = match["lines"].strip().partition("\n")[0]
    return f"{match['file']}:{match['range']['start']['line'] + 1}: {first_line}"
