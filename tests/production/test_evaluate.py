"""`evaluate`: its exit codes, output and reports, with the real MLflow and a real server."""

import json
import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import mlflow
import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

from tests.chat_page.browser import browser
from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.helpers.forked_commands import ForkedCommands, forked_commands
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.serving import Served

CASES = "evaluation/cases.jsonl"
SCORERS = "evaluation/scorers.py"
ROWS = "evaluation/rows.json"
LLM = {"AGENT_LLM": "openai:/m", "OPENAI_API_KEY": "none"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store of the evaluations in this module."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def commands(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkedCommands]:
    """Runs commands of the agent."""
    with forked_commands(agent, tmp_path_factory.mktemp("commands")) as running:
        yield running


@pytest.fixture
def evaluate(commands: ForkedCommands, store: str) -> Any:
    """A function that runs `evaluate` and returns the finished process."""
    return lambda *options, **variables: commands.run(
        "evaluate", *options, **({"MLFLOW_TRACKING_URI": store} | variables)
    )


def case(*turns: str, **expectations: Any) -> str:
    """Return a line of `cases.jsonl`."""
    return json.dumps({"inputs": {"turns": turns}, "expectations": expectations}) + "\n"


def test_a_new_agent_passes_and_its_report_is_a_page(
    agent: Agent, evaluate: Any, store: str, tmp_path: Path
) -> None:
    done = evaluate(f"--junit={tmp_path / 'junit.xml'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed with 6 cases; see evaluation/report.html" in done.stdout
    assert "✓ expected_calls    6 of 6 cases  at least 0.9" in done.stdout

    report = agent.folder / "evaluation" / "report.html"
    with browser() as running:
        page = running.new_page()
        page.goto(report.as_uri())
        expect(page.locator("h1")).to_have_text("weather-agent: evaluation passed")
        expect(page.get_by_role("row", name="What time is it in Tokyo? →")).to_contain_text("Lima")
        expect(page.get_by_role("link", name="trace").first).to_be_visible()

    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("12", "0", "0")

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("weather-agent")
    assert experiment
    run = client.search_runs([experiment.experiment_id])[0]
    assert run.data.tags["evaluation"] == "passed"
    assert "git_commit" not in run.data.tags  # nothing is committed
    assert {file.path for file in client.list_artifacts(run.info.run_id, "evaluation")} == {
        *(ROWS, "evaluation/report.html", "evaluation/junit.xml"),
    }


def test_an_answer_below_a_threshold_exits_with_1(agent: Agent, evaluate: Any) -> None:
    wrong = case("What time is it in Tokyo?", facts=["Europe/Berlin"])
    with (
        agent.patched(CASES, None, wrong + case("Hello!")),
        agent.patched("config.yml", "model_name: main.default.weather_agent", 'model_name: ""'),
    ):
        done = evaluate("--json", GIT_DIR="/nowhere")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["commit"] is None  # there is no repository
    assert result["status"] == "failed"
    (failed,) = [check for check in result["checks"] if not check["passed"]]
    assert failed["scorer"] == "expected_facts"
    assert failed["failed_cases"] == ["What time is it in Tokyo?"]
    (score,) = [
        row["scores"]["expected_facts"] for row in result["rows"] if row["answer"][0] == "c"
    ]
    assert score["rationale"] == "Missing: ['Europe/Berlin']"


def test_calls_with_other_arguments_or_of_other_tools_fail(agent: Agent, evaluate: Any) -> None:
    cases = (
        case("What time is it in Tokyo?", calls=[])
        + case("What time is it in Rome?", calls=[call("current_time", place="Paris")])
        + case("Hello!", calls=[call("current_time", place="Tokyo")])
        + case(
            "How many days are there between 2026-01-31 and 2026-12-24?",
            calls=[call("days_between", end="2026-12-24", start="2026-01-31")],
        )
    )
    telemetry = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_SDK_DISABLED": "true",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "true",
    }
    with agent.patched(CASES, None, cases):
        done = evaluate("--json", **telemetry)
    (check,) = [
        one for one in json.loads(done.stdout)["checks"] if one["scorer"] == "expected_calls"
    ]
    assert check["measured"] == "1 of 4 cases"


def call(name: str, **arguments: str) -> dict[str, Any]:
    """Return an expected call."""
    return {"name": name, "arguments": arguments}


def test_expectations_that_no_scorer_reads_are_not_measured(agent: Agent, evaluate: Any) -> None:
    """They would expect nothing, so that every answer passes."""
    cases = case("Hello!", fact=["x"]) + case("Hi!", facts="x") + case("Good day!", facts=[1])
    with agent.patched(CASES, None, cases):
        done = evaluate("--json")
    assert done.returncode == 2
    rows = json.loads(done.stdout)["rows"]
    scores = [row["scores"]["expected_facts"] for row in rows]
    assert [score["error"] for score in scores] == [
        *("EXPECTATIONS in scorers.py does not contain ['fact']", "facts must be a list", ""),
    ]
    assert scores[2]["rationale"] == "Missing: [1]"


def test_cases_may_start_with_a_mark_and_contain_line_separators(
    package: Package, tmp_path: Path
) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + '{"inputs": {"turns": ["a\u2028b"]}}\r\n'.encode())
    (only,) = package("ops.cases").load_cases(file)
    assert only.inputs.turns == ["a\u2028b"]
    file.write_bytes('{"inputs": {"turns": ["ä"]}}'.encode("latin-1"))
    with pytest.raises(ValueError, match="Cannot read cases: 'utf-8' codec"):
        package("ops.cases").load_cases(file)


