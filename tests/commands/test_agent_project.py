"""A generated project, installed and used as its owner would."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow.types.responses import RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA

from tests.helpers.agents import Agent, clean_environment, install

QUESTION = "What time is it in Tokyo?"
# What `log` and MLflow report while they log and register a model.
PROGRESS = ("Logging to ", "Successfully registered model ", "Created version ")

# The runs of shell commands, by command.
Runs = dict[str, subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Copied:
    """A new agent.

    Attributes:
        folder: Its folder.
        printed: The commands that Copier printed.
        readme: The commands of the README's sections "Quick start" and "Development".
    """

    folder: Path
    printed: list[str]
    readme: list[str]


def console_commands(markdown: str, heading: str) -> list[str]:
    """Return the commands of the first console block under a heading."""
    section = markdown.partition(heading)[2]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block, f"No commands under {heading!r}."
    return [line.partition("  #")[0].strip() for line in block[1].splitlines()]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, as pasted into a terminal."""
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def ask_run(agent: Agent) -> subprocess.CompletedProcess[str]:
    """A run of `ask`, with traces in a store of its own."""
    store = f"sqlite:///{agent.folder / 'traces.db'}"
    return agent.run("weather-agent", "ask", QUESTION, MLFLOW_TRACKING_URI=store)


@pytest.fixture(scope="module")
def log_run(agent: Agent) -> subprocess.CompletedProcess[str]:
    """A run of `log` that also registers the model."""
    return agent.run("weather-agent", "log", "--register", "weather")


