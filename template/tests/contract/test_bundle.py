"""Rules about databricks.yml, if there is one."""

from pathlib import Path

import pytest
import yaml

from .harness.bundle import Bundle, read_bundles, section
from .harness.bundle_checks import broken_references, invalid_values
from .harness.project import PACKAGE, ROOT
from .harness.rules import FailedRuleError, NotCheckedError, rule


@pytest.fixture
def bundles(url: str | None, external_model: Path | None) -> list[Bundle]:
    """What each target of databricks.yml deploys."""
    if url or external_model:
        pytest.skip("omit --url and --model-uri to check databricks.yml")
    try:
        return read_bundles(ROOT)
    except yaml.YAMLError as error:
        raise invalid_yaml("databricks.yml", error) from error
    except RecursionError as error:
        raise FailedRuleError("A reference in databricks.yml leads to itself.") from error


def invalid_yaml(name: str, error: yaml.YAMLError) -> FailedRuleError:
    """Return the failure for a file that cannot be parsed."""
    return FailedRuleError(f"{name} is not valid YAML: {' '.join(str(error).split())}.")


@rule(
    "bundle-values",
    "databricks.yml has only names and values that a workspace accepts.",
    why="The Databricks CLI checks few values. A workspace rejects the others when half of the "
    "resources exist, or ignores them.",
    fix="Edit databricks.yml. `variables` in `targets` has the names.",
)
def test_bundle_values(bundles: list[Bundle]) -> None:
    found = dict.fromkeys(found for bundle in bundles for found in invalid_values(bundle))
    assert not found, f"{'; '.join(found)}."


@rule(
    "bundle-references",
    "Everything that databricks.yml and app.yaml refer to exists once.",
    why="An app without one of its resources starts, and fails when it answers. A job with an "
    "unknown task or environment does not run.",
    fix="Define what is missing in databricks.yml, or correct the reference.",
)
def test_bundle_references(bundles: list[Bundle]) -> None:
    llm = configured_llm()
    try:
        found = dict.fromkeys(
            found for bundle in bundles for found in broken_references(bundle, ROOT, llm)
        )
    except yaml.YAMLError as error:
        raise invalid_yaml("app.yaml", error) from error
    assert not found, f"{'; '.join(found)}."


def configured_llm() -> str:
    """Return the LLM of config.yml, or an empty string if there is none."""
    path = ROOT / "src" / PACKAGE / "config.yml"
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except yaml.YAMLError as error:
        raise NotCheckedError("config.yml is not valid YAML, see `accepted`") from error
    return str(section(settings).get("llm", ""))