def test_an_answer_must_be_a_response_with_a_message(package: Package) -> None:
    contract = package("ops.evaluate").contract
    content = [{"type": "output_text", "text": "Hello!"}]
    message = {"type": "message", "id": "1", "role": "assistant", "content": content}
    assert contract(outputs={"output": [message]}) is True
    assert contract(outputs={"output": []}) is False
    with pytest.raises(ValueError, match="message"):
        contract(outputs={"output": [{"type": "message"}]})


def test_scorers_find_personal_data_and_ignore_the_order_of_calls(default_project: Path) -> None:
    names = runpy.run_path(str(default_project / SCORERS))
    for text_of_answer, passes in (
        *(("Mail joe@example.com", False), ("4111 1111 1111 1111", False)),
        *(("+49 30 1234567", False), ("It is 10:45 on 2026-01-31.", True)),
    ):
        message = {"type": "message", "content": [{"text": text_of_answer}]}
        assert names["no_personal_data"](outputs={"output": [message]}).value is passes
    calls = [call("now", place="Oslo", unit="s"), call("now", place="Lima")]
    spans = [
        SimpleNamespace(span_type="TOOL", name="now", inputs=inputs)
        for inputs in ({"place": "Lima"}, {"unit": "s", "place": "Oslo"})
    ]
    trace = SimpleNamespace(data=SimpleNamespace(spans=spans))
    assert names["expected_calls"](trace=trace, expectations={"calls": calls}).value is True
    assert names["expected_calls"](trace=trace, expectations={"calls": calls[:1]}).value is False


def test_each_turn_sends_the_conversation_and_the_custom_inputs(package: Package) -> None:
    requests: list[Any] = []

    def respond(request: dict[str, Any]) -> dict[str, Any]:
        requests.append(request | {"input": [*request["input"]]})
        return {"output": ["an answer"]}

    answer = package("ops.evaluate").conversation_with(respond)
    answer(turns=["Hello!", "Bye!"], custom_inputs={"tone": "formal"})
    hello, bye = ({"role": "user", "content": text} for text in ("Hello!", "Bye!"))
    assert requests == [
        {"input": items, "custom_inputs": {"tone": "formal"}}
        for items in ([hello], [hello, "an answer", bye])
    ]