@pytest.fixture(scope="module")
def copied(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Copied:
    """An agent made with `copier copy`, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("an agent") / "weather-agent"
    copy = ("copier", "copy", "--defaults", "--data=project_name=weather-agent", snapshot, folder)
    done = subprocess.run(copy, capture_output=True, text=True, check=True)
    printed = re.findall(r"^  (\S.*)$", done.stderr.partition("Next:")[2], re.MULTILINE)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    headings = ("## Quick start", "## Development")
    written = [command for heading in headings for command in console_commands(readme, heading)]
    return Copied(folder, printed, [command for command in written if "copier" not in command])


@pytest.fixture(scope="module")
def runs(agent: Agent, copied: Copied) -> Runs:
    """A run of each command that Copier prints or the README lists, once and in this order.

    `agent` is installed before, because it shares the bytecode of its libraries.
    """
    enter, *printed = copied.printed
    # The test of `make demo` checks all rules.
    shorter = {
        "uv run pytest": "uv run pytest --ignore=tests/contract",
        "uv run weather-agent verify": "uv run weather-agent verify --only accepted",
    }
    return {
        name: shell(f"{enter} && {shorter.get(name, name)}", copied.folder.parent)
        for name in dict.fromkeys([*printed, *copied.readme])
    }


@pytest.fixture(scope="module")
def verify_run(runs: Runs) -> subprocess.CompletedProcess[str]:
    """A run of `verify`."""
    return runs["uv run weather-agent verify"]


@pytest.fixture(scope="module")
def logged_model(agent: Agent, log_run: subprocess.CompletedProcess[str]) -> str:
    """The URI of the model that `log` printed."""
    match = re.search(r"models:/m-\w+", log_run.stdout)
    assert match, log_run.stdout + log_run.stderr
    mlflow.set_tracking_uri(f"sqlite:///{agent.folder / 'mlflow.db'}")
    return match[0]


def test_ask_calls_a_tool_and_answers(ask_run: subprocess.CompletedProcess[str]) -> None:
    assert ask_run.returncode == 0, ask_run.stderr
    call, output, answer = ask_run.stdout.strip().splitlines()
    assert call == '→ current_time({"place": "Tokyo"})'
    assert "Asia/Tokyo" in output
    assert output.removeprefix("← ") in answer
    assert "offline LLM" in answer


@pytest.mark.parametrize("command", ["ask_run", "log_run", "verify_run"])
def test_commands_print_no_warnings(command: str, request: pytest.FixtureRequest) -> None:
    done: subprocess.CompletedProcess[str] = request.getfixturevalue(command)
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith(PROGRESS)] == []


def test_the_logged_signature_is_that_of_mlflow(agent: Agent, logged_model: str) -> None:
    """Read it in this process, which cannot import the agent."""
    info = mlflow.models.get_model_info(logged_model)
    assert info.signature is not None
    assert info.signature.inputs == RESPONSES_AGENT_INPUT_SCHEMA
    assert info.signature.outputs == RESPONSES_AGENT_OUTPUT_SCHEMA
    assert info.metadata == {"task": "agent/v1/responses"}


def test_the_logged_model_is_complete(agent: Agent, logged_model: str) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(logged_model))
    assert folder.is_relative_to(agent.folder / "mlartifacts")
    example = (agent.package / "input_example.json").read_text(encoding="utf-8")
    assert json.loads((folder / "input_example.json").read_text("utf-8")) == json.loads(example)
    requirements = (folder / "requirements.txt").read_text("utf-8").split()
    assert all("==" in line for line in requirements)
    names = [line.partition("==")[0] for line in requirements]
    assert {"mlflow", "openai", "httpx", "databricks-sdk"} <= set(names)
    assert len(names) == len(set(names))
    assert not {"pytest", "ruff", "weather-agent"} & set(names)
    # MLflow cannot restore the environment of a model that contains these two files.
    assert not (folder / "uv.lock").exists()
    assert not (folder / "pyproject.toml").exists()


def test_a_request_is_one_trace_with_a_span_for_each_step(
    agent: Agent, ask_run: subprocess.CompletedProcess[str]
) -> None:
    assert ask_run.returncode == 0, ask_run.stderr
    mlflow.set_tracking_uri(f"sqlite:///{agent.folder / 'traces.db'}")
    experiment = mlflow.get_experiment_by_name("weather-agent")
    assert experiment is not None
    (trace,) = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
    kinds = [(span.name, span.span_type, span.parent_id is None) for span in trace.data.spans]
    assert kinds == [
        ("predict_stream", "AGENT", True),
        ("chat demo", "CHAT_MODEL", False),
        ("current_time", "TOOL", False),
        ("chat demo", "CHAT_MODEL", False),
    ]


def test_commands_that_start_at_once_create_one_store(
    agent: Agent, default_project: Path, tmp_path: Path
) -> None:
    """Use a fresh copy with the environment of `agent`, because its store does not exist yet."""
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    script = "from weather_agent.commands.cli import main; main()"
    processes = [
        subprocess.Popen(
            [agent.folder / ".venv/bin/python", "-c", script, "ask", "Hello"],
            env=clean_environment() | {"PYTHONPATH": str(folder / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed
        assert printed.endswith("Hello\n")
    assert (folder / "mlflow.db").exists()


def test_log_registers_the_model(log_run: subprocess.CompletedProcess[str]) -> None:
    assert "Registered weather, version 1" in log_run.stdout


def test_mlflow_ui_finds_the_store(agent: Agent, logged_model: str) -> None:
    """`mlflow ui` has no options here, so this prints the store that MLflow uses by default."""
    script = "from mlflow.server import handlers; print(handlers._get_tracking_store().db_uri)"
    assert agent.check("python", "-c", script).strip().endswith("mlflow.db")


def test_copier_prints_the_next_commands(copied: Copied) -> None:
    programs = [command.split()[0] for command in copied.printed]
    assert programs == ["cd", "git", "uv", "git", "git", "uv", "uv"]


def test_the_commands_of_copier_and_the_readme_work_as_written(copied: Copied, runs: Runs) -> None:
    assert len(copied.readme) >= 8
    for command, done in runs.items():
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    assert shell("git status --porcelain", copied.folder).stdout == ""


def test_help_fits_a_screen(agent: Agent) -> None:
    for command in (
        "",
        "ask",
        "batch",
        "chat",
        "doctor",
        "log",
        "verify",
        "serve",
        "status",
        "update",
    ):
        lines = agent.check("weather-agent", *command.split(), "--help").splitlines()
        assert len(lines) <= 26
        assert max(map(len, lines)) <= 80


def test_help_imports_no_slow_library(agent: Agent) -> None:
    script = (
        "import sys; from weather_agent.commands.cli import main; "
        "main(['--help'], standalone_mode=False); "
        "print(sorted({'mlflow', 'openai', 'pydantic', 'pytest', 'httpx'} & sys.modules.keys()))"
    )
    assert agent.check("python", "-c", script).endswith("[]\n")


def test_pre_commit_hooks_pass_and_report_conflicts(default_project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    agent = install(folder)
    git = ("git", "add", "--all")
    agent.check(*git)
    home = {"PRE_COMMIT_HOME": str(tmp_path / "pre-commit")}
    agent.check("pre-commit", "run", "--all-files", **home)
    marked = "<<<<<<< before updating\none\n=======\nanother\n>>>>>>> after updating\n"
    (folder / "notes.md").write_text(marked, encoding="utf-8")
    (folder / "README.md.rej").write_text("@@ -1 +1 @@\n", encoding="utf-8")
    agent.check(*git)
    done = agent.run("pre-commit", "run", "--all-files", **home)
    assert done.returncode != 0
    assert "notes.md" in done.stdout
    assert "README.md.rej" in done.stdout


def test_an_outdated_lock_is_reported_with_a_fix(agent: Agent) -> None:
    with agent.patched("pyproject.toml", '"tzdata>=2024.1"', '"tzdata>=2024.2"'):
        done = agent.run("uv", "sync", "--locked")
    assert done.returncode != 0
    assert "The lockfile at `uv.lock` needs to be updated" in done.stderr
    assert "run `uv lock`" in done.stderr
