"""Evaluates the agent, and prints how it compares with the thresholds: `evaluate`."""

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import mlflow
from mlflow import MlflowClient
from mlflow.types.responses import ResponsesAgentRequest

from ..ops.cases import load_cases
from ..ops.champion import ROWS, ROWS_ARTIFACT, champion_run, compare_runs, load_rows
from ..ops.evaluate import Respond, check_judge, evaluate_cases, load_scorers
from ..ops.evaluation_report import JUNIT_ARTIFACT, Evaluation, html_report, junit_report
from ..ops.gate import judge_rows
from ..ops.git import clean_commit
from ..ops.project import CASES, ROOT, ProjectError, require_checkout
from ..ops.registry import Registry
from ..ops.remote import require_agent_at, respond_at
from ..ops.store import connect_store, without_password
from ..ops.trace_cases import cases_from, find_traces
from ..ops.traces import trace_location
from ..runtime.config import Config, ConfigError, load_config
from .errors import print_error

REPORT = ROOT / "evaluation" / "report.html"
EXIT_CODES = {"passed": 0, "failed": 1, "not measured": 2}
INVALID_SETTINGS = 3
ENVIRONMENT = {
    # Scorers read the trace of each case, so it must be stored when they run.
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_TRACE_SAMPLING_RATIO": "1",
    # With an OpenTelemetry endpoint, MLflow would send traces there instead of to its store.
    "OTEL_EXPORTER_OTLP_ENDPOINT": "",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "",
    "OTEL_SDK_DISABLED": "false",
    # Otherwise MLflow answers the first case once more.
    "MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION": "true",
    # MLflow imports LiteLLM if it is installed, which would download a list of prices.
    "LITELLM_LOCAL_MODEL_COST_MAP": "true",
}
SHOWN_CASES = 5  # per scorer; the report lists all


def run_evaluation(
    cases: Path,
    *,
    url: str | None,
    with_champion: bool,
    junit: Path | None,
    as_json: bool,
) -> int:
    """Evaluate the agent and print the results.

    Args:
        cases: The file of cases.
        url: Evaluate the agent at this URL; by default, the agent in the source.
        with_champion: Compare with the champion's evaluation, if there is a champion.
        junit: Write JUnit XML to this file.
        as_json: Print JSON instead of a table.

    Returns:
        The exit code: 0 if the agent passed, 1 if it is below a threshold or worse than the
        champion, 2 if something could not be measured, 3 if the settings are invalid.
    """
    try:
        if junit:
            junit.parent.mkdir(parents=True, exist_ok=True)
        evaluation = evaluate(cases, url=url, with_champion=with_champion)
        if junit:
            junit.write_text(junit_report(evaluation), encoding="utf-8")
    except Exception as error:
        return report_error(error)
    except SystemExit as error:
        if isinstance(error.code, int) and error.code > 128:  # of a signal
            raise
        return report_error(
            ProjectError("The agent or a scorer called `sys.exit`. Raise another exception there.")
        )
    if as_json:
        click.echo(json.dumps(as_dict(evaluation), indent=2, ensure_ascii=False))
    else:
        print_evaluation(evaluation)
    return EXIT_CODES[evaluation.verdict.status]


def print_cases_from_traces(known: Path, condition: str) -> int:
    """Print a case per line for the traces that match a filter, except for known cases.

    Returns:
        The exit code: 0, 2 if the store is not usable, or 3 if the settings are invalid.
    """
    try:
        require_checkout()
        cases = load_cases(known) if known.exists() else []
        connect_store()
        traces = find_traces(os.environ["MLFLOW_EXPERIMENT_ID"], condition)
    except Exception as error:
        return report_error(error)
    found = cases_from(traces, cases)
    for case in found:
        click.echo(case.model_dump_json(exclude_none=True))
    file = known.relative_to(ROOT) if known.is_relative_to(ROOT) else known
    click.echo(
        f"{len(found)} new cases from {len(traces)} traces. Review them, and append them to "
        f"{file}.",
        err=True,
    )
    return 0


def report_error(error: Exception) -> int:
    """Print an error and return the exit code for it."""
    print_error(error)
    return INVALID_SETTINGS if isinstance(error, ConfigError) else EXIT_CODES["not measured"]