def test_a_case_without_a_trace_failed(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    result = SimpleNamespace(result_df=None)
    monkeypatch.setattr(mlflow.genai, "evaluate", lambda **_: result)
    hello = package("ops.cases").Case.model_validate_json(case("Hello!"))
    (row,) = package("ops.evaluate").evaluate_cases([hello], [], dict)
    assert row.error == "MLflow recorded no trace."


def test_scorers_that_exit_are_not_measured(agent: Agent, evaluate: Any) -> None:
    """Whatever their exit code is; they may import modules beside them."""
    with (
        agent.patched("evaluation/more_scorers.py", None, "import sys\n\nsys.exit(0)\n"),
        agent.patched(SCORERS, "import json\n", "import json\nimport more_scorers\n"),
    ):
        done = evaluate()
    assert "error: The agent or a scorer called `sys.exit`." in done.stderr
    assert done.returncode == 2


def test_an_agent_that_fails_is_not_measured(
    agent: Agent, evaluate: Any, server: ChatServer, tmp_path: Path
) -> None:
    server.reply(*(Turn(text("Hello")),) * 5, Turn(status=500, error="broken"))
    junit = tmp_path / "reports" / "junit.xml"
    with agent.patched(CASES, None, "".join(case(f"Question {number}") for number in range(6))):
        done = evaluate(f"--junit={junit}", OPENAI_BASE_URL=f"{server.url}/v1", **LLM)
    assert done.returncode == 2
    assert "? The agent failed in 1 of 6 cases: LLMError:" in done.stdout
    assert "✗ total_tokens      p90 inf" in done.stdout  # the failed case has no scores
    assert ElementTree.parse(junit).getroot().get("errors") == "2"


def test_a_scorer_that_fails_is_not_measured(agent: Agent, evaluate: Any) -> None:
    with agent.patched(
        SCORERS,
        "    return None if milli",
        "    assert milliseconds is None\n    return None if milli",
    ):
        done = evaluate()
    assert done.returncode == 2
    assert "? latency_seconds failed in 6 of 6 cases" in done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        (CASES, None, "", "cases.jsonl contains no cases. Write one JSON object per line."),
        (CASES, None, "{\n", "cases.jsonl, line 1: Invalid JSON: Expecting property name"),
        (
            CASES,
            None,
            case("a").replace("}\n", ', "expectations": {}}\n'),
            "line 1: Invalid JSON: the key 'expectations' occurs twice in one object.",
        ),
        (CASES, None, '\n{"inputs": {"turns": []}}\n', "line 2: inputs.turns: List should have at"),
        (CASES, None, '{"inputs": {"turns": ["a"]}, "facts": []}\n', "facts: This name is unknown"),
        (CASES, None, case("a") + case("b") + case("a", facts=["x"]), "line 3: This case occurs"),
        (SCORERS, "SCORERS = [", "SCORERS = [print, ", "which is not a scorer. Write `@scorer`"),
        (SCORERS, "SCORERS = [", "SCORER = [", "scorers.py failed with KeyError: 'SCORERS'"),
        (SCORERS, "SCORERS = [", "SCORERS = [(", "scorers.py failed with SyntaxError"),
        ("config.yml", "contract: 1.0", "contract: 1.5", "less than or equal to 1"),
        ("config.yml", "{p90: 30}", "{p91: 30}", "latency_seconds.maximums.p91: This name is"),
        ("config.yml", "{p90: 30}", "{}", "latency_seconds.maximums: Set at least one maximum"),
        ("config.yml", "judge:\n", "judge: gpt-5\n", "Set it to openai:/MODEL or databricks:/END"),
        ("config.yml", "judge:\n", "judge: offline:/demo\n", "sets `judge` to 'offline:/demo'."),
        ("config.yml", "max_regressions: 1", "max_regressions: -1", "max_regressions: Input"),
    ],
)
def test_invalid_settings_exit_with_3(
    file: str, old: str | None, new: str, error: str, agent: Agent, evaluate: Any
) -> None:
    with agent.patched(file, old, new):
        done = evaluate()
    assert done.returncode == 3, done.stdout
    assert error in done.stderr
    assert done.stdout == ""


