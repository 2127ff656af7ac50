"""The rules of the contract: what they find, and what does not disturb them."""

import gc
import re
import runpy
from pathlib import Path

import psutil
import pytest

from docs.write_contract import PAGE, last_measured, page, rules_in
from tests.contract.breakages import BREAKAGES
from tests.contract.breakages.changes import (
    PRIVATE_PACKAGE,
    SHORT_WAIT,
    Patch,
    at_import,
    in_answer,
    new_answer,
    new_file,
    tool,
    tools_file,
)
from tests.contract.logged_model import LoggedModel
from tests.contract.variations.loops import COMPLETE, ITEMS
from tests.contract.workbench import Workbench
from tests.helpers.agents import Agent
from tests.helpers.template import TEMPLATE


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


@pytest.mark.parametrize("code", ["TOOLS = [[", "raise GeneratorExit\n\nTOOLS = ["])
def test_only_failing_rule_without_a_model(workbench: Workbench, code: str) -> None:
    with workbench.agent.changed([Patch("tools.py", "TOOLS = [", code)]):
        found = workbench.findings()
    failed = [rule for rule, finding in found.items() if finding.result == "failed"]
    assert failed == ["accepted"]
    assert found["task"].result == "not checked"
    assert found["task"].found == "the agent is not logged, see `accepted`"
    assert found["print-call"].result == "passed"


def test_an_error_of_the_agent_fails_one_rule(workbench: Workbench) -> None:
    """The others that meet the same error name that rule."""
    fail = "if len(request.input) > 1:\n    raise ZeroDivisionError('no division')"
    with workbench.agent.changed([in_answer(fail)]):
        found = workbench.findings()
    failed = [rule for rule, finding in found.items() if finding.result == "failed"]
    assert failed == ["every-request"]
    assert "ZeroDivisionError: no division (agent.py, line" in found["every-request"].found
    for rule in ("last-turn", "whole-conversation", "requests-apart"):
        assert found[rule].result == "not checked"
        assert found[rule].found == "the agent raises the same error, see `every-request`"


def test_an_agent_that_fails_outside_the_repository_fails_one_rule(workbench: Workbench) -> None:
    load = """
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "evaluation" / "cases.jsonl"
"""
    read = in_answer('EXAMPLES.read_text(encoding="utf-8")')
    with workbench.agent.changed([at_import(load), read]):
        found = workbench.findings()
    failed = [rule for rule, finding in found.items() if finding.result == "failed"]
    assert failed == ["fresh-process"]
    assert found["fresh-process"].fix.startswith("Put the file into the agent's package")
    assert found["every-request"].found == "the agent raises the same error, see `fresh-process`"
    cause = "the agent does not answer its input example, see `every-request`"
    assert found["served-answers"].found == found["stateless"].found == cause


def test_a_refused_request_fails_one_rule(workbench: Workbench) -> None:
    # The last of several tool outputs is missing.
    with workbench.agent.patched("agent.py", "to_messages(items)", "to_messages(items[:3])"):
        found = workbench.findings("fresh-process", "llm-requests")
    assert found["llm-requests"].result == "failed"
    assert found["fresh-process"].result == "not checked"
    assert (
        found["fresh-process"].found == "the LLM refuses the agent's requests, see `llm-requests`"
    )


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (
            "raise type('ConfigError', (ValueError,), {})('No OPENAI_API_KEY in config.yml.')",
            "Correct the file that the message names",
        ),
        ('__import__("os").environ["WEATHER_URL"]', "Read environment variables and create"),
        ('__import__("openai").OpenAI(api_key=None)', "Read environment variables and create"),
        ('raise __import__("openai").APIConnectionError(request=None)', "Let the LLM's client"),
        ("__import__('no_such_package')", "`uv add` the package"),
        ("open('cities.txt')", "Put the file into the agent's package"),
        ("raise SystemExit(3)", "Raise an exception instead of ending the process"),
        ("{}['config']", "Fix the error."),
        ("raise ValueError('The config of environ has no KeyError.')", "Fix the error."),
        ("raise RuntimeError('No such file of a coroutine.')", "Fix the error."),
        ("def f():\n    f()\nf()", "Fix the error."),
        ("None[0]", "Fix the error."),
    ],
)
def test_a_fix_is_that_of_the_error(workbench: Workbench, code: str, fix: str) -> None:
    with workbench.agent.changed([Patch("tools.py", "TOOLS = [", f"{code}\n\nTOOLS = [")]):
        found = workbench.findings("accepted", "fresh-process").values()  # the second has no key
    (failed,) = (finding for finding in found if finding.result == "failed")
    assert failed.fix.startswith(fix)


