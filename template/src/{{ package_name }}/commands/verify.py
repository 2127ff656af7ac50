"""Checks the contract: runs `tests/contract` with pytest and reports the result of each rule."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ..ops.project import PACKAGE, ROOT, ProjectError, cause_of, require_checkout
from .report import Report

CONTRACT = ROOT / "tests" / "contract"
# In the order of the dependencies between rules; the report has the same order.
SUBJECTS = (
    *("model", "requests", "answers", "users", "streams", "llm"),
    *("traces", "server", "loading", "tools", "source", "files", "bundle"),
)
RECORD_SEPARATOR = "\x1e"
LONGEST_SILENCE = 90  # seconds without an event, after which the agent counts as hanging
READ_INTERVAL = 0.02  # seconds between reads of the output
# What the owner sets for other tests must not change how pytest runs the contract.
SETTINGS = ("addopts=", "filterwarnings=", "python_functions=test", "strict_config=false")
PLUGINS = ("cacheprovider", "rerunfailures", "timeout")
VARIABLES = ("PYTEST_ADDOPTS", "PYTHONOPTIMIZE", "PYTHONWARNINGS")
# Their functions only wait for those of the owner.
TEMPLATE_FOLDERS = ("commands", "ops", "runtime", "server")
# What precedes the stacks, from harness/stacks.py or from a timer of faulthandler.
STACKS = ("Stacks:", "Timeout (")
# A line of a stack.
_FRAME = re.compile(r'File "(.+)", line (\d+) in (\w+)')


def verify(
    only: Sequence[str] = (),
    *,
    model_uri: str | None = None,
    url: str | None = None,
    allow_skipped: bool = False,
    verbose: bool = False,
    as_json: bool = False,
) -> Report:
    """Check the agent in the source, which is logged to a temporary store, and print a report.

    Args:
        only: The names of the rules to check; by default, all.
        model_uri: Check this logged or registered model instead, or the model in this folder.
        url: Check the agent at this URL instead.
        allow_skipped: Skip rules that the tests cannot check for this agent.
        verbose: Print the full sentence of each rule.
        as_json: Print the report as JSON.

    Raises:
        ProjectError: A rule does not exist, the model or the URL is not available, or pytest
            cannot run the tests.
    """
    require_checkout()
    options = [f"--rule={name}" for name in only]
    if allow_skipped:
        options.append("--allow-skipped")
    with TemporaryDirectory() as folder:
        if model_uri:
            options.append(f"--model-path={folder_of(model_uri, Path(folder))}")
        if url:
            from ..ops.remote import require_agent_at  # imports MLflow, which takes seconds

            require_agent_at(url)
            options.append(f"--url={url}")
        report = Report(quiet=as_json, verbose=verbose)
        report.print(f"Checking {url or model_uri or 'the source'} …")
        with closing(run_contract(options)) as events:
            for event in events:
                report.add(event)
    if unknown := set(only) - set(report.known):
        raise ProjectError(
            f"Unknown rule: {', '.join(sorted(unknown))}. The rules are {', '.join(report.known)}."
        )
    report.finish()
    if as_json:
        click.echo(report.to_json())
    return report


def folder_of(model_uri: str, folder: Path) -> Path:
    """Return the folder of a model; download a logged or registered model into `folder`.

    Raises:
        ProjectError: The model is not available, or the folder contains no model.
    """
    local = Path(model_uri)
    path = local.resolve() if local.is_dir() else download_model(model_uri, folder / "model")
    if not (path / "MLmodel").is_file():
        raise ProjectError(
            f"{model_uri} is not a logged model: it contains no file MLmodel. Pass the folder of a "
            "model, or a URI such as models:/NAME/1."
        )
    return path


def download_model(model_uri: str, folder: Path) -> Path:
    """Download a model from MLflow's store, and return its folder."""
    import mlflow
    from mlflow.exceptions import MlflowException

    from ..ops.store import connect_store

    store = connect_store()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        return Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise ProjectError(
            f"Could not load {model_uri} from {store}: {cause_of(error)}. Pass a URI such as "
            "models:/NAME/1 or the folder of a model, and check MLFLOW_TRACKING_URI."
        ) from error


