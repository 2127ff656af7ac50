"""The contract of a generated project: each rule notices what it is there for."""

import gc
import json
import re
import runpy
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from docs.write_contract import PAGE, last_measured, page, rules_in
from tests.contract.breakages import BREAKAGES
from tests.contract.breakages.changes import Patch, while_answering
from tests.contract.breakages.model import DATABRICKS_TOKEN
from tests.contract.variations import TRIED_TOGETHER, VARIATIONS
from tests.contract.workbench import Workbench
from tests.helpers.agents import Agent, clean_environment, rules_of
from tests.helpers.template import TEMPLATE

# Serves the agent until its input ends.
PLAIN_SERVER = Path(__file__).with_name("plain_server.py")
# What the rules ask of the repository's own server, and of no other.
OF_OWN_SERVER = {"complete-responses", "responsive-server"}


def test_every_rule_is_tried(agent: Agent) -> None:
    assert rules_of(agent.folder) == {breakage.rule for breakage in BREAKAGES.values()}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_rule_notices(name: str, workbench: Workbench) -> None:
    breakage = BREAKAGES[name]
    with workbench.agent.changed(breakage.patches):
        found = workbench.findings(breakage.rule)[breakage.rule]
    assert found.result == "broken", found
    assert re.search(breakage.says, found.seen), found.seen
    assert found.mend


@pytest.mark.parametrize("names", TRIED_TOGETHER, ids=", ".join)
def test_sound_variations_raise_no_alarm(names: tuple[str, ...], workbench: Workbench) -> None:
    with workbench.agent.changed(patch for name in names for patch in VARIATIONS[name]):
        found = workbench.findings()
    assert found.keys() == rules_of(workbench.agent.folder)
    alarms = {name: one for name, one in found.items() if one.result in ("broken", "unchecked")}
    assert not alarms


def test_every_variation_is_tried() -> None:
    assert sorted(VARIATIONS) == sorted(name for names in TRIED_TOGETHER for name in names)


def test_no_other_thread_parses_while_the_contract_does(tmp_path: Path) -> None:
    file = tmp_path / "many.py"
    file.write_text("print([1, 2, 3])\n" * 5_000)
    syntax_tree = runpy.run_path(str(TEMPLATE / "tests/contract/syntax.py"))["syntax_tree"]
    phases: list[str] = []
    gc.callbacks.append(note := lambda phase, _: phases.append(phase))
    try:
        tree = syntax_tree(file)
    finally:
        gc.callbacks.remove(note)
    assert len(tree.body) == 5_000
    assert not phases
    assert gc.isenabled()


def test_verify_finds_the_same_and_prints_it_as_json(workbench: Workbench) -> None:
    with workbench.agent.patched("input_example.json", '"user"', '"system"'):
        found = workbench.findings("task", "input-example")
        only = ("--only", "task", "--only", "input-example")
        printed = findings_of(workbench.agent, *only)
    assert printed == {rule: (one.result, one.seen) for rule, one in found.items()}
    assert printed["input-example"] == ("broken", "It holds no message with the role user.")


def findings_of(agent: Agent, *options: str, **variables: str) -> dict[str, tuple[str, str]]:
    """The result of each rule that `verify` checks, and what it saw."""
    done = agent.run("weather-agent", "verify", "--json", *options, **variables)
    assert done.stdout, done.stderr
    rules: list[dict[str, Any]] = json.loads(done.stdout)["rules"]
    return {rule["name"]: (rule["result"], rule["seen"]) for rule in rules}


# What verify prints