def test_a_missing_file_of_a_tool_with_several_arguments(workbench: Workbench) -> None:
    code = """
def price(city: str, days: int) -> str:
    \"\"\"Look up a price.\"\"\"
    return open("prices.csv").read()
"""
    with workbench.agent.changed(tool("price", code)):
        finding = workbench.findings("working-tools")["working-tools"]
    assert finding.result == "failed"
    assert finding.found.endswith("No such file or directory: 'prices.csv'")


def test_agent_that_prints_to_stdout(workbench: Workbench) -> None:
    with workbench.agent.changed([in_answer("__import__('os').write(1, b'text')")]):
        found = workbench.findings("accepted", "task")
    assert {finding.result for finding in found.values()} == {"passed"}


def test_llm_requests_belong_to_the_user_who_caused_them(workbench: Workbench) -> None:
    """The first user's second LLM request is sent while the second user is answered."""
    title = new_answer("""
async def write_title():
    while not is_answered and number == len(ANSWERS):
        await asyncio.sleep(0.01)
    await self.complete(llm, "Write a title.", str(to_messages(request.input)))

ANSWERS.append("")
number, is_answered = len(ANSWERS), False
title = asyncio.create_task(write_title())
async for event in super().answer(request, llm):
    yield event
is_answered = True
await title
""")
    patches = (at_import(ITEMS), at_import("import asyncio\n\nANSWERS = []"), COMPLETE, title)
    with workbench.agent.changed(patches):
        finding = workbench.findings("requests-apart")["requests-apart"]
    assert finding.result == "passed", finding.found


@pytest.mark.parametrize("file", [".gitignore", ".ignore", "src/weather_agent/.gitignore"])
def test_rules_check_ignored_files(workbench: Workbench, file: str) -> None:
    patches = (new_file(file, "tools.py\n"), Patch("tools.py", "TOOLS = [", "print(1)\nTOOLS = ["))
    with workbench.agent.changed(patches):
        finding = workbench.findings("print-call")["print-call"]
    assert finding.result == "failed"
    assert "tools.py" in finding.found


def test_commands_start_event_loops(workbench: Workbench) -> None:
    code = "import asyncio\n\n\ndef main() -> None:\n    asyncio.run(asyncio.sleep(0))\n"
    with workbench.agent.changed([new_file("src/weather_agent/commands/refresh.py", code)]):
        finding = workbench.findings("asyncio-run")["asyncio-run"]
    assert finding.result == "passed", finding.found


def test_first_failure_ends_the_process_that_loads_the_model(agent: Agent) -> None:
    paths = [f"tests/contract/test_{part}.py" for part in ("model", "loading")]
    with agent.changed(BREAKAGES["another task in the metadata"].patches):
        done = agent.run("pytest", "-q", "--exitfirst", *paths)
    assert "1 failed" in done.stdout, done.stdout
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(agent.folder) in command]


def test_the_process_that_loads_the_model_says_why_it_ended(workbench: Workbench) -> None:
    code = """
if "fresh_process_main" in str(__import__("sys").modules["__main__"].__spec__):
    __import__("os").write(2, b"MemoryError: no memory.\\n")
    __import__("os")._exit(3)
"""
    with workbench.agent.changed([at_import(code)]):
        finding = workbench.findings("fresh-process")["fresh-process"]
    assert finding.found.endswith("The process ended with status 3: MemoryError: no memory.")


def test_modules_that_are_imported_when_they_are_used(workbench: Workbench) -> None:
    """The recipe of Python's documentation for a lazy import."""
    code = """
import importlib.util
import sys

NAME = "weather_agent.prices"
spec = importlib.util.find_spec(NAME)
loader = spec.loader = importlib.util.LazyLoader(spec.loader)
sys.modules[NAME] = prices = importlib.util.module_from_spec(spec)
loader.exec_module(prices)
"""
    modules = (
        new_file("src/weather_agent/prices.py", "import weather_agent.currencies\n"),
        new_file("src/weather_agent/currencies.py", ""),
    )
    with workbench.agent.changed([at_import(code), *modules]):
        found = workbench.findings("fresh-process", "stateless", "loads-again")
    assert {finding.result for finding in found.values()} == {"passed"}, found


def hangs_with(model: str) -> tuple[Patch, ...]:
    """Let the agent wait for as long as a model of the offline LLM is selected.

    The first request to each model is not in a thread, and ends only with the time of the answer.
    """
    hang = f"""
while __import__("os").environ["AGENT_LLM"] == "offline:/{model}":
    await __import__("asyncio").sleep(1)
"""
    short_answer = Patch("config.yml", "answer_timeout_seconds: 180", "answer_timeout_seconds: 15")
    return SHORT_WAIT, short_answer, in_answer(hang)


