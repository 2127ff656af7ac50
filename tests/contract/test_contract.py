"""The contract of a generated project: its rules, the report of `verify`, models and servers."""

import gc
import json
import os
import pty
import re
import runpy
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from docs.write_contract import PAGE, last_measured, page, rules_in
from tests.conftest import Package
from tests.contract.breakages.changes import SHORT_WAIT, Patch
from tests.contract.logged_model import LoggedModel
from tests.contract.workbench import Workbench
from tests.helpers.agents import Agent, clean_environment
from tests.helpers.template import TEMPLATE

# Serves the agent until stdin is closed.
PLAIN_SERVER = Path(__file__).with_name("plain_server.py")
# Only the repository's own server guarantees these rules.
RULES_OF_OWN_SERVER = {"complete-responses", "responsive-server"}
MESSAGES = "        messages = [self.system_message(request), *to_messages(request.input)]\n"


# The result of each rule, and what was found.
Results = dict[str, tuple[str, str]]


def in_answer(code: str) -> Patch:
    """Add code at the start of `answer`."""
    return Patch("agent.py", MESSAGES, code + MESSAGES)


def test_parsing_pauses_garbage_collection(tmp_path: Path) -> None:
    file = tmp_path / "many.py"
    file.write_text("print([1, 2, 3])\n" * 5_000)
    syntax_tree = runpy.run_path(str(TEMPLATE / "tests/contract/harness/syntax.py"))["syntax_tree"]
    phases: list[str] = []
    gc.callbacks.append(note := lambda phase, _: phases.append(phase))
    try:
        tree = syntax_tree(file)
    finally:
        gc.callbacks.remove(note)
    assert len(tree.body) == 5_000
    assert not phases
    assert gc.isenabled()


# The report of verify


def results_of(agent: Agent, *options: str, **variables: str) -> Results:
    """Run `verify`, and return for each rule its result and what was found."""
    done = agent.run("weather-agent", "verify", "--json", *options, **variables)
    assert done.stdout, done.stderr
    rules: list[dict[str, Any]] = json.loads(done.stdout)["rules"]
    return {rule["name"]: (rule["result"], rule["found"]) for rule in rules}


def only(*rules: str) -> list[str]:
    """Return the options that select rules."""
    return [option for rule in rules for option in ("--only", rule)]


def test_json_report(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        done = agent.run("weather-agent", "verify", "--json", *only("task", "input-example"))
    assert done.returncode == 1
    task, example = json.loads(done.stdout)["rules"]
    assert (task["name"], task["result"], task["passed"]) == ("task", "passed", True)
    assert example["name"] == "input-example"
    assert example["result"] == "failed"
    assert example["passed"] is False
    assert example["found"] == "The example has no message with the role user."
    assert example["fix"].startswith("Write `input_example.json`")
    # The names of the previous release.
    old = {"holds": "requirement", "mend": "fix", "seen": "found"}
    assert {name: example[name] for name in old} == {
        name: example[new] for name, new in old.items()
    }


def test_rules_that_cannot_be_checked_are_counted_by_cause(agent: Agent) -> None:
    without_uv = ("env", "-u", "UV", f"PATH={agent.folder / '.venv/bin'}")
    rules = only("accepted", "task", "signature", "print-call")
    done = agent.run(*without_uv, "weather-agent", "verify", *rules)
    assert done.returncode == 1
    assert "\n  found  ProjectError: uv was not found." in done.stdout
    assert "\n2 rules not checked: uv was not found, see `accepted`\n" in done.stdout
    assert re.search(r"^1 failed, 1 passed, 2 not checked in", done.stdout, re.MULTILINE)


# Runs the command line, but with the results of two rules instead of a run of the contract.
RECORDED_RESULTS = """
import os
import signal
import sys

from weather_agent.commands import cli, verify

names = ("exit-call", "print-call")
texts = {"requirement": "It passes …", "why": "Because.", "fix": "Fix it.", "subject": "source"}
events = [{"known": names}, {"rules": [{"name": name, **texts, "tests": 1} for name in names]}]
for name in names:
    events += [{"started": name}, {"name": name, "result": "passed", "found": "", "fix": ""}]
verify.run_contract = lambda options: (event for event in events)
cli.main(["verify", *sys.argv[1:]])
"""


# Closes the terminal while the results of the rules arrive.
CLOSED_TERMINAL = RECORDED_RESULTS.replace(
    "(event for event in events)",
    "(os.kill(os.getpid(), signal.SIGHUP) or event for event in events)",
)


@pytest.mark.parametrize(("prefix", "status"), [([], 129), (["nohup"], 0)], ids=str)
def test_closed_terminal(agent: Agent, prefix: list[str], status: int) -> None:
    command = [*prefix, agent.folder / ".venv/bin/python", "-c", CLOSED_TERMINAL]
    done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, check=False)
    assert done.returncode == status


