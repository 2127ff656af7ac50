"""Rules about the source code. ast-grep checks them; they are in `source/rules`."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from .harness.project import ROOT
from .harness.rules import NotCheckedError, rule

SOURCE = Path(__file__).parent / "source"
AST_GREP = Path(sysconfig.get_path("scripts")) / "ast-grep"


def as_parameter(path: Path) -> Any:
    """Return an ast-grep rule as a test parameter that is marked as a rule of the contract."""
    source = yaml.safe_load(path.read_text(encoding="utf-8"))
    why, fix = (" ".join(part.split()) for part in source["note"].split("\n\n"))
    mark = rule(source["id"], source["message"], why=why, fix=fix)
    return pytest.param(source["id"], marks=mark, id=source["id"])


@pytest.fixture(scope="module")
def matches(url: str | None, external_model: Path | None) -> list[dict[str, Any]]:
    """The matches of all rules in the source."""
    if url or external_model:
        pytest.skip("omit --url and --model-uri to check the source")
    config = ["--config", SOURCE / "sgconfig.yml"]
    # A file that git ignores runs like any other.
    ignored = [f"--no-ignore={kind}" for kind in ("dot", "exclude", "global", "parent", "vcs")]
    command = [AST_GREP, "scan", *config, *ignored, "--json=compact", "src"]
    try:
        scan = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotCheckedError("ast-grep is not installed; run `uv sync`") from error
    if not scan.stdout:
        raise NotCheckedError(f"ast-grep failed: {scan.stderr}")
    return json.loads(scan.stdout)


RULES = [as_parameter(path) for path in sorted(SOURCE.glob("rules/*.yml"))]


@pytest.mark.parametrize("name", RULES)
def test_source(name: str, matches: list[dict[str, Any]]) -> None:
    lines = dict.fromkeys(first_line(match) for match in matches if match["ruleId"] == name)
    assert not lines, "; ".join(lines)


def first_line(match: dict[str, Any]) -> str:
    """Return the file, the number and the text of the first line of a match."""
    text = match["lines"].strip().partition("\n")[0]
    return f"{match['file']}:{match['range']['start']['line'] + 1}: {text}"
