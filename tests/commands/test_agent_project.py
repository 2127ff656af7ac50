"""A generated project, installed and used for real, the way its new owner would."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow.types.responses import RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA

from tests.conftest import Render
from tests.helpers.agents import Agent, clean_environment, install

QUESTION = "What time is it in Tokyo?"


def console_commands(markdown: str, heading: str) -> list[str]:
    """The commands of the first console block below a heading."""
    section = markdown.partition(heading)[2]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block, f"No commands below {heading!r}."
    return [line.partition("  #")[0].strip() for line in block[1].splitlines()]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a person who pastes it would."""
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
def logged_model(agent: Agent) -> str:
    """The URI that `log` prints."""
    printed = agent.check("weather-agent", "log")
    match = re.search(r"models:/m-\w+", printed)
    assert match, printed
    mlflow.set_tracking_uri(f"sqlite:///{agent.folder / 'mlflow.db'}")
    return match[0]


def test_its_own_checks_pass(agent: Agent) -> None:
    agent.check("ruff", "check")
    agent.check("ruff", "format", "--check")
    agent.check("ty", "check", "--error-on-warning")
    printed = agent.check("pytest")
    assert "passed" in printed
    assert "warning" not in printed


def test_it_calls_a_tool_and_answers(agent: Agent) -> None:
    printed = agent.check("weather-agent", "ask", QUESTION)
    call, output, answer = printed.strip().splitlines()
    assert call == '→ current_time({"place": "Tokyo"})'
    assert "Asia/Tokyo" in output
    assert output.removeprefix("← ") in answer
    assert "offline LLM" in answer


@pytest.mark.parametrize("command", [("ask", QUESTION), ("log",), ("verify",), ("--help",)])
def test_the_terminal_shows_no_noise(agent: Agent, command: tuple[str, ...]) -> None:
    errors = agent.run("weather-agent", *command).stderr
    assert [line for line in errors.splitlines() if not line.startswith("Logging to ")] == []


def test_verify_is_content(agent: Agent) -> None:
    printed = agent.check("weather-agent", "verify")
    (counts,) = re.findall(r"^(\d+) of (\d+) rules hold\.", printed, re.MULTILINE)
    assert counts[0] == counts[1] == str(printed.count("✓ "))


def test_the_logged_signature_is_mlflows_own(agent: Agent, logged_model: str) -> None:
    """Read back by this process, which knows nothing of the agent."""
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
    # With these two in the model, MLflow cannot restore its environment.
    assert not (folder / "uv.lock").exists()
    assert not (folder / "pyproject.toml").exists()


def test_a_request_makes_one_trace_with_its_parts_below(agent: Agent) -> None:
    store = f"sqlite:///{agent.folder / 'traces.db'}"
    agent.check("weather-agent", "ask", QUESTION, MLFLOW_TRACKING_URI=store)
    mlflow.set_tracking_uri(store)
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


def test_the_model_can_be_registered(agent: Agent) -> None:
    printed = agent.check("weather-agent", "log", "--register", "weather")
    assert "Registered weather, version 1" in printed


def test_mlflow_ui_finds_the_store(agent: Agent, logged_model: str) -> None:
    """`mlflow ui` is told nothing, so this asks MLflow where it would look."""
    script = "from mlflow.server import handlers; print(handlers._get_tracking_store().db_uri)"
    assert agent.check("python", "-c", script).strip().endswith("mlflow.db")


@pytest.mark.parametrize("answers", [{}, {"llm": "databricks:/my-endpoint"}])
def test_the_commands_after_copying_work_as_printed(
    answers: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "an agent" / "weather-agent"
    options = [f"--data={name}={value}" for name, value in answers.items()]
    copy = ("copier", "copy", "--defaults", "--data=project_name=weather-agent", *options)
    done = subprocess.run([*copy, snapshot, folder], capture_output=True, text=True, check=True)
    commands = re.findall(r"^  (\S.*)$", done.stderr.partition("Next:")[2], re.MULTILINE)
    commands = [command for command in commands if not command.startswith("If uv is missing")]
    programs = [command.split()[0] for command in commands]
    assert programs == ["cd", "git", "uv", "git", "git", "uv", "uv"]
    script = " && ".join(commands)
    if answers:
        script = f"export AGENT_LLM=offline:/demo; {script}"
    pasted = shell(script, tmp_path)
    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    assert "rules hold." in pasted.stdout


def test_the_commands_of_the_readme_work_as_written(agent: Agent) -> None:
    readme = (agent.folder / "README.md").read_text(encoding="utf-8")
    commands = console_commands(readme, "## Quick start")
    assert len(commands) == 4
    commands += [
        line for line in console_commands(readme, "## Development") if "copier" not in line
    ]
    for command in commands:
        done = shell(command, agent.folder)
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"


def test_help_fits_a_screen(agent: Agent) -> None:
    for command in ([], ["ask"], ["log"], ["verify"], ["serve"]):
        lines = agent.check("weather-agent", *command, "--help").splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80


def test_help_imports_nothing_heavy(agent: Agent) -> None:
    script = (
        "import sys; from weather_agent.cli import main; main(['--help'], standalone_mode=False); "
        "print(sorted({'mlflow', 'openai', 'pydantic', 'pytest', 'httpx'} & sys.modules.keys()))"
    )
    assert agent.check("python", "-c", script).endswith("[]\n")


def test_the_hooks_before_a_commit_pass_and_catch_conflicts(
    default_project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    agent = install(folder)
    git = ("git", "add", "--all")
    agent.check(*git)
    home = {"PRE_COMMIT_HOME": str(tmp_path / "pre-commit")}
    agent.check("pre-commit", "run", "--all-files", **home)
    marked = "<<<<<<< before updating\none\n=======\nanother\n>>>>>>> after updating\n"
    (folder / "notes.md").write_text(marked, encoding="utf-8")
    agent.check(*git)
    done = agent.run("pre-commit", "run", "--all-files", **home)
    assert done.returncode != 0
    assert "notes.md" in done.stdout


def test_a_lock_that_is_left_behind_says_so_and_what_to_type(agent: Agent) -> None:
    with agent.patched("pyproject.toml", '"tzdata>=2024.1"', '"tzdata>=2024.2"'):
        done = agent.run("uv", "sync", "--locked")
    assert done.returncode != 0
    assert "The lockfile at `uv.lock` needs to be updated" in done.stderr
    assert "run `uv lock`" in done.stderr


def test_a_longer_name_and_another_llm_pass_their_checks(render: Render, tmp_path: Path) -> None:
    answers = {
        "project_name": "the-longest-name-there-can-be1",
        "package_name": "another_package_name_of_30_chr",
        "llm": "databricks:/databricks-claude-sonnet-4",
        "ci": "none",
        "license": "MIT",
    }
    folder = tmp_path / "agent"
    shutil.copytree(render(**answers), folder)
    agent = install(folder)
    agent.check("ty", "check", "--error-on-warning")
    agent.check("pytest")
    printed = agent.run("the-longest-name-there-can-be1", "log")
    assert "offline:/demo answers the input example" in printed.stderr
    (model_file,) = folder.glob("mlartifacts/models/*/artifacts/MLmodel")
    model = yaml.safe_load(model_file.read_text(encoding="utf-8"))
    resources = model["resources"]["databricks"]
    assert resources == {"serving_endpoint": [{"name": "databricks-claude-sonnet-4"}]}