def run_contract(options: Sequence[str]) -> Generator[dict[str, Any]]:
    """Run the contract in another process, which a broken agent can end or block.

    Yields:
        The events of `tests/contract/harness/reporting.py` as they happen. The last event is
        `{"ended": REASON}`, with a `fix` if a function of the agent did not return.

    Raises:
        ProjectError: pytest does not start; the message contains its output.
    """
    files = sorted(CONTRACT.glob("test_*.py"), key=_position)
    # In an absolute path, a `[` would start a parameter.
    paths = [str(path.relative_to(ROOT)) for path in files]
    overrides = [f"--override-ini={setting}" for setting in SETTINGS]
    settings = [*overrides, f"--rootdir={ROOT}", *(f"-pno:{plugin}" for plugin in PLUGINS)]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *settings, "--json-events", *options, *paths],
        cwd=ROOT,
        env={name: os.environ[name] for name in os.environ if name not in VARIABLES},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        output: list[str] = []
        has_events = False
        try:
            for event in read_events(read_lines(process), output):
                if "finished" in event:  # threads of the agent may keep the process alive
                    status = event["finished"]
                    break
                has_events = True
                yield event
            else:
                status = process.poll()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes the agent has started
    if not has_events:
        cause = failure_of_start(status, output)
        raise ProjectError(f"pytest did not start: {cause}. Check tests/conftest.py.")
    if status is None:
        reason = f"The agent did not finish within {LONGEST_SILENCE} s"
        if position := running_line(output):
            fix = "Let the function finish: limit its loops, and give its requests a timeout."
            yield {"ended": f"{reason}: it runs {position}.", "fix": fix}
        else:
            yield {"ended": f"{reason}."}
    else:
        yield {"ended": f"The agent ended the process with status {status}."}


def failure_of_start(status: int | None, output: Sequence[str]) -> str:
    """Return why pytest ended, or was stopped, before its first event."""
    if status is None:
        return f"it did not collect the tests within {LONGEST_SILENCE} s"
    if any(line.startswith(("Traceback", "E  ")) for line in output):
        return output[-1].removeprefix("E  ").strip()
    return " ".join(output) or f"it exited with {status}"


def read_lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines of a process until it ends or prints no event for `LONGEST_SILENCE` seconds.

    The end of its output may come later, if the process leaves others behind.
    """
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    line = b""
    silence = 0.0  # seconds, without those in which this process is suspended
    while silence < LONGEST_SILENCE:
        has_ended = process.poll() is not None
        printed = process.stdout.read() or b""
        *lines, line = (line + printed).split(b"\n")
        yield from (one.decode(errors="replace") for one in lines)
        if has_ended and not printed:
            break
        time.sleep(READ_INTERVAL)
        silence = 0.0 if RECORD_SEPARATOR.encode() in printed else silence + READ_INTERVAL
    yield line.decode(errors="replace")


def read_events(lines: Iterable[str], output: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the events in the output of pytest, and append other text to `output`."""
    for line in lines:
        text, separator, record = line.partition(RECORD_SEPARATOR)
        if text:
            output.append(text)
        if separator:
            yield json.loads(record)


def running_line(output: Iterable[str]) -> str:
    """Return the line of the owner's code in the last stacks that pytest has printed, or ""."""
    position = ""
    for line in output:
        if line.startswith(STACKS):  # those of all threads follow again
            position = ""
        elif not position and (frame := _FRAME.search(line)):
            path, number, function = frame.groups()
            name = _name_in_package(path.replace(os.sep, "/"))
            if name and name.partition("/")[0] not in TEMPLATE_FOLDERS:
                position = f"{function} in {name}, line {number}"
    return position


def _name_in_package(path: str) -> str:
    """Return the name of a file in the agent's package, or "" if it is elsewhere."""
    folder, _, name = path.rpartition(f"/{PACKAGE.name}/")
    if not folder and path.endswith("/agent.py") and "/site-packages/" not in path:
        return "agent.py"  # MLflow's copy, beside that of the package
    return name if folder else ""


def _position(path: Path) -> int:
    """Return the position of a file of the contract; unknown subjects come last."""
    subject = path.stem.removeprefix("test_")
    return [*SUBJECTS, subject].index(subject)