def test_agent_that_does_not_stop_after_wrong_calls(workbench: Workbench) -> None:
    with workbench.agent.changed(hangs_with("wrong-tools")):
        finding = workbench.findings("closed-environment")["closed-environment"]
    assert finding.result == "failed"
    assert finding.found == "With offline:/wrong-tools, the agent did not stop within 5 s."
    assert finding.fix.startswith("Answer or raise an error, whatever the LLM calls.")


def test_agent_that_does_not_stop_after_an_error(workbench: Workbench) -> None:
    with workbench.agent.changed(hangs_with("fail")):
        found = workbench.findings("closed-environment", "server-errors")
    assert {finding.result for finding in found.values()} == {"not checked"}
    assert found["server-errors"].found.endswith("the LLM fails, see `llm-failures`")


def test_agent_that_repeats_a_refused_request(workbench: Workbench) -> None:
    repeat = new_answer("""
events = []
while True:
    try:
        async for event in super().answer(request, llm):
            events.append(event)
        break
    except Exception:
        if "function_call_output" not in str(events):
            raise
        await __import__("asyncio").sleep(0.1)
for event in events:
    yield event
""")
    with workbench.agent.changed([SHORT_WAIT, repeat]):
        finding = workbench.findings("llm-failures")["llm-failures"]
    assert finding.result == "failed"
    assert finding.found == (
        "After the LLM refused a later request with status 429, the agent did not stop within 5 s."
    )


def test_request_that_does_not_start(workbench: Workbench) -> None:
    with workbench.agent.changed(hangs_with("silent")):
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


def test_tools_without_a_valid_example(workbench: Workbench) -> None:
    """The contract does not call a tool if it has no valid arguments for it."""
    code = """
from typing import Annotated

from pydantic import Field


def train(number: Annotated[str, Field(pattern="^ICE [0-9]+$")]) -> str:
    \"\"\"Return the destination of a train.\"\"\"
    return f"{number} runs to Berlin."


TOOLS = [train]
"""
    with workbench.agent.changed([tools_file(code)]):
        found = workbench.findings("tool-calls", "working-tools", "requests-apart")
    assert {finding.result for finding in found.values()} == {"passed"}, found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("disable()", "After the answers, tracing is off."),
        (
            'set_destination(MlflowExperimentLocation("0"))',
            "After the answers, traces have another destination.",
        ),
        # Only the request itself has this destination.
        ('set_destination(MlflowExperimentLocation("0"), context_local=True)', ""),
    ],
)
def test_tracing_that_an_answer_changes(workbench: Workbench, change: str, found: str) -> None:
    patches = (
        at_import("from mlflow.entities.trace_location import MlflowExperimentLocation"),
        in_answer(f"mlflow.tracing.{change}"),
    )
    with workbench.agent.changed(patches):
        findings = workbench.findings("quiet-import", "no-leftovers")
    assert findings["quiet-import"].result == "passed"
    assert findings["no-leftovers"].found == found


def test_a_dockerfile_does_not_affect_other_models(
    workbench: Workbench, logged_model: LoggedModel
) -> None:
    upgrade = Patch("Dockerfile", None, "FROM python\nRUN uv sync --upgrade\n")
    with workbench.agent.changed([upgrade]), logged_model.with_current_code() as model:
        finding = workbench.findings("pinned-requirements", model=model)["pinned-requirements"]
    assert finding.result == "passed", finding.found


def test_packages_from_a_page_of_links(workbench: Workbench) -> None:
    page_of_links = Patch("pyproject.toml", 'name = "acme"\n', 'name = "acme"\nformat = "flat"\n')
    with workbench.agent.changed([*PRIVATE_PACKAGE, page_of_links]):
        found = workbench.findings("pinned-requirements", "package-indexes")
    assert {finding.result for finding in found.values()} == {"passed"}, found