def evaluate(path: Path, *, url: str | None, with_champion: bool) -> Evaluation:
    """Answer the cases, judge the answers, and log the results to a run of MLflow."""
    require_checkout()
    config = load_config()
    if not config.thresholds:
        raise ConfigError("config.yml sets no `thresholds`, so every agent would pass. Set some.")
    cases, scorers = load_cases(path), load_scorers(config.judge)
    os.environ |= ENVIRONMENT
    store = connect_store()
    has_registry = with_champion and config.registered_model()
    champion = champion_run(Registry()) if has_registry else None
    before = load_rows(champion) if champion else []
    respond = responder(config, url)
    check_judge(config)
    target = without_password(url) if url else f"this source with {config.llm_uri()}"
    click.echo(f"Evaluating {target}: {len(cases)} cases, in {store} …", err=True)
    commit = evaluated_commit(path, config, url)
    with mlflow.start_run(run_name="evaluate") as run:
        rows = evaluate_cases(cases, scorers, respond)
    run_id = run.info.run_id
    p_values = compare_runs(run_id, champion) if champion else {}
    verdict = judge_rows(rows, config, before, p_values)
    evaluation = Evaluation(run_id, commit, target, rows, verdict, before)
    log_evaluation(evaluation)
    return evaluation


def evaluated_commit(path: Path, config: Config, url: str | None) -> str | None:
    """Return the commit that an evaluation decides about, or None if it decides about none.

    The agent at a URL may be of another commit, and a release may use another LLM.
    """
    if url or path.resolve() != CASES.resolve():
        return None
    llm = config.llm_uri()
    if llm not in (config.llm, config.serving.environment.get("AGENT_LLM")):
        click.echo(
            f"This evaluation does not count for a release, which has {config.llm}.", err=True
        )
        return None
    return clean_commit()


def responder(config: Config, url: str | None) -> Respond:
    """Return the function that asks the agent: the one at a URL, or the one in the source."""
    if url:
        require_agent_at(url)
        return partial(respond_at, url, timeout=config.answer_timeout_seconds + 10)

    from ..agent import AGENT  # after the store is selected: importing it turns on tracing

    def respond(request: dict[str, Any]) -> dict[str, Any]:
        response = AGENT.predict(ResponsesAgentRequest.model_validate(request))
        return response.model_dump(exclude_none=True)

    return respond


def log_evaluation(evaluation: Evaluation) -> None:
    """Log the rows, the report and the verdict to the run, and write the report to a file."""
    page = html_report(evaluation, trace_location().get("trace_url"))
    REPORT.write_text(page, encoding="utf-8")
    client = MlflowClient()
    rows = ROWS.dump_json(evaluation.rows, indent=2).decode()
    client.log_text(evaluation.run_id, rows, ROWS_ARTIFACT)
    client.log_text(evaluation.run_id, page, f"evaluation/{REPORT.name}")
    client.log_text(evaluation.run_id, junit_report(evaluation), JUNIT_ARTIFACT)
    if evaluation.commit:
        client.set_tag(evaluation.run_id, "git_commit", evaluation.commit)
    # Last, because `register` looks for it.
    client.set_tag(evaluation.run_id, "evaluation", evaluation.verdict.status)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the checks as a table, failed cases, and what could not be measured."""
    checks = evaluation.verdict.checks
    widths = [
        max((len(text) for text in column), default=0)
        for column in ([check.scorer for check in checks], [check.measured for check in checks])
    ]
    for check in checks:
        mark = click.style("✓", fg="green") if check.passed else click.style("✗", fg="red")
        measured = f"{check.scorer:<{widths[0]}}  {check.measured:<{widths[1]}}"
        click.echo(f"{mark} {measured}  {check.required}")
        if not check.passed:
            for title in check.failed_cases[:SHOWN_CASES]:
                click.echo(f"    {title}")
            if (hidden := len(check.failed_cases) - SHOWN_CASES) > 0:
                click.echo(f"    and {hidden} more")
    for name in evaluation.scorers:
        if not any(check.scorer == name for check in checks):
            click.echo(f"- {name:<{widths[0]}}  no threshold")
    for problem in evaluation.verdict.problems:
        click.echo(f"{click.style('?', fg='yellow')} {problem}")
    status = evaluation.verdict.status
    click.echo(f"{status} with {len(evaluation.rows)} cases; see {REPORT.relative_to(ROOT)}")


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON values."""
    return {
        "status": evaluation.verdict.status,
        "problems": evaluation.verdict.problems,
        "checks": [asdict(check) for check in evaluation.verdict.checks],
        "rows": ROWS.dump_python(evaluation.rows, mode="json"),
        "run_id": evaluation.run_id,
        "commit": evaluation.commit,
        "compared_with_champion": bool(evaluation.champion),
    }
