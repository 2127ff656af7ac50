"""The command `verify`: its report, its process, and settings that must not affect it."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path
from textwrap import indent

import psutil
import pytest

from tests.conftest import Package
from tests.contract.breakages.changes import Patch, at_import, in_agent, in_answer, tool
from tests.contract.variations import VARIATIONS
from tests.contract.verify import Results, only, results_of
from tests.helpers.agents import Agent, clean_environment
from tests.server.serving import wait_until


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
    keys = {"name", "requirement", "why", "fix", "subject", "result", "found", "passed"}
    assert example.keys() == keys


def test_rules_that_cannot_be_checked_are_counted_by_cause(agent: Agent) -> None:
    without_uv = ("env", "-u", "UV", f"PATH={agent.folder / '.venv/bin'}")
    rules = only("accepted", "task", "signature", "print-call")
    done = agent.run(*without_uv, "weather-agent", "verify", *rules)
    assert done.returncode == 1
    assert "\n  found  ProjectError: uv was not found." in done.stdout
    assert "\n2 rules not checked: uv was not found, see `accepted`\n" in done.stdout
    assert re.search(r"^1 failed, 1 passed, 2 not checked in", done.stdout, re.MULTILINE)


def test_an_llm_that_cannot_be_replaced(agent: Agent) -> None:
    patches = (
        *VARIATIONS["no LLM"],
        at_import("import socket\nfrom contextlib import suppress"),
        in_agent(
            "        text = str(to",
            "        with suppress(OSError):\n"
            '            socket.create_connection(("127.0.0.1", 9))\n'
            "        text = str(to",
        ),
    )
    command = ("weather-agent", "verify", *only("last-turn", "bounded-rounds"))
    with agent.changed(patches):
        done = agent.run(*command)
        assert done.returncode == 2
        assert "\n1 rule not proven: the agent connects to 127.0.0.1:9, and calls no" in done.stdout
        assert "1 passed, 1 skipped in" in agent.check(*command, "--allow-skipped")


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
    done = subprocess.run(
        command,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        check=False,
        preexec_fn=notice_closed_terminals,
    )
    assert done.returncode == status


def notice_closed_terminals() -> None:
    """Restore the default of the signal, which this process ignores if nohup started it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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


def test_pytest_that_hangs_before_it_starts(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "hanging_plugin.py").write_text("import time\ntime.sleep(3600)\n")
    variables = {"PYTEST_PLUGINS": "hanging_plugin", "PYTHONPATH": str(tmp_path)}
    patch = Patch("commands/verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 3")
    with agent.changed([patch]):
        done = agent.run("weather-agent", "verify", **variables)
    assert done.returncode == 1
    assert "did not start: it did not collect the tests within 3 s. Check" in done.stderr


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


# Skip one rule, as owners skip slow tests, and fail after another one.
OWNERS_HOOKS = """
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "test_slow":
            item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.hookimpl(trylast=True)
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
        "agent": 'exec(compile("assert False", "agent.py", "exec"))',
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


def test_assertion_of_the_agent(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["agent"] == ("failed", "AssertionError:")


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
    wait_until(lambda: not psutil.pid_exists(int(left_behind.read_text())))


def test_thread_that_outlives_the_contract(results_of_more_rules: Results) -> None:
    assert results_of_more_rules["thread"] == ("passed", "")


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
        assert process.wait(60) == status
    wait_until(lambda: not psutil.pid_exists(contract))
    assert not list(temporary.glob("tmp*"))


def test_agent_that_ends_the_process(agent: Agent) -> None:
    with agent.changed([in_answer("__import__('os')._exit(3)")]):
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


def test_the_last_stacks_name_the_line(package: Package) -> None:
    verify = package("commands.verify")
    stacks = "Timeout (0:00:40)!\nThread 0x00007f8 (most recent call first):\n"
    slow = f'  File "{verify.PACKAGE}/tools.py", line 7 in slow\n'
    endless = f'  File "{verify.PACKAGE}/tools.py", line 9 in endless\n'
    server = f'  File "{verify.PACKAGE}/server/app.py", line 5 in run\n'
    running_line = verify.running_line
    assert running_line((stacks + slow + endless).splitlines()) == "slow in tools.py, line 7"
    assert running_line((stacks + slow + stacks + server).splitlines()) == ""
    copy = '  File "/models/m-1/artifacts/agent.py", line 5 in answer\n'
    framework = '  File "/.venv/lib/site-packages/agents/agent.py", line 5 in run\n'
    assert running_line((stacks + framework + copy).splitlines()) == "answer in agent.py, line 5"
    text = stacks + slow + stacks + server + endless
    assert running_line(text.splitlines()) == "endless in tools.py, line 9"


def test_agent_that_never_answers(agent: Agent) -> None:
    patches = (
        in_answer("__import__('time').sleep(3600)"),
        Patch("commands/verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 45"),
    )
    with agent.changed(patches):
        results = results_of(agent, *only("accepted", "task"))
    result, found = results["accepted"]
    assert result == "failed"
    assert re.fullmatch(r"The agent .* 45 s: it runs \w+ in agent.py, line \d+.", found), found
    assert results["task"][0] == "not checked"


# Hangs in a tool, and for a long word of a user, while it holds the lock of Python.
ENDLESS = {
    "spin in tools.py": tool("spin", "def spin() -> None:\n    while True:\n        pass"),
    "answer in agent.py": (
        in_answer(
            "for item in request.input:\n"
            '    __import__("re").match(r"(\\w+\\.?)+@", str(getattr(item, "content", "")))\n'
        ),
    ),
}


@pytest.mark.parametrize("function", ENDLESS)
def test_function_that_never_returns(agent: Agent, function: str) -> None:
    patches = (
        *ENDLESS[function],
        Patch("commands/verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 45"),
        Patch("tests/contract/harness/stacks.py", "INTERVAL = 20", "INTERVAL = 4"),
    )
    with agent.changed(patches):
        results = results_of(agent, *only("callable-tools", "every-request"))
    result, found = results["every-request"]
    assert result == "failed"
    assert re.fullmatch(rf"The agent .* 45 s: it runs {function}, line \d+.", found), found
