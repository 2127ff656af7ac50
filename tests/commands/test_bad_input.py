"""Invalid input to an agent's commands: one error message with a hint, and no partial result."""

import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import Mock

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from tests.conftest import Package
from tests.helpers.agents import Agent, add_default_group
from tests.helpers.forked_commands import ForkedCommands, forked_commands
from tests.server.serving import free_port

ASK = ("ask", "What time is it in Tokyo?")
SERVE = ("serve", f"--port={free_port()}")


@pytest.fixture(scope="module")
def commands(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    """The commands of the agent."""
    with forked_commands(agent, tmp_path_factory.mktemp("commands")) as running:
        yield running


def error_of(commands: ForkedCommands, *arguments: str, **environment: str) -> str:
    """Run a command that must fail, and return its only error message."""
    done = commands.run(*arguments, **environment)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "hint: " not in done.stderr
    return errors[0]


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        ("openai:/gpt-5-mini", "OPENAI_API_KEY is not set. Set it"),
        ("databricks:/an-endpoint", "Set DATABRICKS_HOST and DATABRICKS_TOKEN"),
        ("gpt-5-mini", "offline:/demo, openai:/MODEL or databricks:/ENDPOINT"),
        ("offline:/no-such-model", "its models: demo, tools"),
        ("offline:/fail", "status 500"),
        ("offline:/cut", "stopped in the middle of its answer. Try again."),
    ],
)
def test_llm_that_cannot_answer(commands: ForkedCommands, llm: str, words: str) -> None:
    assert words in error_of(commands, *ASK, AGENT_LLM=llm)


@pytest.mark.parametrize(
    ("parameter", "arguments"),
    [
        ("[QUESTION]...", ["ask", " "]),
        ("[QUESTION]...", ["ask", "", ""]),
        ("--register", ["log", "--register", ""]),
        ("--model-uri", ["verify", "--model-uri", ""]),
        ("--url", ["verify", "--url", ""]),
        ("--host", ["serve", "--host", "", "--port=0"]),  # so that it never starts
    ],
)
def test_empty_value(commands: ForkedCommands, parameter: str, arguments: list[str]) -> None:
    what = "question" if "ask" in arguments else "value"
    words = f"Invalid value for '{parameter}': The {what} is empty. "
    assert words in error_of(commands, *arguments)


@pytest.mark.parametrize("name", ["models:/weather", "main/weather", "..", "weather:1"])
def test_name_that_mlflow_does_not_register(commands: ForkedCommands, name: str) -> None:
    words = "A model name cannot contain `/` or `:`, and cannot consist only of dots."
    assert words in error_of(commands, "log", "--register", name)


def test_question_without_quotation_marks(commands: ForkedCommands) -> None:
    assert '→ current_time({"place": "Tokyo"})' in commands.run("ask", *ASK[1].split()).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port=0"], "0 is not in the range 1<=x<=65535"),
        (["--port=70000"], "70000 is not in the range 1<=x<=65535"),
        (["--workers=0"], "0 is not in the range x>=1"),
        (["--reload", "--workers=2"], "Pass --reload or --workers, not both."),
        (["--host=[::2]"], "Cannot listen at ::2, port 8000: "),
        # No machine has this address.
        (["--host=192.0.2.1"], "192.0.2.1, port 8000: Cannot assign requested address. Pass"),
        (["--host=no.host.invalid"], "Cannot listen at no.host.invalid, port 8000: "),
    ],
)
def test_options_of_serve(commands: ForkedCommands, options: list[str], words: str) -> None:
    assert words in error_of(commands, "serve", *options)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AGENT_MAX_REQUESTS": "many"}, "AGENT_MAX_REQUESTS is invalid: "),
        ({"AGENT_LLM": "opnai:/x"}, "'opnai:/x' is not the URI of an LLM."),
        ({"AGENT_LLM": "openai:/m"}, "OPENAI_API_KEY is not set."),
    ],
)
def test_settings_of_serve(commands: ForkedCommands, variables: dict[str, str], words: str) -> None:
    assert words in error_of(commands, *SERVE, **variables)