def test_a_broken_rule_is_explained(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        only = ("--only", "input-example", "--only", "task")
        done = agent.run("weather-agent", "verify", *only)
    assert done.returncode == 1
    assert "✗ input-example" in done.stdout
    assert "✓ task" in done.stdout
    assert re.search(r"^    seen +It holds no message with the role user\.", done.stdout, re.M)
    assert re.search(r"^    why +\S", done.stdout, re.MULTILINE)
    assert re.search(r"^    mend +Write `input_example.json`", done.stdout, re.MULTILINE)
    assert "1 of 2 rules hold; broken: input-example." in done.stdout


def test_without_a_model_the_other_rules_are_left_open(workbench: Workbench) -> None:
    with workbench.agent.changed(BREAKAGES["a file that does not compile"].patches):
        found = workbench.findings()
    broken = [rule for rule, finding in found.items() if finding.result == "broken"]
    assert broken == ["accepted"]
    assert found["task"].result == "unchecked"
    assert "the rule `accepted` says why" in found["task"].seen
    assert found["print-call"].result == "holds"


def test_a_rule_that_does_not_exist_is_an_error_in_words(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--only", "no-such-rule")
    assert done.returncode == 1
    assert "No rule is named no-such-rule; there are " in done.stdout + done.stderr


def test_pytest_explains_a_broken_rule_in_words(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        done = agent.run("pytest", "-q", "tests/contract/test_model.py")
    assert "seen  It holds no message with the role user." in done.stdout
    assert "mend  Write `input_example.json`" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_agent_that_ends_the_process_is_reported(agent: Agent) -> None:
    with agent.changed([while_answering("        os._exit(3)\n")]):
        found = findings_of(agent, "--only", "accepted", "--only", "task")
    assert found["accepted"] == ("broken", "The agent ended the process, with status 3.")
    assert found["task"][0] == "unchecked"


def test_an_agent_that_never_answers_is_reported(agent: Agent) -> None:
    patches = (
        while_answering("        while True:\n            time.sleep(1)\n"),
        Patch("verify.py", "LONGEST_SILENCE = 90", "LONGEST_SILENCE = 15"),
    )
    with agent.changed(patches):
        found = findings_of(agent, "--only", "accepted", "--only", "task")
    assert found["accepted"] == ("broken", "The agent was still busy after 15 s.")
    assert found["task"][0] == "unchecked"


def test_a_request_that_never_begins_is_reported(agent: Agent) -> None:
    greeted = '"who are you" in str(request.input)'
    with agent.changed([while_answering(f"        while {greeted}:\n            time.sleep(1)\n")]):
        found = findings_of(agent, "--only", "side-by-side")
    assert found["side-by-side"] == (
        "broken",
        "For 20 s a request neither asked the LLM nor ended.",
    )


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("log_model.py", 'name="agent",', 'artifact_path="agent",'),
        (
            "log_model.py",
            '            name="agent",\n',
            '            name="agent",\n            signature=None,\n',
        ),
        ("agent.py", "    def predict(self", "    @mlflow.trace\n    def predict(self"),
    ],
)
def test_what_is_certain_is_mended_before_a_commit(
    agent: Agent, file: str, right: str, wrong: str
) -> None:
    path = agent.package / file
    sound = path.read_text(encoding="utf-8")
    config = ("--config", "tests/contract/source/sgconfig.yml")
    with agent.patched(file, right, wrong):
        agent.check("ast-grep", "scan", *config, "--update-all", "src")
        agent.check("ruff", "format", "src")
        assert path.read_text(encoding="utf-8") == sound


# A logged model

A_FEW_RULES = ("--only", "task", "--only", "no-secrets", "--only", "last-turn")


def test_a_registered_model_is_checked(agent: Agent) -> None:
    agent.check("weather-agent", "log", "--register", "checked")
    uri = ("--model-uri", "models:/checked/1")
    found = findings_of(agent, *uri, *A_FEW_RULES, "--only", "print-call")
    assert {rule: result for rule, (result, _) in found.items()} == {
        "task": "holds",
        "no-secrets": "holds",
        "last-turn": "holds",
        "print-call": "skipped",
    }


def test_the_folder_of_a_model_is_checked_and_not_the_source(agent: Agent) -> None:
    secret = Patch("tools.py", "TOOLS = [", f'TOKEN = "{DATABRICKS_TOKEN}"\nTOOLS = [')
    with agent.changed([secret]):
        logged = agent.check("weather-agent", "log")
    (model,) = re.findall(r"Logged models:/(\S+)", logged)
    folder = agent.folder / "mlartifacts" / "models" / model / "artifacts"
    found = findings_of(agent, "--model-uri", str(folder), *A_FEW_RULES)
    assert found["no-secrets"][0] == "broken"
    assert "tools.py:" in found["no-secrets"][1]
    assert found["last-turn"][0] == "holds"


def test_a_model_that_is_not_there_is_an_error_in_words(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--model-uri", "models:/no-such-model/1")
    assert done.returncode == 1
    assert "Error: models:/no-such-model/1 cannot be had from sqlite:///" in done.stderr
    assert "Traceback" not in done.stderr


# A server


@pytest.fixture
def served_agent(agent: Agent) -> Iterator[str]:
    """The address of the agent behind MLflow's server, which promises less than the agent's."""
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


def test_a_server_is_checked_at_its_url(agent: Agent, served_agent: str) -> None:
    found = findings_of(agent, "--url", served_agent)
    results = {rule: result for rule, (result, _) in found.items()}
    held = {"every-request", "stream-text", "served-answers", "openai-client", "bad-requests"}
    assert {results[rule] for rule in held} == {"holds"}
    assert {results[rule] for rule in OF_OWN_SERVER | {"task", "token"}} == {"skipped"}
    assert {*results.values()} == {"holds", "skipped"}
    for rule in OF_OWN_SERVER:
        assert "Only the repository's own server promises this" in found[rule][1]


def test_the_server_that_is_tried_has_no_other_settings_than_its_own(agent: Agent) -> None:
    rules = ("token", "responsive-server", "openai-client")
    only = [option for rule in rules for option in ("--only", rule)]
    settings = {
        "AGENT_TOKEN": "a-token",
        "AGENT_MAX_REQUESTS": "1",
        "AGENT_TRACES_PER_SECOND": "many",
    }
    found = findings_of(agent, *only, **settings)
    assert found == dict.fromkeys(rules, ("holds", ""))


class TokenRecorder(BaseHTTPRequestHandler):
    """Keeps the tokens it is sent, and answers the same to everybody."""

    tokens: set[str | None]
    body = json.dumps({"output": [{"type": "message", "content": [{"text": "Hello"}]}]}).encode()

    def do_POST(self) -> None:
        self.tokens.add(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, likewise
        """Say nothing."""


def test_a_server_gets_the_token_of_the_environment(agent: Agent) -> None:
    TokenRecorder.tokens = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenRecorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/invocations"
        only = ("--only", "last-turn")
        done = agent.run("weather-agent", "verify", "--url", url, *only, AGENT_TOKEN="a-token")
        server.shutdown()
    assert "✗ last-turn" in done.stdout, done.stderr
    assert TokenRecorder.tokens == {"Bearer a-token"}


def test_a_url_where_nobody_answers_is_an_error_in_words(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "Error: http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


# The page about it


def test_the_page_says_what_is_tried_here(workbench: Workbench) -> None:
    written = page(last_measured(), rules_in(workbench))
    assert PAGE.read_text(encoding="utf-8") == written, "Write it anew: make contract"
