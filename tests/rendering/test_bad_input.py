"""Bad input to a generated project: one sentence with the way out, and nothing half-done."""

from pathlib import Path

import mlflow
import pytest

from tests.helpers.agents import Agent

ASK = ("weather-agent", "ask", "What time is it in Tokyo?")
LOG = ("weather-agent", "log")


def refused(agent: Agent, *command: str, **environment: str) -> str:
    """Run a command that must fail, and return the one sentence it says."""
    done = agent.run(*command, **environment)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        ("openai:/gpt-5-mini", "OPENAI_API_KEY is not set. Set it"),
        ("databricks:/an-endpoint", "Set DATABRICKS_HOST and DATABRICKS_TOKEN"),
        ("gpt-5-mini", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("offline:/no-such-model", "it has demo, tools"),
        ("offline:/fail", "status 500"),
        ("offline:/cut", "broke off in the middle of its answer. Ask again."),
    ],
)
def test_an_llm_that_cannot_answer(agent: Agent, llm: str, words: str) -> None:
    assert words in refused(agent, *ASK, AGENT_LLM=llm)


def test_an_empty_question(agent: Agent) -> None:
    assert "ask something" in refused(agent, "weather-agent", "ask", " ")


def test_debug_shows_the_traceback(agent: Agent) -> None:
    done = agent.run("weather-agent", "--debug", *ASK[1:], AGENT_LLM="offline:/fail")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "LLMError" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_rounds: 8", "max_round: 8", "max_rounds: Field required; max_round: Extra inputs"),
        ("max_rounds: 8", "max_rounds: none", "max_rounds: Input should be a valid integer"),
        ("max_rounds: 8", "max_rounds: 0", "greater than or equal to 1"),
        ("max_rounds: 8", "max_rounds: [", "YAML"),
        ("resources: {}", "resources: {endpoint: [a]}", "'serving_endpoint', 'function'"),
        ("resources: {}", "resources: {table: a}", "resources.table: Input should be a valid list"),
    ],
)
def test_a_wrong_setting(agent: Agent, old: str, new: str, words: str) -> None:
    with agent.patched("config.yml", old, new):
        assert words in refused(agent, *ASK)


def test_an_example_that_is_no_json(agent: Agent) -> None:
    with agent.patched("input_example.json", '"input": [', '"input": '):
        assert "input_example.json holds no JSON" in refused(agent, *LOG)


def test_a_lock_that_is_out_of_date(agent: Agent) -> None:
    with agent.patched("pyproject.toml", '"tzdata>=2024.1",', '"tzdata>=2024.2",'):
        assert "Run `uv lock`, and commit it" in refused(agent, *LOG)


def test_a_missing_lock(agent: Agent, tmp_path: Path) -> None:
    lock = agent.folder / "uv.lock"
    lock.rename(tmp_path / "uv.lock")
    try:
        assert "uv.lock is missing. Run `uv lock`" in refused(agent, *LOG)
    finally:
        (tmp_path / "uv.lock").rename(lock)


def test_no_uv(agent: Agent) -> None:
    command = str(agent.folder / ".venv" / "bin" / "weather-agent")
    done = agent.run("env", "-u", "UV", "PATH=/usr/bin:/bin", command, "log")
    assert done.returncode == 1
    assert "uv is needed to read uv.lock" in done.stderr


def test_a_store_that_is_down(agent: Agent) -> None:
    words = refused(agent, *ASK, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert "MLflow's store http://127.0.0.1:9 cannot be used" in words
    assert "Check MLFLOW_TRACKING_URI" in words


def test_a_failed_log_leaves_no_model(agent: Agent) -> None:
    store = f"sqlite:///{agent.folder / 'failed.db'}"
    assert refused(agent, *LOG, MLFLOW_TRACKING_URI=store, AGENT_LLM="offline:/fail")
    mlflow.set_tracking_uri(store)
    models = mlflow.search_logged_models(experiment_ids=["1"], output_format="list")
    assert [model for model in models if model.status == "READY"] == []


def test_env_file_is_read(agent: Agent) -> None:
    env = agent.folder / ".env"
    env.write_text("AGENT_LLM=offline:/fail\n", encoding="utf-8")
    try:
        assert "offline:/fail" in refused(agent, *ASK)
        assert "Tokyo" in agent.check(*ASK, AGENT_LLM="offline:/demo")
    finally:
        env.unlink()


def test_an_installed_copy_says_that_it_needs_the_repository(agent: Agent, tmp_path: Path) -> None:
    site = tmp_path / "site"
    agent.check("uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), ".")
    script = "from weather_agent.cli import main; main(['verify'])"
    done = agent.run("python", "-P", "-c", script, PYTHONPATH=str(site))
    assert done.returncode == 1
    assert "runs from an installed copy" in done.stderr