def test_port_in_the_environment(commands: ForkedCommands) -> None:
    words = "Invalid value for '--port' (env var: 'DATABRICKS_APP_PORT'): 'abc' is not a valid"
    assert words in error_of(commands, "serve", DATABRICKS_APP_PORT="abc")


def test_workers_that_cannot_import_the_agent(agent: Agent, commands: ForkedCommands) -> None:
    with agent.patched("tools.py", "def current_time(", "1 / 0\n\n\ndef current_time("):
        done = commands.run(*SERVE, "--workers=2")
    assert done.stderr.startswith("error: ZeroDivisionError: division by zero\nhint: see src/")


def test_unexpected_error_has_its_type_and_a_hint(agent: Agent, commands: ForkedCommands) -> None:
    before, call, _ = (
        (agent.package / "agent.py").read_text("utf-8").partition("to_messages(items)")
    )
    with agent.patched("agent.py", call, '{}["no-key"]'):
        done = commands.run(*ASK)
    line = before.count("\n") + 1
    command = "uv run weather-agent --debug ask 'What time is it in Tokyo?'"
    assert done.stderr.splitlines() == [
        "error: KeyError: 'no-key'",
        f"hint: see src/weather_agent/agent.py, line {line}, or run `{command}` for the traceback",
    ]


def test_expected_error_has_no_hint(agent: Agent, commands: ForkedCommands) -> None:
    with agent.patched("config.yml", "seconds: 180", "seconds: 0.0001"):
        done = commands.run(*ASK)
    text = "The answer took longer than answer_timeout_seconds in config.yml."
    assert done.stderr.splitlines() == [f"error: {text}"]


def test_debug_prints_the_traceback(commands: ForkedCommands) -> None:
    done = commands.run("--debug", *ASK, AGENT_LLM="offline:/fail")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "LLMError" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "max_rounds: 8",
            "max_round: 8",
            "max_rounds: Field required; max_round: This name is unknown.",
        ),
        ("resources: {}", "color: red", "color: This name is unknown."),
        ("max_rounds: 8", "# max_rounds: 8", "config.yml is invalid: max_rounds: Field required."),
        (None, "", "config.yml contains no settings. Write lines such as `max_rounds: 8`."),
        ("max_rounds: 8", "max_rounds: none", "max_rounds: Input should be a valid integer"),
        ("max_rounds: 8", "max_rounds: 0", "greater than or equal to 1"),
        ("max_rounds: 8", "max_rounds: true", "max_rounds: Input should be a valid integer"),
        ("max_rounds: 8", "max_rounds: [", 'in "config.yml", line 9, column'),
        ("max_rounds: 8", "max_rounds: 8\nmax_rounds: 9", "sets max_rounds more than once"),
        (
            "resources: {}",
            "resources: {table: [a.b.c], table: [a.b.d]}",
            "sets resources.table more than once",
        ),
        ("answer_timeout_seconds: ", "answer_timeout_seconds: .inf # ", "finite number"),
        ("resources: {}", "resources: {endpoint: [a]}", "'serving_endpoint'"),
        ("resources: {}", "resources: {table: a}", "resources.table: Input should be a valid list"),
        ("resources: {}", "resources: [a]", "resources: Input should be an object."),
    ],
)
def test_invalid_setting(
    agent: Agent, commands: ForkedCommands, old: str | None, new: str, words: str
) -> None:
    with agent.patched("config.yml", old, new):
        assert words in error_of(commands, *ASK)


@pytest.mark.parametrize("name", ["config.yml", "instructions.md", "input_example.json"])
def test_file_that_is_not_utf8(agent: Agent, commands: ForkedCommands, name: str) -> None:
    path = agent.package / name
    before = path.read_bytes()
    path.write_bytes(before + "# Grüße\n".encode("latin-1"))
    try:
        command = ("log",) if name == "input_example.json" else ASK
        assert f"{name} is not UTF-8 text. Save it as UTF-8." in error_of(commands, *command)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["config.yml", "instructions.md", "input_example.json"])