def test_thresholds_are_required(agent: Agent, evaluate: Any) -> None:
    settings = (agent.package / "config.yml").read_text(encoding="utf-8")
    without = re.sub(r"thresholds:\n(  .+\n)+", "", settings)
    with agent.patched("config.yml", None, without):
        done = evaluate()
    assert done.returncode == 3
    assert "config.yml sets no `thresholds`" in done.stderr


def test_invalid_options_exit_with_3(evaluate: Any, tmp_path: Path) -> None:
    assert evaluate("--bogus").returncode == 3
    assert evaluate(f"--junit={tmp_path}").returncode == 3
    missing = evaluate("--cases=/nowhere/cases.jsonl")
    assert missing.returncode == 3
    assert "Cannot read cases" in missing.stderr


@pytest.mark.parametrize(
    "option", ["--url=http://127.0.0.1:9", "--junit=junit.xml", "--json", "--without-champion"]
)
def test_cases_from_traces_have_no_other_options(evaluate: Any, option: str) -> None:
    done = evaluate("--from-traces=", option)
    assert done.returncode == 3
    assert "Pass --from-traces without other options than --cases." in done.stderr


def test_what_cannot_be_reached_exits_with_2(agent: Agent, evaluate: Any) -> None:
    closed = "http://127.0.0.1:9"
    assert "Could not reach" in (done := evaluate(f"--url={closed}")).stderr
    assert done.returncode == 2
    with agent.patched("config.yml", "judge:\n", "judge: openai:/judge\n"):
        done = evaluate(OPENAI_BASE_URL=closed, OPENAI_API_KEY="none")
    assert done.returncode == 2
    assert "openai:/judge is unreachable" in done.stderr


def test_judges_run_if_there_is_a_judge(agent: Agent, evaluate: Any, server: ChatServer) -> None:
    """The fake LLM is the judge, and the offline LLM is the agent's."""
    verdict = json.dumps({"result": "no", "rationale": "It only repeats the question."})
    judge = Turn([{"role": "assistant", "content": verdict}])
    server.reply(*(Turn(text("OK")), *(judge,) * 6) * 2)
    variables = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "none"}
    with agent.patched("config.yml", "judge:\n", "judge: openai:/judge\n"):
        assert "- helpful           no threshold" in evaluate(**variables).stdout
        with agent.patched("config.yml", "  contract: 1.0\n", "  contract: 1.0\n  helpful: 0.5\n"):
            done = evaluate(**variables)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ helpful           0 of 6 cases  at least 0.5" in done.stdout
    assert "    and 1 more\n" in done.stdout
    assert "→" not in done.stdout  # in the title of the last case


