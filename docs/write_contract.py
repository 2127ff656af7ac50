"""Writes `docs/contract.md`: what the contract notices, and what MLflow alone notices of it.

Every breakage of `tests/breakages` is applied to a fresh agent; then MLflow is tried out step by
step, without the contract. What was measured is kept in `docs/noticed_by_mlflow.json`, so that a
test can write the page from it again.
"""

import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.contract.breakages import BREAKAGES, GROUPS
from tests.contract.workbench import Workbench, start_workbench
from tests.helpers.agents import install, parts_of_rules

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "contract.md"
MEASURED = ROOT / "docs" / "noticed_by_mlflow.json"
BY_THE_TIME_OF_LOGGING = ("import", "log_model")
CALLS = ("log_model", "load_model", "predict", "predict_stream")


@dataclass(frozen=True)
class Measured:
    """Where MLflow alone notices each breakage, and which version it was.

    Attributes:
        version: The version of MLflow.
        noticed: The name of a step in `tests/mlflow_alone.py` for each breakage, or None.
    """

    version: str
    noticed: dict[str, str | None]


@dataclass(frozen=True)
class ListedRule:
    """A rule of the contract: what it says, and when it is checked."""

    holds: str
    moment: str


def main() -> None:
    """Make an agent in a temporary folder, break it again and again, and write the page."""
    os.environ.pop("VIRTUAL_ENV", None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "weather-agent"
        copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
        subprocess.run([*copy, "--data=project_name=weather-agent", ROOT, folder], check=True)
        with start_workbench(install(folder)) as workbench:
            measured = measure(workbench)
            text = page(measured, rules_in(workbench))
    MEASURED.write_text(json.dumps(vars(measured), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(text, encoding="utf-8")
    print(f"Wrote {PAGE.relative_to(ROOT)}")


def measure(workbench: Workbench) -> Measured:
    """Try out with every breakage where MLflow alone notices it."""
    show_version = ("python", "-c", "import mlflow; print(mlflow.__version__)")
    noticed = {}
    for name, breakage in BREAKAGES.items():
        with workbench.agent.changed(breakage.patches):
            noticed[name] = workbench.noticed_by_mlflow()
        print(f"{noticed[name] or 'never':<16}{name}", flush=True)
    return Measured(workbench.agent.check(*show_version).strip(), noticed)


def last_measured() -> Measured:
    """What was measured when the page was written."""
    return Measured(**json.loads(MEASURED.read_text(encoding="utf-8")))


def rules_in(workbench: Workbench) -> dict[str, ListedRule]:
    """All rules of a project, in their order."""
    parts = parts_of_rules(workbench.agent.folder)
    return {
        name: ListedRule(found.holds, moment_of(parts[name]))
        for name, found in workbench.rules().items()
    }


def moment_of(part: str) -> str:
    """When the rules of a part of the contract are checked first."""
    if part == "source":
        return "before a commit"
    return f"`verify`: {'LLM' if part == 'llm' else part}"


def page(measured: Measured, rules: Mapping[str, ListedRule]) -> str:
    """The whole page."""
    return "\n".join([*introduction(measured, rules), *tables(measured, rules), *list_of(rules)])


def introduction(measured: Measured, rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """What the page is, and the totals."""
    moments = Counter(moment_of_mlflow(step) for step in measured.noticed.values())
    yield f"""# The contract, and what it notices

A generated repository comes with {len(rules)} rules, which `verify` checks. Each was tried on
agents that break it, written as a developer might have written them: {len(BREAKAGES)} breakages of
the default agent. For each of them a table says where MLflow {measured.version} notices by itself,
when the agent is imported, logged, loaded, asked, served, and loaded in another process, one step
after the other; and which rule notices, and when. The repository's own server is none of these
steps: what is broken there, MLflow cannot notice.

| of {len(BREAKAGES)} breakages | are noticed |
|---|---|
| by MLflow, by the time the model is logged | {moments["logging"]} |
| by MLflow, later | {moments["later"]} |
| by MLflow, never | {moments["never"]} |
| by the contract | {len(BREAKAGES)} |

`make contract` measures what MLflow notices, and writes this page. That the rules notice what they
are said to, the tests of this repository prove on every run.
"""


def moment_of_mlflow(step: str | None) -> str:
    """Whether MLflow notices something by the time of logging, later or never."""
    if step is None:
        return "never"
    return "logging" if step in BY_THE_TIME_OF_LOGGING else "later"


def tables(measured: Measured, rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """A table for each group of breakages."""
    for group, breakages in GROUPS.items():
        yield f"## {group}\n"
        yield "| what is broken | where MLflow alone notices | the rule that notices | when |"
        yield "|---|---|---|---|"
        for name, breakage in breakages.items():
            rule = rules[breakage.rule]
            where = place(measured.noticed[name])
            yield f"| {name} | {where} | `{breakage.rule}` | {rule.moment} |"
        yield ""


def place(step: str | None) -> str:
    """How a step of MLflow is written in a table."""
    if step is None:
        return "**never**"
    return f"`{step}`" if step in CALLS else step


def list_of(rules: Mapping[str, ListedRule]) -> Iterator[str]:
    """All rules, and what each of them says."""
    yield "## All rules\n"
    for name, rule in rules.items():
        yield f"- `{name}`: {rule.holds}"
    yield ""


if __name__ == "__main__":
    main()