def printed_on_a_terminal(agent: Agent, **variables: str) -> str:
    """Return what `verify` prints on a terminal for two rules that pass."""
    terminal, stdout = pty.openpty()
    command = [agent.folder / ".venv/bin/python", "-c", RECORDED_RESULTS]
    environment = {**clean_environment(), "TERM": "xterm", **variables}
    subprocess.run(command, cwd=agent.folder, env=environment, stdout=stdout, check=True)
    return os.read(terminal, 100_000).decode()


def test_progress_on_a_terminal(agent: Agent) -> None:
    printed = printed_on_a_terminal(agent)
    assert "\r\x1b[K0 of 2 rules, checking exit-call" in printed
    assert "\r\x1b[K1 of 2 rules, checking print-call" in printed
    assert "\x1b[32m✓" in printed


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_terminal_without_colors(agent: Agent, variables: dict[str, str]) -> None:
    printed = printed_on_a_terminal(agent, **variables)
    assert "✓ exit-call" in printed
    assert "\x1b" not in printed
    assert "checking" not in printed


def test_pipe_that_is_closed_early(agent: Agent) -> None:
    line = 'python -c "$PROGRAM" | head -n 1'
    done = agent.run("sh", "-c", line, PROGRAM=RECORDED_RESULTS)
    assert (done.stdout, done.stderr) == ("Checking the source …\n", "")


def test_closed_stdout(agent: Agent) -> None:
    done = agent.run("sh", "-c", 'python -c "$PROGRAM" >&-', PROGRAM=RECORDED_RESULTS)
    assert (done.returncode, done.stderr) == (0, "")


def test_encoding_without_marks(agent: Agent) -> None:
    command = ("python", "-c", RECORDED_RESULTS)
    printed = agent.check(*command, PYTHONIOENCODING="latin-1")
    assert "\nsource   ? exit-call             ? print-call\n" in printed
    printed = agent.check(*command, "--json", PYTHONIOENCODING="latin-1")
    assert json.loads(printed)["rules"][0]["requirement"] == "It passes …"


@pytest.mark.parametrize("code", ["TOOLS = [[", "raise GeneratorExit\n\nTOOLS = ["])
def test_only_failing_rule_without_a_model(workbench: Workbench, code: str) -> None:
    with workbench.agent.changed([Patch("tools.py", "TOOLS = [", code)]):
        found = workbench.findings()
    failed = [rule for rule, finding in found.items() if finding.result == "failed"]
    assert failed == ["accepted"]
    assert found["task"].result == "not checked"
    assert found["task"].found == "the agent is not logged, see `accepted`"
    assert found["print-call"].result == "passed"


def test_agent_that_prints_to_stdout(workbench: Workbench) -> None:
    with workbench.agent.changed([in_answer("        __import__('os').write(1, b'text')\n")]):
        found = workbench.findings("accepted", "task")
    assert {finding.result for finding in found.values()} == {"passed"}


def test_request_that_does_not_start(workbench: Workbench) -> None:
    hang = """        while "who are you" in str(request.input):
            await __import__("asyncio").sleep(1)
"""
    with workbench.agent.changed([SHORT_WAIT, in_answer(hang)]):
        finding = workbench.findings("side-by-side")["side-by-side"]
    assert finding.result == "failed"
    assert finding.found == "For 5 s a request neither called the LLM nor finished."


