"""Writes `docs/contract.md`: what the contract catches, and what MLflow alone catches.

Applies every breakage in `tests/contract/breakages` to a fresh agent and runs MLflow step by step,
without the contract. `docs/noticed_by_mlflow.json` stores the results, from which a test writes the
page again; `--stored` writes the page from them without running MLflow.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.contract.breakages import BREAKAGES, GROUPS
from tests.contract.own_clients import has_own_client
from tests.contract.workbench import Workbench, start_workbench
from tests.helpers.agents import install, parts_of_rules

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "contract.md"
MEASURED = ROOT / "docs" / "noticed_by_mlflow.json"
LOGGING_STEPS = ("import", "log_model")
CALLS = ("log_model", "load_model", "predict", "predict_stream")


@dataclass(frozen=True)
class Measured:
    """Where MLflow alone fails for each breakage.

    Attributes:
        version: The version of MLflow.
        noticed: For each breakage, the failing step of `tests/contract/mlflow_alone.py`, or None.
    """

    version: str
    noticed: dict[str, str | None]


@dataclass(frozen=True)
class ListedRule:
    """A rule of the contract: its requirement, and when it is checked."""

    requirement: str
    moment: str


def main() -> None:
    """Create an agent in a temporary folder, apply every breakage to it, and write the page."""
    os.environ.pop("VIRTUAL_ENV", None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "weather-agent"
        copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
        subprocess.run([*copy, "--data=project_name=weather-agent", ROOT, folder], check=True)
        with start_workbench(install(folder)) as workbench:
            measured = last_measured() if "--stored" in sys.argv else measure(workbench)
            text = page(measured, rules_in(workbench))
    MEASURED.write_text(json.dumps(vars(measured), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(text, encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}")


def measure(workbench: Workbench) -> Measured:
    """Find the step at which MLflow alone fails for each breakage."""
    show_version = ("python", "-c", "import mlflow; print(mlflow.__version__)")
    noticed = {}
    for name, breakage in BREAKAGES.items():
        with workbench.agent.changed(breakage.patches):
            has_provider = has_own_client(breakage.patches)
            noticed[name] = workbench.noticed_by_mlflow(has_provider=has_provider)
        print(f"{noticed[name] or 'never':<16}{name}", flush=True)
    return Measured(workbench.agent.check(*show_version).strip(), noticed)


def last_measured() -> Measured:
    """Return the stored results."""
    return Measured(**json.loads(MEASURED.read_text(encoding="utf-8")))


def rules_in(workbench: Workbench) -> dict[str, ListedRule]:
    """Return all rules of a project, in order."""
    parts = parts_of_rules(workbench.agent.folder)
    return {
        name: ListedRule(found.requirement, moment_of(parts[name]))
        for name, found in workbench.rules().items()
    }


def moment_of(part: str) -> str:
    """When the rules of a part of the contract are first checked."""
    if part == "source":
        return "before a commit"
    return f"`verify`: {'LLM' if part == 'llm' else part}"


def page(measured: Measured, rules: Mapping[str, ListedRule]) -> str:
    """Return the whole page."""
    return "\n".join([*introduction(measured, rules), *tables(measured, rules), *list_of(rules)])


def introduction(measured: Measured, rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """Yield the introduction and the totals."""
    moments = Counter(moment_of_mlflow(step) for step in measured.noticed.values())
    yield f"""# The contract

Every generated repository has {len(rules)} rules, which `verify` checks. They are tested with
{len(BREAKAGES)} breakages: changes to the default agent, as a developer might make them. For each
breakage the tables show the rule that catches it, when the rule is checked, and the step at which
MLflow {measured.version} alone fails: import, log, load, predict, serve, or load in another
process. MLflow does not run the repository's own server, so it cannot catch breakages there.

| {len(BREAKAGES)} breakages | caught |
|---|---|
| by MLflow, when the model is logged or before | {moments["logging"]} |
| by MLflow, later | {moments["later"]} |
| by MLflow, never | {moments["never"]} |
| by the contract | {len(BREAKAGES)} |

`make contract` runs MLflow on all breakages and writes this page. The tests of this repository
prove that each rule catches its breakages.
"""


def moment_of_mlflow(step: str | None) -> str:
    """Return whether MLflow fails when the model is logged, later or never."""
    if step is None:
        return "never"
    return "logging" if step in LOGGING_STEPS else "later"


def tables(measured: Measured, rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """Yield a table for each group of breakages."""
    for group, breakages in GROUPS.items():
        yield f"## {group}\n"
        yield "| breakage | MLflow alone fails at | rule that catches it | checked |"
        yield "|---|---|---|---|"
        for name, breakage in breakages.items():
            rule = rules[breakage.rule]
            where = place(measured.noticed[name])
            yield f"| {name} | {where} | `{breakage.rule}` | {rule.moment} |"
        yield ""


def place(step: str | None) -> str:
    """Return a step of MLflow, formatted for a table."""
    if step is None:
        return "**never**"
    return f"`{step}`" if step in CALLS else step


def list_of(rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """Yield all rules with their requirements."""
    yield "## All rules\n"
    for name, rule in rules.items():
        yield f"- `{name}`: {rule.requirement}"
    yield ""


if __name__ == "__main__":
    main()