NAMED_RESOURCES = """
from weather_agent import names as other
from weather_agent.names import CATALOG, LOCAL_INDEX as LOCAL
from weather_agent.names import SETTINGS

INDEXES = ["a.loop.x", "a.loop.y"]


class Search:
    def __init__(self) -> None:
        self.index = "a.self.x"
        self.client = AsyncDatabricksOpenAI()

    async def search(self, text: str, *, index="a.default.x") -> None:
        VectorSearchRetrieverTool(self.index)
        VectorSearchRetrieverTool(index_name=index)
        await self.client.chat.completions.create(model=other.Names.MODEL)


def search(host: str) -> None:
    client.get_index("the-endpoint", LOCAL)
    client.get_index("the-endpoint", index_name=f"{CATALOG}.format.x")
    client.get_index("the-endpoint", CATALOG + ".sum.x")
    for name in INDEXES:
        DatabricksVectorSearch(index_name=name)
    with DatabricksOpenAI() as llm:
        llm.chat.completions.create(model=SETTINGS.endpoint)
    ChatDatabricks(model=os.getenv("MODEL") or "an-or")
    DatabricksMCPClient(host + "/api/2.0/mcp/vector-search/a/schema")
    DatabricksMCPClient(f"{host}/api/2.0/mcp/genie/01ef")
    CheckpointSaver(instance_name=SETTINGS.instance)
    Genie(space_id="02ef")


TOOLS = ["""
NAMES = """
from typing import Final

CATALOG: Final = "a"
LOCAL_INDEX: str = "a.import.x"


class Names:
    MODEL = "a-class"


class Settings:
    endpoint: str = "a-field"
    instance: str = "an-instance"


SETTINGS = Settings()
"""


def test_names_of_resources(workbench: Workbench, logged_model: LoggedModel) -> None:
    patches = [
        new_file("src/weather_agent/names.py", NAMES),
        Patch("tools.py", "TOOLS = [", NAMED_RESOURCES),
    ]
    with workbench.agent.changed(patches), logged_model.with_current_code() as model:
        finding = workbench.findings("declared-resources", model=model)["declared-resources"]
    assert finding.found == (
        "These resources are not declared: genie_space 01ef, genie_space 02ef, "
        "lakebase an-instance, serving_endpoint a-class, serving_endpoint a-field, "
        "serving_endpoint an-or, vector_search_index a.default.x, vector_search_index a.format.x, "
        "vector_search_index a.import.x, vector_search_index a.loop.x, "
        "vector_search_index a.loop.y, vector_search_index a.schema.*, "
        "vector_search_index a.self.x, vector_search_index a.sum.x."
    )


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


def test_arguments_for_tools_are_valid(agent: Agent) -> None:
    code = """
import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from tests.contract.harness.tool_arguments import argument_sets

class Node(BaseModel):
    name: str
    nodes: list["Node"] = []
    parent: "Node | None" = None

def tool(
    node: Node,
    days: Annotated[int, Field(gt=0, lt=3)],
    unit: Literal["C", "F"] = "C",
    code: Annotated[str, Field(min_length=3, pattern="^[a-z]+$")] = "abc",
    pair: tuple[int, str] = (1, "a"),
    prices: dict[str, float] | None = None,
    day: date | None = None,
    other: Any = None,
):
    return unit

adapter = TypeAdapter(tool)
sets = argument_sets(adapter.json_schema())
print([adapter.validate_json(json.dumps(one)) for one in sets], sorted(sets[0]))
"""
    printed = agent.check("python", "-c", code)
    assert printed.startswith("['C', 'C', 'F', ")
    assert printed.endswith("] ['days', 'node']\n")


@pytest.mark.parametrize(
    ("description", "examples"),
    [
        ("A city.", []),
        ("A city or a zone, such as Oslo or Europe/Paris.", ["Oslo", "Europe/Paris"]),
        ("A city (e.g. New York).", ["New York"]),
        ("A place, for example 'San José, CA' or `Rio`, and a day", ["San José, CA", "Rio"]),
    ],
)
def test_examples_in_descriptions(agent: Agent, description: str, examples: list[str]) -> None:
    schema = {"type": "string", "description": description}
    code = f"""
from tests.contract.harness.tool_arguments import argument_sets

schema = {{"type": "object", "properties": {{"of": {schema}}}, "required": ["of"]}}
print([one["of"] for one in argument_sets(schema)], argument_sets(schema, "any")[0]["of"])
"""
    texts = [*examples, "example", "", "Zürich", "東京"]
    assert agent.check("python", "-c", code) == f"{texts} any\n"


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


def test_pytest_reports_a_failed_rule_in_words(agent: Agent) -> None:
    with agent.patched("input_example.json", '"user"', '"system"'):
        done = agent.run("pytest", "-q", "tests/contract/test_model.py")
    assert "input-example: The saved input example is a valid Responses request" in done.stdout
    assert "\nfound The example has no message with the role user.\n" in done.stdout
    assert "\nfix   Write `input_example.json`" in done.stdout
    assert "Traceback" not in done.stdout


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


def test_contract_page_is_up_to_date(workbench: Workbench) -> None:
    written = page(last_measured(), rules_in(workbench))
    assert PAGE.read_text(encoding="utf-8") == written, "Run `make contract`."