def test_missing_file(agent: Agent, commands: ForkedCommands, tmp_path: Path, name: str) -> None:
    path = agent.package / name
    path.rename(tmp_path / name)
    try:
        command = ("log",) if name == "input_example.json" else ASK
        words = f"Restore it: `git checkout -- src/weather_agent/{name}`."
        assert error_of(commands, *command) == f"error: {name} is missing. {words}"
    finally:
        (tmp_path / name).rename(path)


def test_input_example_that_is_not_json(agent: Agent, commands: ForkedCommands) -> None:
    with agent.patched("input_example.json", '"input": [', '"input": '):
        assert "input_example.json is not valid JSON" in error_of(commands, "log")


OTHER_VERSION = ("pyproject.toml", '"tzdata>=2024.1",', '"tzdata>=2024.2",')
CONFLICT = "<<<<<<< ours\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (*OTHER_VERSION, "needs to be updated, .* Run `uv lock` and commit it"),
        ("uv.lock", None, "", "TOML .* Resolve its merge conflict, or delete it and run `uv lock`"),
        ("uv.lock", None, CONFLICT, "Resolve its merge conflict, or delete it and run `uv lock`"),
        ("pyproject.toml", "[project]\n", f"{CONFLICT}[project]\n", r"TOML .* column \d+\)"),
    ],
)
def test_invalid_lock_file(
    agent: Agent, commands: ForkedCommands, file: str, old: str | None, new: str, words: str
) -> None:
    with agent.patched(file, old, new):
        assert re.search(f"uv cannot export uv.lock .*{words}[.]$", error_of(commands, "log"))


def test_log_messages_of_uv_are_not_its_error(agent: Agent, commands: ForkedCommands) -> None:
    with agent.patched(*OTHER_VERSION):
        message = error_of(commands, "log", RUST_LOG="debug")
    assert message.startswith("error: uv cannot export uv.lock (The lockfile")


def test_missing_lock_file(agent: Agent, commands: ForkedCommands, tmp_path: Path) -> None:
    lock = agent.folder / "uv.lock"
    lock.rename(tmp_path / "uv.lock")
    try:
        assert error_of(commands, "log").endswith("Run `uv lock` and commit it.")
    finally:
        (tmp_path / "uv.lock").rename(lock)


def test_missing_uv(agent: Agent) -> None:
    command = str(agent.folder / ".venv" / "bin" / "weather-agent")
    done = agent.run("env", "-u", "UV", "PATH=/usr/bin:/bin", command, "log")
    assert done.returncode == 1
    assert "uv was not found. Install it" in done.stderr


PRINT_PINS = """
from weather_agent.ops.requirements import locked_requirements
print(*(line.partition("==")[0] for line in locked_requirements()))
"""


def test_variables_of_uv_do_not_select_another_project(agent: Agent) -> None:
    variables = ("UV_PROJECT=/", "UV_WORKING_DIR=/no/folder", "UV=/no/uv")
    assert "tzdata" in agent.check("env", *variables, "python", "-c", PRINT_PINS).split()


def test_lock_file_of_a_workspace(agent: Agent, default_project: Path, tmp_path: Path) -> None:
    member = tmp_path / "agents" / "weather-agent"
    shutil.copytree(default_project, member)
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["agents/*"]\n')
    agent.check("uv", "lock", "--quiet", "--project", str(tmp_path))
    source = str(member / "src")
    pins = agent.check("python", "-c", PRINT_PINS, PYTHONPATH=source)
    assert "tzdata" in pins.split()
    program = "from weather_agent.commands.doctor import check_packages; print(check_packages())"
    found = agent.check("python", "-c", program, PYTHONPATH=source)
    assert "the Dockerfile cannot build a member of a workspace" in found