def test_import_of_a_moved_module(workbench: Workbench) -> None:
    moved = "from weather_agent.toolbox import Toolbox\n\nTOOLS = ["
    with workbench.agent.patched("tools.py", "TOOLS = [", moved):
        finding = workbench.findings("accepted")["accepted"]
    moved_to = "`weather_agent.toolbox` has moved to `weather_agent.runtime.toolbox`."
    assert finding.fix.startswith(moved_to)


def test_requirements_are_compared_as_versions_and_shown_without_passwords(
    workbench: Workbench, logged_model: LoggedModel
) -> None:
    urls = "git+https://me:secret@example.com/a\nb @ https://me:secret@example.com/b.whl\n"
    with logged_model.with_current_code() as model:
        file = model / "requirements.txt"
        pins = re.sub(r"(?m)^(tzdata==.+)$", r"\1.0", file.read_text(encoding="utf-8"))
        file.write_text(f"{pins}\n{urls}", encoding="utf-8")
        finding = workbench.findings("pinned-requirements", model=model)["pinned-requirements"]
    assert finding.result == "failed"
    assert finding.found.count(" is not a released version") == 2
    assert not re.search("tzdata|secret", finding.found)


UNDECLARED_IMPORTS = """
import contextlib
import typing

if typing.TYPE_CHECKING:
    import types_boto3_s3
with contextlib.suppress(ImportError):
    import orjson


def search() -> None:
    import cv2
    import google.cloud.storage
    import dateutil
    from databricks.sdk import WorkspaceClient
    from databricks.vector_search.client import VectorSearchClient
    from google.auth import jwt


TOOLS = ["""


def test_imports_of_undeclared_packages(workbench: Workbench) -> None:
    with workbench.agent.patched("tools.py", "TOOLS = [", UNDECLARED_IMPORTS):
        finding = workbench.findings("covered-imports")["covered-imports"]
    assert finding.result == "failed"
    assert re.findall("tools.py imports (.+?), which is not a dependency", finding.found) == [
        "cv2",
        "google.cloud.storage",
        "dateutil",
        "databricks.vector_search.client",
        "google.auth",
    ]
    assert re.findall(r".+?\.(?: |$)", finding.fix) == [
        "Add the package that provides `cv2` with `uv add`. ",
        "Add the package that provides `databricks.vector_search.client` with `uv add`. ",
        "Add the package that provides `google.cloud.storage` with `uv add`. ",
        "Run `uv add google-auth`. ",
        "Run `uv add python-dateutil`.",
    ]