def test_a_deployed_agent_is_evaluated(evaluate: Any, served: Served) -> None:
    """Its tool calls are measured, although its traces are elsewhere."""
    done = evaluate(f"--url={served.url}", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 6 cases" in done.stdout


def test_the_champion_is_compared_case_by_case(
    agent: Agent, evaluate: Any, store: str, tmp_path: Path
) -> None:
    """The champion's rows are those in the run that its version names."""
    cases = [case(f"Hello {number}!", facts=[str(number)]) for number in range(4)]
    with agent.patched(CASES, None, "".join(cases)):
        first = json.loads(evaluate("--json").stdout)
    assert first["compared_with_champion"] is False
    mlflow_client = MlflowClient(store, store)
    name = "main.default.champion_test"
    mlflow_client.create_registered_model(name)
    version = mlflow_client.create_model_version(
        name, str(tmp_path), tags={"evaluation_run": first["run_id"]}
    )
    mlflow_client.set_registered_model_alias(name, "champion", version.version)

    worse = [case(f"Hello {number}!", facts=[str(number % 2 * 2)]) for number in range(4)]
    with (
        agent.patched(CASES, None, "".join(worse)),
        agent.patched("config.yml", "expected_facts: 0.9", "expected_facts: 0.2"),
    ):
        compared = evaluate(AGENT_MODEL_NAME=name)
        alone = evaluate("--without-champion", AGENT_MODEL_NAME=name)
    assert compared.returncode == 1, compared.stdout + compared.stderr
    assert "worse, 0 better than the champion" in compared.stdout
    assert alone.returncode == 0, alone.stdout
    page = (agent.folder / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "Not compared with a champion." in page

    mlflow_client.delete_model_version_tag(name, version.version, "evaluation_run")
    done = evaluate(AGENT_MODEL_NAME=name)
    assert done.returncode == 2
    assert (
        "has no evaluation to compare with. Run `uv run weather-agent evaluate --wi" in done.stderr
    )
    mlflow_client.set_model_version_tag(name, version.version, "evaluation_run", "0" * 32)
    done = evaluate(AGENT_MODEL_NAME=name)
    assert done.returncode == 2
    assert "Cannot read the champion's evaluation" in done.stderr


def test_an_evaluation_of_a_commit_has_its_name(
    agent: Agent, evaluate: Any, store: str, served: Served, tmp_path: Path
) -> None:
    git = ["git", "-C", str(agent.folder)]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "Start"], check=True)
    try:
        head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
        clean = json.loads(evaluate("--json").stdout)
        (tmp_path / "easy.jsonl").write_text(case("Hello!"), encoding="utf-8")
        easy = json.loads(evaluate("--json", f"--cases={tmp_path / 'easy.jsonl'}").stdout)
        remote = json.loads(evaluate("--json", f"--url={served.url}").stdout)
        other_llm = evaluate("--json", AGENT_LLM="offline:/tools")
        # The tree is clean when the evaluation ends.
        git_commit = 'subprocess.run(["git", "commit", "-am", "Later"], capture_output=True)'
        start = "    answer = text_of(outputs)\n    found"
        with agent.patched(SCORERS, start, f"    import subprocess\n    {git_commit}\n{start}"):
            changed = json.loads(evaluate("--json").stdout)
    finally:
        subprocess.run([*git, "update-ref", "-d", "HEAD"], check=True)
        subprocess.run([*git, "rm", "-r", "-f", "--cached", "--quiet", "."], check=True)
    assert clean["commit"] == head
    other = json.loads(other_llm.stdout)
    assert "does not count for a release, which has offline:/demo." in other_llm.stderr
    assert [one["commit"] for one in (easy, remote, changed, other)] == [None] * 4
    tags = MlflowClient(store).get_run(clean["run_id"]).data.tags
    assert tags["git_commit"] == head


def test_traces_become_cases_without_personal_data(
    agent: Agent, commands: ForkedCommands, tmp_path: Path
) -> None:
    """Repeated questions, known cases and the start of longer conversations are left out."""
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    for question in (
        *("What time is it in Oslo?", "What time is it in Oslo?", "What time is it in Tokyo?"),
        "Mail joe@example.com",
    ):
        assert commands.run("ask", question, **variables).returncode == 0
    done = commands.run("evaluate", "--from-traces", "", **variables)
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(case["inputs"]["turns"] for case in cases) == [
        ["Mail <EMAIL>"],
        ["What time is it in Oslo?"],
    ]
    assert {"calls": [call("current_time", place="Oslo")]} in [
        case["expectations"] for case in cases
    ]
    assert "2 new cases from 4 traces." in done.stderr
    assert "append them to evaluation/cases.jsonl." in done.stderr

    done = commands.run("evaluate", "--from-traces", "", "--cases=/nowhere.jsonl", **variables)
    assert "3 new cases from 4 traces." in done.stderr
    assert "append them to /nowhere.jsonl." in done.stderr
    done = commands.run("evaluate", "--from-traces", "trace.bogus = 1", **variables)
    assert done.returncode == 3
    assert "MLflow rejects the filter" in done.stderr