def test_development_groups_are_not_pinned(
    agent: Agent, default_project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(default_project, folder)
    add_default_group(folder)
    source = str(folder / "src")
    pins = agent.check("python", "-c", PRINT_PINS, PYTHONPATH=source, UV_DEV="1").split()
    assert "tzdata" in pins
    assert not {"ruff", "pytest"} & set(pins)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
            "http://127.0.0.1:9 is not usable: cannot connect ([Errno 111] Connection refused). "
            "Check MLFLOW_TRACKING_URI and the other MLFLOW_… variables.",
        ),
        (
            {"MLFLOW_EXPERIMENT_ID": "999"},
            "mlflow.db is not usable: No Experiment with id=999 exists. Check MLFLOW_EXPERIMENT_ID",
        ),
        ({"MLFLOW_TRACKING_URI": "foo://bar"}, "locations. Check MLFLOW_TRACKING_URI"),
    ],
)
def test_store_that_is_not_usable(
    commands: ForkedCommands, variables: dict[str, str], words: str
) -> None:
    assert words in error_of(commands, *ASK, **variables)


def test_password_of_the_store_is_not_printed(commands: ForkedCommands) -> None:
    words = error_of(commands, *ASK, MLFLOW_TRACKING_URI="http://me:sesame@127.0.0.1:9")
    assert "MLflow's store http://me:***@127.0.0.1:9 is not usable" in words
    assert "sesame" not in words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "FATAL: too many clients\n",
            "is not usable: FATAL: too many clients. Check MLFLOW_TRACKING_URI",
        ),
        (
            MlflowException("Detected out-of-date database schema"),
            "Back it up, and run `uv run mlflow db upgrade STORE_URI` with the URI of the store.",
        ),
    ],
)
def test_errors_of_a_database_server(
    package: Package, monkeypatch: pytest.MonkeyPatch, error: str | Exception, words: str
) -> None:
    store = package("ops.store")
    uri = "postgresql://me:sesame@db.example/mlflow"
    monkeypatch.setattr(store.mlflow, "get_tracking_uri", lambda: uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    raised = database_error(error) if isinstance(error, str) else error
    monkeypatch.setattr(store, "_select_experiment", Mock(side_effect=raised))
    with pytest.raises(package("ops.project").ProjectError, match=re.escape(words)) as caught:
        store.connect_store()
    assert "sesame" not in str(caught.value)


def database_error(message: str) -> Exception:
    """Return an error of a database as SQLAlchemy, which only MLflow depends on, raises it."""
    error = import_module("sqlalchemy.exc").OperationalError("SELECT 1", {}, Exception(message))
    error.__context__ = error.orig
    return error


def test_local_store_in_a_missing_folder(commands: ForkedCommands) -> None:
    words = error_of(commands, *ASK, MLFLOW_TRACKING_URI="sqlite:////no/folder/mlflow.db")
    assert "Cannot lock /no/folder/mlflow.db.lock (unable to open database file)." in words


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("sqlite:///FOLDER/text.txt", "text.txt is not usable: file is not a database."),
        ("sqlite:///FOLDER", "is not usable: unable to open database file."),
        ("sqlite://", "sqlite:// is in memory"),
        ("sqlite:///:memory:", "sqlite:///:memory: is in memory"),
    ],
)
def test_store_that_is_no_database(
    commands: ForkedCommands, tmp_path: Path, store: str, words: str
) -> None:
    (tmp_path / "text.txt").write_text("This is a text." * 100, encoding="utf-8")
    store = store.replace("FOLDER", str(tmp_path))
    assert words in error_of(commands, *ASK, MLFLOW_TRACKING_URI=store)


def test_store_of_another_repository_gets_no_lock_file(
    commands: ForkedCommands, tmp_path: Path
) -> None:
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    assert commands.run(*ASK, **variables).returncode == 0
    lock = tmp_path / "mlflow.db.lock"
    lock.unlink()  # now it is as if MLflow alone had created the store
    assert commands.run(*ASK, **variables).returncode == 0
    assert not lock.exists()


