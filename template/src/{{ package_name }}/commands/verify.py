"""Checking the contract: runs `tests/contract` and says of each rule whether it holds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import click

from ..ops.project import ROOT, ProjectError, require_checkout
from .report import Report

CONTRACT = ROOT / "tests" / "contract"
GROUPS = ("model", "answers", "streams", "llm", "traces", "server", "loading", "source")
LONGEST_SILENCE = 90  # seconds in which no test ends, after which the agent is taken to hang


def verify(
    only: Sequence[str] = (),
    *,
    model_uri: str | None = None,
    url: str | None = None,
    verbose: bool = False,
    as_json: bool = False,
) -> int:
    """Check the agent: its source tree, by way of a model logged into a throw-away store.

    Args:
        only: The names of the rules to check; all when there are none.
        model_uri: Check this logged or registered model instead, or the one in this folder.
        url: Check what answers at this URL instead.
        as_json: Print one JSON object, `{"rules": [{"name", "holds", "why", "mend", "result",
            "seen"}, …]}`, instead of a line for each rule.

    Returns:
        The exit status: 0 when no rule is broken, 1 when one is or cannot be checked.

    Raises:
        ProjectError: a name is no rule's, the model cannot be had, or the tests cannot be run.
    """
    require_checkout()
    begun = time.monotonic()
    options = [f"--rule={name}" for name in only]
    with TemporaryDirectory() as name:
        folder = Path(name)
        if model_uri:
            options.append(f"--model-path={folder_of(model_uri, folder)}")
        if url:
            require_agent_at(url)
            options.append(f"--url={url}")
        report = Report(quiet=as_json)
        report.say(f"Checking {url or model_uri or 'the source, by way of a fresh model'} …\n")
        for event in check(options, folder):
            report.take(event)
    if unknown := set(only) - set(report.known):
        raise ProjectError(
            f"No rule is named {', '.join(sorted(unknown))}; there are {', '.join(report.known)}."
        )
    report.say(f"\n{report.summary()} ({time.monotonic() - begun:.0f} s)")
    if as_json:
        findings = [asdict(finding) for finding in report.findings]
        click.echo(json.dumps({"rules": findings}, indent=2, ensure_ascii=False))
    return int(any(finding.result in ("broken", "unchecked") for finding in report.findings))


def folder_of(model_uri: str, folder: Path) -> Path:
    """Bring a logged or registered model here, unless it is in a folder already."""
    if Path(model_uri).is_dir():
        return Path(model_uri).resolve()
    import mlflow
    from mlflow.exceptions import MlflowException

    from ..ops.store import connect_store

    store = connect_store()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        return Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder / "model")))
    except (MlflowException, OSError) as error:
        raise ProjectError(
            f"{model_uri} cannot be had from {store}: {sentence(error)}. Give a URI such as "
            "models:/NAME/1, or the folder of a model; MLFLOW_TRACKING_URI says where to look."
        ) from error


def require_agent_at(url: str) -> None:
    """Make sure that an agent answers at a URL, and takes the token in AGENT_TOKEN.

    Raises:
        ProjectError: there is none, or it refuses the token; the message says what to do.
    """
    import httpx

    is_route = url.rstrip("/").endswith(("/invocations", "/responses"))
    route = url if is_route else f"{url.rstrip('/')}/invocations"
    token = os.environ.get("AGENT_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        status = httpx.post(route, json={}, headers=headers, timeout=60).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProjectError(
            f"{url} cannot be reached: {sentence(error)}. Start the server, or mend the address."
        ) from error
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ProjectError(
            f"{url} answers {status}: set AGENT_TOKEN to a token that may query the agent."
        )
    if status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
        raise ProjectError(
            f"{route} answers {status}: no agent is there. Give the address of a server, or the "
            "whole URL of an endpoint, which ends in /invocations."
        )


def check(options: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Run the contract and yield what `tests/contract/reporting.py` writes, as it comes.

    It runs in a process of its own, since a broken agent may end or block the one that asks it.
    The last event is `{"ended": how}`.

    Raises:
        ProjectError: pytest does not get as far as the tests; the message holds what it says.
    """
    findings, output = folder / "findings.jsonl", folder / "pytest.txt"
    findings.touch()
    settings = [f"--rootdir={ROOT}", "--override-ini=addopts=", "-p", "no:cacheprovider"]
    arguments = [*settings, f"--findings={findings}", *options, *map(str, groups_of_rules())]
    with (
        output.open("w", encoding="utf-8") as printed,
        findings.open(encoding="utf-8") as lines,
        subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        yield from follow(process, lines)
    if not findings.stat().st_size:
        raise ProjectError(f"The rules could not be run. {output.read_text(encoding='utf-8')}")


def sentence(error: Exception) -> str:
    """What an error says, without the full stop that it may end in."""
    return str(error).strip().rstrip(".")


def groups_of_rules() -> list[Path]:
    """The files of the contract; what others rest on comes first, what is not named comes last."""
    order = {f"test_{group}": number for number, group in enumerate(GROUPS)}
    return sorted(CONTRACT.glob("test_*.py"), key=lambda path: order.get(path.stem, len(order)))


def follow(process: subprocess.Popen[bytes], lines: TextIO) -> Iterator[dict[str, Any]]:
    """Yield the events that a process writes, until it ends or is stopped for its silence."""
    part_of_line = ""
    heard = time.monotonic()
    while True:
        running = process.poll() is None  # asked before reading, so that no last line is lost
        *whole_lines, part_of_line = (part_of_line + lines.read()).split("\n")
        yield from map(json.loads, whole_lines)
        if whole_lines:
            heard = time.monotonic()
        elif not running:
            yield {"ended": f"The agent ended the process, with status {process.returncode}."}
            return
        elif time.monotonic() - heard > LONGEST_SILENCE:
            process.kill()
            yield {"ended": f"The agent was still busy after {LONGEST_SILENCE} s."}
            return
        else:
            time.sleep(0.05)
