"""A program for an agent's environment: imports slow packages once, and runs jobs in forks.

`workbench.py` starts it in the agent's folder. Each line of its input is a job as JSON:

    {"do": "contract", "arguments": [ARGUMENT OF PYTEST, …], "printed": FILE, "seconds": NUMBER}
    {"do": "report", "arguments": [PACKAGE, OUTPUT, HOW IT ENDED, FINDINGS], "printed": FILE, …}
    {"do": "log", "arguments": [PACKAGE, FOLDER], "printed": FILE, "seconds": NUMBER}
    {"do": "mlflow", "arguments": [PACKAGE, FOLDER, NOTES, "provider" or ""], "printed": FILE, …}

Each job runs in its own child process, so that no job sees the modules, threads or settings of
another. Its output goes to the file `printed`. With `"spare_process": true`, the program that loads
a model elsewhere runs in a fork, too. The response to a job is the line `{"status": EXIT STATUS}`;
the status is null if the job was killed, because it printed no record for `seconds`.
"""

import os

# Threads do not survive a fork.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OPENBLAS_NUM_THREADS": "1"}

import gc
import importlib
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

IMPORTED_ONCE = (
    "aiohttp",
    "alembic.command",
    "anyio._backends._asyncio",
    "docstring_parser",
    "dotenv",
    "git",
    "httpcore",
    "httpx_aiohttp",
    "mlflow",
    "mlflow.genai.agent_server",
    "mlflow.openai",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "openai.types.chat",
    "openai.types.responses",
    "pandas",
    "pydantic_settings",
    "pytest",
    "sqlalchemy.dialects.sqlite",
    "starlette.applications",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)
REPOSITORY = Path.cwd()
STEP = 0.02  # seconds
RECORD_SEPARATOR = b"\x1e"  # before each event of the contract
spare_process = importlib.import_module("spare_process")  # in the folder of this program


def main() -> None:
    """Run jobs until stdin is closed."""
    # `verify` calls `python -m pytest`, which imports modules from the repository, too.
    sys.path[0] = str(REPOSITORY)
    for name in IMPORTED_ONCE:
        with suppress(ImportError):
            importlib.import_module(name)
    skip_requirement_check()
    gc.freeze()  # otherwise each child copies these objects when it collects garbage
    with tempfile.TemporaryDirectory() as folder:
        empty_store = Path(folder) / "mlflow.db"
        in_child(lambda: make_store(empty_store), Path(folder) / "printed.txt", 60)
        assert threading.active_count() == 1
        for line in sys.stdin:
            status = answer(json.loads(line), empty_store)
            print(json.dumps({"status": status}), flush=True)


def answer(job: dict[str, Any], empty_store: Path) -> int | None:
    """Run a job, and return the exit status of its process."""
    work = {"contract": check, "report": report, "log": log, "mlflow": try_mlflow}[job["do"]]

    def work_in_new_state() -> int | None:
        if job["spare_process"]:
            spare_process.use_for_programs(spare_process.SpareProcess())
        begin(empty_store)
        return work(*job["arguments"])

    return in_child(work_in_new_state, Path(job["printed"]), job["seconds"])


def check(*arguments: str) -> int:
    """Run pytest with these arguments."""
    import pytest

    return pytest.main([*arguments])


def report(package: str, output: str, how: str, findings: str) -> None:
    """Write the results that the project's own report reads from the output of the contract."""
    reader = importlib.import_module(f"{package}.commands.verify")
    report = reader.Report(quiet=True)
    with Path(output).open(encoding="utf-8") as lines:
        for event in reader.read_events(lines, []):
            report.add(event)
    report.add({"ended": how})
    keys = ("result", "found", "requirement", "fix")
    found = {one.name: {key: getattr(one, key) for key in keys} for one in report.findings}
    Path(findings).write_text(json.dumps(found), encoding="utf-8")


def log(package: str, folder: str) -> None:
    """Log the agent in a new store, and download the model to `model` in this folder."""
    import mlflow

    os.environ["AGENT_LLM"] = "offline:/demo"
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("log", artifact_location=Path(folder, "artifacts").as_uri())
    mlflow.set_experiment("log")
    logged = importlib.import_module(f"{package}.ops.log_model").log_agent()
    Path(folder, "model").mkdir()
    mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=f"{folder}/model")


def try_mlflow(package: str, folder: str, notes: str, provider: str) -> None:
    """Run the agent with MLflow alone."""
    sys.path.insert(1, str(Path(__file__).parent))
    alone = importlib.import_module("mlflow_alone")
    alone.try_all(package, Path(folder), Path(notes), has_provider=bool(provider))


def in_child(work: Callable[[], int | None], printed: Path, seconds: float) -> int | None:
    """Call a function in a child, and return its exit status; None if it took too long.

    Args:
        work: The function.
        printed: The file for its output.
        seconds: How long it may take without printing a record of the contract.
    """
    printed.touch()
    child = os.fork()
    if child:
        return wait(child, printed, seconds)
    status = 70  # an internal error of this program
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = int(work() or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(child: int, printed: Path, seconds: float) -> int | None:
    """Wait for a child, and kill it if it hangs; then kill all processes it started.

    As in `verify`, the waits consist of short steps, so that they take longer on a busy machine.
    """
    status = None
    silence = 0.0  # seconds
    with printed.open("rb") as output:
        while status is None and silence < seconds:
            ended, how = os.waitpid(child, os.WNOHANG)
            if ended:
                status = os.waitstatus_to_exitcode(how)
            else:
                time.sleep(STEP)
            silence = 0.0 if RECORD_SEPARATOR in output.read() else silence + STEP
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


def begin(empty_store: Path) -> None:
    """Give a child the state of a new process."""
    # If a file changes twice within a second without changing its length, bytecode is outdated.
    sys.dont_write_bytecode = True
    for folder in ("src", "tests"):
        for cache in (REPOSITORY / folder).rglob("__pycache__"):
            shutil.rmtree(cache, ignore_errors=True)
    importlib.invalidate_caches()
    copy_new_stores_from(empty_store)


def skip_requirement_check() -> None:
    """Let MLflow load models without comparing their requirements with what is installed.

    It takes a second per model, and only logs a warning.
    """
    import mlflow.pyfunc
    import mlflow.utils.environment

    for module in (mlflow.pyfunc, mlflow.utils.environment):
        vars(module)["warn_dependency_requirement_mismatches"] = lambda _: None


def make_store(path: Path) -> None:
    """Create an SQLite store; MLflow takes seconds to migrate its tables."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.search_experiments()


def copy_new_stores_from(empty_store: Path) -> None:
    """Create new SQLite stores as copies of an empty one that has all tables."""
    import mlflow
    import mlflow.tracking

    set_tracking_uri = mlflow.set_tracking_uri

    def copy_and_set(uri: Any) -> None:
        path = Path(str(uri).removeprefix("sqlite:///"))
        if str(uri).startswith("sqlite:///") and path.parent.is_dir() and not path.exists():
            shutil.copy(empty_store, path)
        set_tracking_uri(uri)

    for module in (mlflow, mlflow.tracking):
        vars(module)["set_tracking_uri"] = copy_and_set


if __name__ == "__main__":
    main()