def test_store_without_its_driver(commands: ForkedCommands) -> None:
    words = error_of(commands, *ASK, MLFLOW_TRACKING_URI="postgresql://127.0.0.1:9/db")
    assert "needs a package: No module named 'psycopg" in words


def test_empty_store_variable_selects_the_default(
    agent: Agent, commands: ForkedCommands, tmp_path: Path
) -> None:
    done = agent.run(
        *("uv", "run", "--no-sync", "--project", str(agent.folder), "--directory", str(tmp_path)),
        *("weather-agent", *ASK),
        MLFLOW_TRACKING_URI="",
        MLFLOW_EXPERIMENT_ID="",
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_failed_log_leaves_no_model(agent: Agent, commands: ForkedCommands) -> None:
    store = f"sqlite:///{agent.folder / 'failed.db'}"
    assert error_of(commands, "log", MLFLOW_TRACKING_URI=store, AGENT_LLM="offline:/fail")
    mlflow.set_tracking_uri(store)
    experiment = mlflow.get_experiment_by_name("weather-agent")
    assert experiment
    ids = [experiment.experiment_id]
    models = mlflow.search_logged_models(experiment_ids=ids, output_format="list")
    assert [model for model in models if model.status == "READY"] == []


def test_env_file_is_read(agent: Agent, commands: ForkedCommands) -> None:
    env = agent.folder / ".env"
    env.write_text("AGENT_LLM=offline:/fail\n", encoding="utf-8")
    try:
        assert "offline:/fail" in error_of(commands, *ASK)
        assert "Tokyo" in commands.run(*ASK, AGENT_LLM="offline:/demo").stdout
    finally:
        env.unlink()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"AGENT_TOKEN: sesame\n", ".env is invalid at line 1. Write NAME=VALUE."),
        (b"# Token\nAGENT_TOKEN\n", ".env is invalid at line 2. Write NAME=VALUE."),
        (b"A=1\nAGENT_TOKEN='sesame\n", ".env is invalid at line 2. Write NAME=VALUE."),
        (b"AGENT_TOKEN=ses\0ame\n", ".env is invalid at line 1. Write NAME=VALUE."),
        ("AGENT_TOKEN=sesame\n".encode("utf-16"), ".env is not UTF-8 text. Save it as UTF-8."),
    ],
)
def test_env_file_that_is_invalid(
    agent: Agent, commands: ForkedCommands, content: bytes, words: str
) -> None:
    env = agent.folder / ".env"
    env.write_bytes(content)
    try:
        assert error_of(commands, *ASK) == f"error: {words}"
    finally:
        env.unlink()


def test_env_file_that_is_a_folder(agent: Agent, commands: ForkedCommands) -> None:
    env = agent.folder / ".env"
    env.mkdir()
    try:
        assert error_of(commands, *ASK) == (
            "error: .env cannot be read: Is a directory. Replace it with a file that you may read."
        )
    finally:
        env.rmdir()


def test_env_file_may_have_a_byte_order_mark(agent: Agent, commands: ForkedCommands) -> None:
    env = agent.folder / ".env"
    env.write_text("AGENT_LLM=offline:/fail\n", encoding="utf-8-sig")
    try:
        assert "offline:/fail" in error_of(commands, *ASK)
    finally:
        env.unlink()


def test_installed_copy_requires_the_repository(agent: Agent, tmp_path: Path) -> None:
    site = tmp_path / "site"
    agent.check("uv", "pip", "install", "--quiet", "--no-deps", "--target", str(site), ".")
    script = "from weather_agent.commands.cli import main; main(['verify'])"
    done = agent.run("python", "-P", "-c", script, PYTHONPATH=str(site))
    assert done.returncode == 1
    assert "runs from an installed copy" in done.stderr
