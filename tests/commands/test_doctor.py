"""`doctor`: what it finds in a working repository, and what it reports with a fix."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Package
from tests.helpers.agents import Agent, clean_environment
from tests.helpers.forked_commands import forked_commands
from tests.helpers.model_server import ChatServer, Turn, text
from tests.release.repositories import git
from tests.server.serving import empty_store, free_port

NAMES = [".env", "Python", "settings", "LLM", "store", "port", "packages", "updates"]


def test_a_working_repository_passes(agent: Agent, default_project: Path, tmp_path: Path) -> None:
    """Use a committed copy with the environment of `agent`, and a uv that is not on PATH."""
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    shutil.copy(agent.folder / "uv.lock", folder)
    (folder / ".env").write_text("AGENT_TOKEN=sesame\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Start")
    uv = shutil.which("uv")
    assert uv
    variables = {"PYTHONPATH": str(folder / "src"), "PATH": os.defpath, "UV": uv}
    script = "from weather_agent.commands.cli import main; main()"
    done = subprocess.run(
        [agent.folder / ".venv/bin/python", "-c", script, "doctor", f"--port={free_port()}"],
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["✓", name] for name in NAMES]
    assert "offline:/demo responds at" in done.stdout
    assert f"{folder / 'mlflow.db'} is usable" in done.stdout
    assert "sesame" not in done.stdout


def test_the_connection_to_the_llm_is_closed(
    agent: Agent, server: ChatServer, tmp_path: Path
) -> None:
    """Otherwise its client complains when the process ends."""
    server.reply(Turn(text("OK")))
    done = agent.run(
        *(agent.command, "doctor"),
        AGENT_LLM="openai:/m",
        OPENAI_BASE_URL=f"{server.url}/v1",
        MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}",
    )
    assert f"openai:/m responds at {server.url}" in done.stdout
    assert done.stderr == ""


def test_every_problem_has_a_fix_and_shows_no_secret(
    agent: Agent, server: ChatServer, tmp_path: Path
) -> None:
    server.reply(Turn(status=404, error="no model m for key sesame"))
    variables = {
        "AGENT_LLM": "openai:/m",
        "AGENT_MAX_REQUESTS": "many",
        "OPENAI_API_KEY": "sesame",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "MLFLOW_TRACKING_URI": f"http://me:sesame@127.0.0.1:{free_port()}",
    }
    with (
        forked_commands(agent, tmp_path) as commands,
        agent.patched(".env", None, "AGENT_TOKEN sesame\n"),
        agent.patched("pyproject.toml", '"tzdata>=2024.1",', '"tzdata>=2024.2",'),
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = taken.getsockname()[1]
        done = commands.run("doctor", "--json", f"--port={port}", **variables)
        old_store = tmp_path / "old.db"
        shutil.copy(empty_store(agent), old_store)
        with sqlite3.connect(old_store) as database:
            database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        old = commands.run("doctor", MLFLOW_TRACKING_URI=f"sqlite:///{old_store}")
    checks = json.loads(done.stdout)["checks"]
    messages = {check["name"]: check["message"] for check in checks if not check["passed"]}
    fixes = {
        ".env": "Write NAME=VALUE.",
        "settings": "AGENT_MAX_REQUESTS is invalid: ",
        "LLM": "no model m for key ***. Check the name of the model and the URL of the server.",
        "store": "http://me:***@127.0.0.1",
        "port": f"Port {port} is in use. Stop the program that uses it",
        "packages": "Run `uv lock` and commit it.",
        "updates": ".copier-answers.yml is not committed. Run `git add -A` and `git commit`.",
    }
    assert list(messages) == list(fixes)
    for name, fix in fixes.items():
        assert fix in messages[name]
    assert "sesame" not in done.stdout + done.stderr
    assert (done.returncode, old.returncode) == (1, 1)
    assert f"run `uv run mlflow db upgrade sqlite:///{old_store}`." in old.stdout


def test_an_agent_without_its_answers_passes(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    doctor = package("commands.doctor")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    answers = tmp_path / ".copier-answers.yml"
    assert "was removed" in doctor.check_updates()
    git(tmp_path, "init", "--quiet")
    answers.write_text("", encoding="utf-8")
    with pytest.raises(RuntimeError, match="is not committed"):
        doctor.check_updates()
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "Start")
    assert "is committed" in doctor.check_updates()
    answers.unlink()
    with pytest.raises(RuntimeError, match="is not committed"):
        doctor.check_updates()
    git(tmp_path, "commit", "--quiet", "--all", "-m", "Remove the answers")
    assert "was removed" in doctor.check_updates()


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET", "MLFLOW_TRACKING_PASSWORD"],
)
def test_the_values_of_secret_variables_and_passwords_in_urls_are_hidden(
    package: Package, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("AGENT_TOKEN", "")
    hide = package("commands.doctor").without_secrets
    assert hide("The key sesame is invalid") == "The key *** is invalid"
    assert hide("at http://me:please@127.0.0.1/v1") == "at http://me:***@127.0.0.1/v1"


def test_packages_of_another_version_are_reported(agent: Agent, tmp_path: Path) -> None:
    """Run the check in an environment without packages."""
    script = (
        "import sys; sys.prefix = sys.argv[1]; "
        "from weather_agent.commands.doctor import check_packages; check_packages()"
    )
    subprocess.run(["uv", "venv", "--quiet", tmp_path / "venv"], check=True)
    done = agent.run("python", "-c", script, str(tmp_path / "venv"))
    assert "The installed packages are not those of uv.lock. Run `uv sync`." in done.stderr
    environment = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    agent.check("uv", "sync", "--quiet", "--locked", "--no-default-groups", **environment)
    agent.check("python", "-c", script, str(tmp_path / "venv"))


def test_the_answers_of_an_agent_in_a_larger_repository_must_be_committed(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `copier update` fails, or updates from other answers."""
    doctor = package("commands.doctor")
    folder = tmp_path / "agents" / "weather-agent"
    folder.mkdir(parents=True)
    monkeypatch.setattr(doctor, "ROOT", folder)
    answers = folder / ".copier-answers.yml"
    answers.write_text("_commit: v1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "Start")
    refusal = r"\.copier-answers\.yml is not committed"
    with pytest.raises(RuntimeError, match=refusal):
        doctor.check_updates()
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "Add an agent")
    assert doctor.check_updates() == ".copier-answers.yml is committed"
    answers.write_text("_commit: v2\n")
    with pytest.raises(RuntimeError, match=refusal):
        doctor.check_updates()


def test_another_python_is_reported(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor = package("commands.doctor")
    monkeypatch.setattr(doctor, "metadata", lambda _: {"Requires-Python": "<3"})
    with pytest.raises(RuntimeError, match=r"^Python is 3\..*, not <3. Run `uv sync`.$"):
        doctor.check_python()


def test_a_store_that_does_not_respond_fails_soon(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor, timeout = package("commands.doctor"), "MLFLOW_HTTP_REQUEST_TIMEOUT"
    monkeypatch.setattr(doctor, "connect_store", lambda: f"with {os.environ[timeout]} seconds")
    monkeypatch.setenv(timeout, "5")
    assert doctor.check_store() == "with 5 seconds is usable"
    monkeypatch.delenv(timeout)
    assert doctor.check_store() == "with 10 seconds is usable"