def test_unknown_rule(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--only", "no-such-rule")
    assert done.returncode == 1
    assert "error: Unknown rule: no-such-rule. The rules are abandoned-streams," in done.stderr


def test_pytest_that_cannot_run(agent: Agent) -> None:
    with agent.patched("tests/contract/test_traces.py", "import json\n", "import jason\n"):
        done = agent.run("weather-agent", "verify", *only("task"))
    assert done.returncode == 1
    assert "error: pytest cannot run the contract. ModuleNotFoundError: No module" in done.stderr


def test_pytest_that_does_not_start(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "failing_plugin.py").write_text("raise RuntimeError('no database')\n")
    variables = {"PYTEST_PLUGINS": "failing_plugin", "PYTHONPATH": str(tmp_path)}
    done = agent.run("weather-agent", "verify", **variables)
    assert done.returncode == 1
    assert "error: pytest did not start: RuntimeError: no database. Check" in done.stderr


def test_folder_without_a_model(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--model-uri", "docs")
    assert done.returncode == 1
    assert "error: docs is not a logged model: it contains no file MLmodel." in done.stderr


def test_pytest_reports_a_failed_rule_in_words(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        done = agent.run("pytest", "-q", "tests/contract/test_model.py")
    assert "input-example: The saved input example is a valid Responses request" in done.stdout
    assert "\nfound The example has no message with the role user.\n" in done.stdout
    assert "\nfix   Write `input_example.json`" in done.stdout
    assert "Traceback" not in done.stdout


IMPORTS = """
import os
import signal
import warnings
from pathlib import Path
from threading import Thread

from .harness.rules import rule
"""
RULE = """

@rule("{name}", "More.", why="Because.", fix="Fix it.")
def test_{name}() -> None:
{code}
"""


def more_rules(**rules: str) -> Patch:
    """Add rules: their names, and the code that each runs."""
    tests = (
        RULE.format(name=name, code=indent(code.strip(), "    ")) for name, code in rules.items()
    )
    return Patch("tests/contract/test_more.py", None, IMPORTS + "".join(tests))


# Skips a rule, as hooks of the owner skip slow tests.
OWNERS_HOOKS = """
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "test_slow":
            item.add_marker(pytest.mark.skip(reason="needs --slow"))


def pytest_runtest_teardown(item):
    assert item.name != "test_cleanup", "The cleanup failed."


"""


@pytest.fixture(scope="module")
def results_of_more_rules(agent: Agent, left_behind: Path, failing_plugins: Path) -> Results:
    """The results of rules that are hard to run, with settings that should not apply to them."""
    section = "[tool.pytest.ini_options]\n"
    settings = """addopts = "--collect-only"
python_functions = ["check_*"]
strict = true
timeout = 1
"""
    ignored = "filterwarnings = [\n"
    rules = {
        "assertion": "assert not __debug__",
        "surrogate": r'assert os.getcwd() == "", "half: \ud83c"',
        "child": f"""
if os.fork() == 0:
    Path({str(left_behind)!r}).write_text(str(os.getpid()))
    while True:
        signal.pause()
""",
        "thread": "Thread(target=signal.pause).start()",
        "slow": "pass",
        "cleanup": "pass",
        "old": "warnings.warn('old', DeprecationWarning)",
    }
    patches = (
        Patch("commands/verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 3600"),
        Patch("pyproject.toml", section, section + settings),
        Patch("tests/conftest.py", "@pytest.fixture(", f"{OWNERS_HOOKS}@pytest.fixture("),
        Patch("pyproject.toml", ignored, f'{ignored}    "error",\n'),
        more_rules(**rules),
    )
    with agent.changed(patches):
        return results_of(
            agent,
            *only(*rules),
            PYTEST_ADDOPTS="-k nothing",
            PYTHONOPTIMIZE="1",
            PYTHONWARNINGS="error::DeprecationWarning",
            PYTHONPATH=str(failing_plugins),
        )


@pytest.fixture(scope="module")
def failing_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plugins that have the names of installed ones, and fail each test."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in ("timeout", "rerunfailures"):
        (folder / f"failing_{name}.py").write_text("def pytest_runtest_setup(): assert 0\n")
        (info := folder / f"{name}-1.0.dist-info").mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = failing_{name}\n")
    return folder


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the id of a process that a rule does not stop."""
    return tmp_path_factory.mktemp("left behind") / "process"


def test_settings_of_other_tests_do_not_affect_the_contract(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["assertion"][0] == "failed"
    assert results_of_more_rules["old"] == ("passed", "")


def test_rule_that_the_owner_skips(results_of_more_rules: Results) -> None:
    cause = "tests/conftest.py skips it (needs --slow)"
    assert results_of_more_rules["slow"] == ("not checked", cause)


def test_rule_whose_cleanup_fails(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["cleanup"] == ("failed", "The cleanup failed.")


def test_characters_that_cannot_be_printed(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["surrogate"] == ("failed", r"half: \ud83c")


def test_process_that_outlives_the_contract(
    results_of_more_rules: Results, left_behind: Path
) -> None:
    assert results_of_more_rules["child"] == ("passed", "")
    assert has_ended(int(left_behind.read_text()))


def test_thread_that_outlives_the_contract(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["thread"] == ("passed", "")


def test_assertions_of_the_harness_without_debug_mode(agent: Agent) -> None:
    patches = (
        Patch("tests/contract/harness/more.py", None, "def check():\n    assert 0, 'more'\n"),
        Patch(
            "tests/contract/test_more.py",
            None,
            "from .harness.more import check\n\n\ndef test_more():\n    check()\n",
        ),
    )
    with agent.changed(patches):
        # Without the fixtures, which import MLflow: Python caches no bytecode of it for `-O`.
        options = ("--noconftest", "tests/contract/test_more.py")
        done = agent.run("python", "-O", "-m", "pytest", *options)
    assert "AssertionError: more" in done.stdout


def test_folder_with_brackets_and_a_linked_environment(agent: Agent, tmp_path: Path) -> None:
    copy = tmp_path / "agents [new]"
    shutil.copytree(agent.folder, copy, ignore=shutil.ignore_patterns(".venv", ".git"))
    (copy / ".venv").symlink_to(agent.folder / ".venv")
    script = "from weather_agent.commands.cli import main; main()"
    command = (str(copy / ".venv/bin/python"), "-c", script, "verify", *only("packaged-files"))
    printed = agent.check(*command, PYTHONPATH=str(copy / "src"))
    assert re.search(r"^1 passed in", printed, re.MULTILINE)


def test_no_rules(agent: Agent) -> None:
    hook = "def pytest_itemcollected(item):\n    item.own_markers.clear()\n"
    with agent.patched("tests/conftest.py", "@pytest.fixture(", f"{hook}\n\n@pytest.fixture("):
        done = agent.run("weather-agent", "verify")
    assert done.returncode == 1
    assert "error: pytest found no rules in" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_interrupted_verify_ends_at_once(
    agent: Agent, tmp_path: Path, number: int, status: int
) -> None:
    os.mkfifo(started := tmp_path / "started")
    (temporary := tmp_path / "temporary").mkdir()
    wait = f"Path({str(started)!r}).write_text(str(os.getpid()))\nsignal.pause()"
    command = [agent.folder / ".venv/bin/weather-agent", "verify", *only("wait")]
    environment = clean_environment() | {"TMPDIR": str(temporary)}
    with (
        agent.changed([more_rules(wait=wait)]),
        subprocess.Popen(command, cwd=agent.folder, env=environment) as process,
    ):
        contract = int(started.read_text())  # waits for the rule
        process.send_signal(number)
        assert process.wait(30) == status
    assert has_ended(contract)
    assert not list(temporary.glob("tmp*"))


def has_ended(process_id: int) -> bool:
    """Wait until a process has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_agent_that_ends_the_process(agent: Agent) -> None:
    with agent.changed([in_answer("        __import__('os')._exit(3)\n")]):
        results = results_of(agent, *only("accepted", "task"))
    assert results["accepted"] == ("failed", "The agent ended the process with status 3.")
    assert results["task"] == ("not checked", "the agent ended the process with status 3")


def test_suspended_verify(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = package("commands.verify")
    monkeypatch.setattr(verify, "LONGEST_SILENCE", 0.05)
    command = ("sh", "-c", r"sleep 0.1; printf '\036{}\n'")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        # It sleeps for 0.1 s instead, until the other process has ended.
        monkeypatch.setattr(verify.time, "sleep", lambda _: process.wait())
        assert list(verify.read_lines(process)) == ["\x1e{}", ""]


def test_agent_that_never_answers(agent: Agent) -> None:
    patches = (
        in_answer("        while True:\n            pass\n"),
        Patch("commands/verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 15"),
    )
    with agent.changed(patches):
        results = results_of(agent, *only("accepted", "task"))
    assert results["accepted"] == ("failed", "The agent did not finish within 15 s.")
    assert results["task"][0] == "not checked"


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("ops/log_model.py", 'name="agent",', 'artifact_path="agent",'),
        (
            "ops/log_model.py",
            '            name="agent",\n',
            '            name="agent",\n            signature=None,\n',
        ),
        ("runtime/base.py", "    def predict(self", "    @mlflow.trace\n    def predict(self"),
    ],
)
def test_automatic_fixes(agent: Agent, file: str, right: str, wrong: str) -> None:
    path = agent.package / file
    original = path.read_text(encoding="utf-8")
    config = ("--config", "tests/contract/source/sgconfig.yml")
    with agent.patched(file, right, wrong):
        agent.check("ast-grep", "scan", *config, "--update-all", "src")
        agent.check("ruff", "format", "src")
        assert path.read_text(encoding="utf-8") == original


# A logged model


@pytest.fixture(scope="module")
def model_with_a_token(agent: Agent) -> str:
    """The output of `log --register` for an agent with a token in its source."""
    token = f"dapi{'0123456789abcdef' * 2}"
    with agent.patched("tools.py", "TOOLS = [", f'TOKEN = "{token}"\nTOOLS = ['):
        return agent.check("weather-agent", "log", "--register", "checked")


@pytest.mark.usefixtures("model_with_a_token")
def test_registered_model(agent: Agent) -> None:
    rules = only("task", "no-secrets", "last-turn", "print-call")
    results = results_of(agent, "--model-uri", "models:/checked/1", *rules)
    assert {rule: result for rule, (result, _) in results.items()} == {
        "task": "passed",
        "no-secrets": "failed",
        "last-turn": "passed",
        "print-call": "skipped",
    }


def test_folder_of_a_model(agent: Agent, model_with_a_token: str) -> None:
    (model,) = re.findall(r"Logged models:/(\S+)", model_with_a_token)
    folder = agent.folder / "mlartifacts" / "models" / model / "artifacts"
    result, found = results_of(agent, "--model-uri", str(folder), *only("no-secrets"))["no-secrets"]
    assert result == "failed"
    assert "tools.py:" in found


def test_missing_model(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--model-uri", "models:/no-such-model/1")
    assert done.returncode == 1
    assert "error: Could not load models:/no-such-model/1 from sqlite:///" in done.stderr
    assert "Traceback" not in done.stderr


# A server


@pytest.fixture
def mlflow_server(agent: Agent) -> Iterator[str]:
    """The URL of the agent behind MLflow's server, which guarantees less than the agent's own."""
    with subprocess.Popen(
        ["uv", "run", "--no-sync", "python", PLAIN_SERVER, agent.package.name],
        cwd=agent.folder,
        env=clean_environment() | {"AGENT_LLM": "offline:/demo"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()


def test_server_at_a_url(agent: Agent, mlflow_server: str) -> None:
    found = results_of(agent, "--url", mlflow_server)
    results = {rule: result for rule, (result, _) in found.items()}
    passed = {"every-request", "stream-text", "served-answers", "openai-client", "bad-requests"}
    assert {results[rule] for rule in passed} == {"passed"}
    assert {results[rule] for rule in RULES_OF_OWN_SERVER | {"task", "token"}} == {"skipped"}
    assert {*results.values()} == {"passed", "skipped"}
    for rule in RULES_OF_OWN_SERVER:
        assert (
            found[rule][1] == "omit --url to check what only the repository's own server guarantees"
        )


def test_settings_do_not_affect_the_agent_under_test(agent: Agent) -> None:
    rules = ("accepted", "one-trace", "token", "responsive-server", "openai-client")
    settings = {
        "AGENT_TOKEN": "a-token",
        "AGENT_MAX_REQUESTS": "1",
        "AGENT_MAX_BODY_BYTES": "1",
        "AGENT_TRACES_PER_SECOND": "many",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "SSL_CERT_FILE": "/nonexistent",
        "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    results = results_of(agent, *only(*rules), **settings)
    assert results == dict.fromkeys(rules, ("passed", ""))


class TokenRecorder(BaseHTTPRequestHandler):
    """Records the tokens of all requests, which get the same answer."""

    tokens: set[str | None]
    body = json.dumps({"output": [{"type": "message", "content": [{"text": "Hello"}]}]}).encode()

    def do_POST(self) -> None:
        self.tokens.add(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, the base class has it
        """Log nothing."""


def test_token_for_a_server(agent: Agent) -> None:
    TokenRecorder.tokens = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenRecorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/invocations"
        options = ("--url", url, *only("last-turn"))
        done = agent.run("weather-agent", "verify", *options, AGENT_TOKEN="a-token")
        server.shutdown()
    assert "✗ last-turn" in done.stdout, done.stderr
    assert TokenRecorder.tokens == {"Bearer a-token"}


@pytest.mark.parametrize("token", ["sesame\n", "sesamë"])
def test_token_that_cannot_be_sent(agent: Agent, token: str) -> None:
    done = agent.run("weather-agent", "verify", "--url", "http://127.0.0.1:9", AGENT_TOKEN=token)
    assert done.returncode == 1
    assert "error: AGENT_TOKEN contains a space, a line break" in done.stderr
    assert "sesam" not in done.stderr


def test_unreachable_url(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "error: Could not reach http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


# The page about the contract


def test_contract_page_is_up_to_date(workbench: Workbench) -> None:
    written = page(last_measured(), rules_in(workbench))
    assert PAGE.read_text(encoding="utf-8") == written, "Run `make contract`."
