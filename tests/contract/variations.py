"""Changes to a generated project that are correct: no rule of the contract may fail."""

from tests.contract.breakages.changes import (
    AGENT_CLASS,
    PRIVATE_PACKAGE,
    RUN_IN_THREAD,
    Patch,
    at_import,
    each_item,
    in_agent,
    in_answer,
    in_example,
    in_log_model,
    in_tools,
    instead_of_set_model,
    method,
    new_answer,
    new_file,
    subclass,
    tool,
    tools_file,
)
from tests.contract.own_clients import ASYNCHRONOUS, RESPONSES, SYNCHRONOUS

INSTRUCTIONS = "        content = self.instructions\n"

# An agent without an LLM; it streams the user's message line by line.
ECHO = '''
class Echo(mlflow.pyfunc.ResponsesAgent):
    """Repeats the message of the user."""

    def predict(self, request):
        items = [item for event in self.predict_stream(request) if (item := done_item(event))]
        return {"output": items}

    def predict_stream(self, request):
        text = str(to_messages(request.input)[-1]["content"])
        item_id = unique_id("msg")
        for line in text.splitlines(keepends=True):
            yield delta_event(line, item_id)
        yield done_event(self.create_text_output_item(text, item_id))


mlflow.models.set_model(Echo())
'''

# An agent that uses nothing of the template.
PLAIN = '''
"""The whole agent."""

import uuid

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent


def last_message(request):
    """Return the last message of the user."""
    for item in reversed(request.input):
        content = getattr(item, "content", None)
        if isinstance(content, str):
            return content
        if content and getattr(item, "role", "") == "user":
            parts = (part if isinstance(part, dict) else part.model_dump() for part in content)
            return " ".join(part.get("text", "") for part in parts)
    return "nothing"


class Plain(ResponsesAgent):
    """Repeats the message of the user."""

    def predict(self, request):
        events = list(self.predict_stream(request))
        return ResponsesAgentResponse(output=[events[-1].item])

    def predict_stream(self, request):
        item_id = str(uuid.uuid4())
        text = f"You said: {last_message(request)}"
        yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id=item_id))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done",
            item=self.create_text_output_item(text=text, id=item_id),
        )


mlflow.models.set_model(Plain())
'''


VARIATIONS: dict[str, tuple[Patch, ...]] = {
    # Tools
    "no tools": (tools_file('"""The tools."""\n\nTOOLS = []\n'),),
    "a tool with lists and defaults": tool(
        "weigh",
        '''
def weigh(things: list[str], precise: bool = False) -> dict[str, float]:
    """Weigh things."""
    return {thing: 1.5 if precise else 2.0 for thing in things}
''',
    ),
    "a tool with arguments of many types": (
        *tool(
            "furnish",
            '''
class Item(BaseModel):
    """A piece of furniture."""

    name: str
    size: tuple[float, float]


class Place(NamedTuple):
    """A place in a room."""

    x: float
    y: float


class Style(Enum):
    OLD = "old"
    NEW = "new"


def furnish(
    items: list[Item],
    places: dict[str, Place],
    style: Style | None,
    finish: Literal["matt", "gloss"],
    ids: tuple[int, ...] = (),
    notes: str | None = None,
) -> str:
    """Furnish a room."""
    return f"{style} {finish}"
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            """from datetime import date, datetime
from enum import Enum
from typing import Literal, NamedTuple
""",
        ),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            """from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel
""",
        ),
    ),
    "a tool that raises an exception": tool(
        "book",
        '''
def book(day: str) -> str:
    """Book a day."""
    raise PermissionError(f"{day} is not available. Ask for another day.")
''',
    ),
    "tools that fail because of their input or environment": (
        *tool(
            "constant, find_number, call_service, service_token",
            '''
def constant(name: str) -> float:
    """Return a constant of mathematics."""
    return getattr(math, name)


def find_number(text: str) -> str:
    """Find a number."""
    return re.search("[0-9]+", text).group()


def call_service() -> str:
    """Call a service."""
    raise ConnectionRefusedError("The service is unreachable.")


def service_token() -> str:
    """Return the length of the token of a service."""
    return str(len(os.environ["NO_SUCH_TOKEN"]))
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "import math\nimport os\nimport re\nfrom datetime import date, datetime\n",
        ),
    ),
    "tools that fail because of their arguments": (
        *tool(
            "calculate, read_note, first_word, page, choose_method",
            '''
def calculate(formula: str) -> str:
    """Calculate."""
    return str(eval(formula, {}))


def read_note(title: str, folder: str = "notes") -> str:
    """Read a note."""
    return Path(tempfile.gettempdir(), f"{slug(title)}.md").read_text()


def slug(title: str) -> str:
    """Return a title in ASCII."""
    return title.casefold().encode("ascii", "ignore").decode() or "untitled"


def first_word(words: list[str], index: int = 0) -> str:
    """Return a word."""
    return words[index]


def page(number: int) -> str:
    """Read a page."""
    return Path(tempfile.gettempdir(), f"page_{number}.md").read_text()


def choose_method(method: str) -> str:
    """Call a method of texts."""
    return getattr("text", f"to_{method}")()
''',
        ),
        Patch(
            "tools.py", "from zoneinfo", "import tempfile\nfrom pathlib import Path\nfrom zoneinfo"
        ),
    ),
    "a tool with an optional date": tool(
        "due",
        '''
def due(day: date | None = None, days: int = 0) -> str:
    """Tell when something is due."""
    return f"{day or date.today()} and {days} days"
''',
    ),
    "a tool with side effects that tests never call": (
        *tool(
            "send_mail",
            '''
def send_mail(text: str) -> str:
    """Send a mail."""
    return MAIL_SERVER.send(text)
''',
        ),
        Patch("tests/conftest.py", "...] = ()", '...] = ("send_mail",)'),
    ),
    "a database connection per thread": (
        *tool(
            "orders",
            '''
LOCAL = threading.local()


def orders(city: str) -> str:
    """Count orders."""
    if not hasattr(LOCAL, "database"):
        LOCAL.database = sqlite3.connect(":memory:")
    return str(LOCAL.database.execute("SELECT 90").fetchone()[0])
''',
        ),
        Patch("tools.py", "from zoneinfo", "import sqlite3\nimport threading\nfrom zoneinfo"),
    ),
    "a tool that returns a long text": tool(
        "read_page",
        '''
def read_page(number: int) -> str:
    """Read a page of the handbook."""
    return f"Page {number}. " + "This page is empty. " * 500
''',
    ),
    "an asynchronous tool": (
        *tool(
            "lend",
            '''
async def lend(book: str) -> str:
    """Lend a book.

    Args:
        book: Its title.
    """
    await asyncio.sleep(0)
    return f"{book} is yours."
''',
        ),
        Patch("tools.py", "from datetime import date", "import asyncio\nfrom datetime import date"),
    ),
    "tools that run in asyncio's threads": (
        Patch(
            "runtime/toolbox.py",
            RUN_IN_THREAD,
            'await asyncio.to_thread(adapter.validate_json, arguments or "{}")',
        ),
        Patch("runtime/toolbox.py", "from anyio import to_thread\n", ""),
        Patch("runtime/toolbox.py", "import inspect\n", "import asyncio\nimport inspect\n"),
    ),
    # Answers
    "no LLM": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        instead_of_set_model(ECHO),
    ),
    "an agent of a few lines in another file": (
        new_file("src/weather_agent/plain.py", PLAIN),
        in_log_model('PACKAGE / "agent.py"', 'PACKAGE / "plain.py"'),
    ),
    "reasoning before the answer": (
        at_import("from weather_agent.runtime.items import done_event, unique_id"),
        in_answer('yield done_event(self.create_reasoning_item(unique_id("rs"), "Let me see."))'),
    ),
    "a greeting before the answer": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_answer("""
greeting_id = unique_id("msg")
words = ["Good ", "day", ", ", "and welcome."]
for word in words:
    yield delta_event(word, greeting_id)
yield done_event(self.create_text_output_item("".join(words), greeting_id))
"""),
    ),
    "citations in the text": (
        each_item("""
if item["type"] == "message":
    item["content"][0]["annotations"] = [
        {
            "type": "url_citation",
            "url": "https://example.com/handbook",
            "title": "The handbook",
            "start_index": 0,
            "end_index": 1,
        }
    ]
"""),
    ),
    "nested data in custom_outputs": (
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            """{
                        "llm": {"uri": llm.uri, "rounds": rounds, "scores": [0.5, 1, None]},
                        "sources": [{"title": "Grüße", "pages": [1, 2]}],
                        "final": True,
                    }""",
        ),
    ),
    "a plan before the answer": (
        in_answer("""
question = [str(to_messages([item])) for item in request.input][-1]
plan = [{"role": "system", "content": "Plan it."}, {"role": "user", "content": question}]
async for chunk in llm.stream(plan):
    assert chunk
"""),
    ),
    "a check of the answer by the LLM": (
        new_answer("""
texts = ["The answer: "]
async for event in super().answer(request, llm):
    texts.append(str(event))
    yield event
check = [{"role": "system", "content": "Check it."}, {"role": "user", "content": "".join(texts)}]
async for chunk in llm.stream(check):
    assert chunk
"""),
    ),
    "a fixed answer to a greeting": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_answer("""
if "who are you" in str(request.input[-1:]):
    greeting_id = unique_id("msg")
    yield delta_event("I know the weather.", greeting_id)
    yield done_event(self.create_text_output_item("I know the weather.", greeting_id))
    return
"""),
    ),
    "instructions with a placeholder": (
        Patch("instructions.md", None, "You help people in {country}.\n\nBe brief.\n"),
        in_agent(INSTRUCTIONS, '        content = self.instructions.format(country="Japan")\n'),
    ),
    # LLM clients of the agent itself
    "a synchronous OpenAI client": SYNCHRONOUS,
    "an asynchronous OpenAI client": ASYNCHRONOUS,
    "the Responses API of OpenAI": RESPONSES,
    # Requests
    "custom_inputs in the example": (
        in_example('"input": [', '"custom_inputs": {"city": "Paris"}, "input": ['),
    ),
    "validated custom_inputs": (
        at_import("from weather_agent.runtime.items import RequestError"),
        in_answer("""
tenant = (request.custom_inputs or {}).get("tenant", "a")
if not isinstance(tenant, str):
    raise RequestError("custom_inputs.tenant must be a string.")
"""),
    ),
    "rejected images and files": (
        at_import("from weather_agent.runtime.items import RequestError"),
        in_answer("""
for item in [item.model_dump() for item in request.input]:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
        if part["type"] in ("input_image", "input_file"):
            raise RequestError("This agent reads only text.")
"""),
    ),
    # Classes
    "a mixin and a base class of the owner": (
        in_agent(
            AGENT_CLASS,
            '''class Polite:
    """Adds nothing but a base."""


class Base(Polite, AsyncResponsesAgent):
    """A base of the owner."""


class Agent(Base):
''',
        ),
    ),
    "a subclass of a subclass": (
        subclass('''
class Weather(Agent):
    """Knows the weather."""


class CoastalWeather(Weather):
    """Knows the tides."""

    def system_message(self, request: ResponsesAgentRequest) -> dict[str, Any]:
        message = super().system_message(request)
        return message | {"content": message["content"] + "\\nYou know the tides."}
'''),
    ),
    "an agent that uses Pydantic models": (
        at_import('''
from pydantic import BaseModel


class Profile(BaseModel):
    """The user."""

    name: str = "somebody"
    languages: list[str] = []
'''),
        in_answer("""
name = (request.context and request.context.user_id) or "somebody"
assert Profile(name=name).model_dump()
"""),
    ),
    # Asynchronous code
    "an event loop for each request": (
        method("""
def predict_stream(self, request):
    import asyncio

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    yield from super().predict_stream(request)
"""),
    ),
    "an event loop in another thread": (
        at_import("import asyncio\nimport threading"),
        in_answer("""
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever, daemon=True)
thread.start()
asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
"""),
    ),
    # Dates
    "the date of each request in the instructions": (
        at_import("from datetime import UTC, datetime"),
        in_agent(
            INSTRUCTIONS,
            '        content = f"{self.instructions}Today is {datetime.now(UTC):%A, %d %B %Y}."\n',
        ),
    ),
    "the time of loading in custom_outputs": (
        at_import("import time\n\nLOADED = time.time()\nUPDATED = time.strftime('%Y-%m-%d')"),
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            '{"llm": llm.uri, "rounds": rounds, "loaded": LOADED, "updated": UPDATED}',
        ),
    ),
    # Objects that are created once
    "a thread pool and a thread for all requests": (
        at_import('''
import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads of all requests."""
    threading.Thread(target=threading.Event().wait, name="refresh", daemon=True).start()
    return ThreadPoolExecutor(4, thread_name_prefix="worker")
'''),
        in_answer("""
loop = asyncio.get_running_loop()
await asyncio.gather(*(loop.run_in_executor(pool(), random.random) for _ in range(4)))
"""),
    ),
    "temporary files and processes that end with the answer": (
        at_import("import asyncio\nimport sys\nimport tempfile"),
        in_answer("""
with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder):
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
"""),
    ),
    "a client created by the first request": (
        at_import('''
from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def weather_client() -> httpx.Client:
    """Return the client of the weather service."""
    return httpx.Client(base_url="https://weather.example.com", timeout=5)
'''),
        in_answer("assert weather_client()"),
    ),
    "a client created by the first request, under a lock": (
        at_import("import threading\n\nimport httpx"),
        in_agent(
            "        self.toolbox = toolbox\n",
            """        self.toolbox = toolbox
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def weather_client(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(base_url="https://weather.example.com", timeout=5)
            return self._client
""",
        ),
        in_answer("assert self.weather_client()"),
    ),
    "a log message for each answer": (
        at_import("import logging\n\nLOGGER = logging.getLogger(__name__)"),
        in_answer('LOGGER.info("Answering %d items.", len(request.input))'),
    ),
    "a span and a tag of the trace": (
        in_answer("""
mlflow.openai.autolog(disable=True)
mlflow.update_current_trace(tags={"items": str(len(request.input))})
with mlflow.start_span("plan") as span:
    span.set_inputs({"items": len(request.input)})
"""),
    ),
    # Packaging
    "more files in the package and in code_paths": (
        new_file(
            "src/weather_agent/politeness.py",
            '"""Manners."""\n\n\ndef polite(text: str) -> str:\n    return f"{text} Please."\n',
        ),
        at_import("from weather_agent.politeness import polite"),
        in_agent(INSTRUCTIONS, "        content = polite(self.instructions)\n"),
        new_file("src/weather_agent/cities.csv", "Tokyo,Japan\nParis,France\n"),
        *tool(
            "country",
            '''
def country(city: str) -> str:
    """Name the country of a city."""
    text = files(__package__).joinpath("cities.csv").read_text(encoding="utf-8")
    countries = dict(line.split(",") for line in text.splitlines())
    return countries.get(city, "unknown")
''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "from datetime import date, datetime\nfrom importlib.resources import files\n",
        ),
        new_file("scripts.py", '"""A module outside the package."""\n'),
        in_log_model(
            "code_paths=[str(PACKAGE)],",
            'code_paths=[str(PACKAGE), str(PACKAGE.parents[1] / "scripts.py")],',
        ),
    ),
    "resources in an authentication policy": (
        Patch("config.yml", "resources: {}\n", "resources:\n  table: [main.sales.orders]\n"),
        in_log_model(
            "            **permissions(config),\n",
            """            auth_policy=AuthPolicy(
                system_auth_policy=SystemAuthPolicy(resources=declared_resources(config)),
                user_auth_policy=UserAuthPolicy(api_scopes=["sql.sql"]),
            ),
""",
        ),
        in_log_model(
            "import mlflow\n",
            """import mlflow
from mlflow.models.auth_policy import AuthPolicy, SystemAuthPolicy, UserAuthPolicy
""",
        ),
    ),
    "names of resources that need no declaration": (
        in_tools('''
def names_of_others(name: str, endpoint: str, spark: Any) -> None:
    """Use other services, names that are not known, and the user's access."""
    OpenAI().responses.create(model="gpt-5", input="Hello")
    httpx.get("https://example.com", params=dict(endpoint="forecast", warehouse="North"))
    spark.table("orders").join(spark.table("sales.customers"))
    client = WorkspaceClient()
    client.serving_endpoints.query(endpoint)
    name = f"an-endpoint-{name}"
    client.serving_endpoints.query(name)
    client.serving_endpoints.get(f"{client.config.host}/api/2.0/mcp/genie/{name}")
    user = WorkspaceClient(credentials_strategy=credentials())
    user.serving_endpoints.query("an-endpoint")


def credentials() -> Any:
    """Return the credentials of the user who asks."""
    return ModelServingUserCredentials()
'''),
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources: {}\nuser_api_scopes: [serving.serving-endpoints]\n",
        ),
        Patch(
            "tools.py",
            "from zoneinfo import ZoneInfo, available_timezones\n",
            """from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import httpx
from databricks.sdk import WorkspaceClient
from databricks.sdk.credentials_provider import ModelServingUserCredentials
from openai import OpenAI
""",
        ),
    ),
    "metadata, resources and packages of the owner": (
        in_log_model(
            '            name="agent",\n',
            '            name="agent",\n            metadata={"team": "a"},\n',
        ),
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  serving_endpoint: [an-embedder]\n  table: [main.docs.pages]\n",
        ),
        at_import("import docstring_parser\nimport dotenv"),
        in_answer('assert dotenv.dotenv_values and docstring_parser.parse("Text.")'),
    ),
    "a package of a private index": PRIVATE_PACKAGE,
}

# Checking all rules takes long, so variations that do not touch the same lines share a run.
TRIED_TOGETHER = (
    (
        "no tools",
        "reasoning before the answer",
        "custom_inputs in the example",
        "metadata, resources and packages of the owner",
        "a package of a private index",
        "a check of the answer by the LLM",
    ),
    (
        "a tool with lists and defaults",
        "a tool with arguments of many types",
        "a tool that raises an exception",
        "a span and a tag of the trace",
        "a greeting before the answer",
        "validated custom_inputs",
        "a log message for each answer",
        "resources in an authentication policy",
        "an event loop for each request",
        "a plan before the answer",
        "instructions with a placeholder",
    ),
    (
        "a tool that returns a long text",
        "tools that run in asyncio's threads",
        "an asynchronous tool",
        "citations in the text",
        "nested data in custom_outputs",
        "rejected images and files",
        "an event loop in another thread",
        "an agent that uses Pydantic models",
        "a client created by the first request",
        "names of resources that need no declaration",
        "the date of each request in the instructions",
        "a tool with side effects that tests never call",
    ),
    (
        "tools that fail because of their arguments",
        "a tool with an optional date",
        "a database connection per thread",
        "the time of loading in custom_outputs",
        "a thread pool and a thread for all requests",
        "temporary files and processes that end with the answer",
    ),
    ("no LLM",),
    ("an agent of a few lines in another file",),
    ("a synchronous OpenAI client",),
    ("an asynchronous OpenAI client",),
    ("the Responses API of OpenAI",),
    (
        # The mixin changes the class line, before which the client's imports are inserted.
        "tools that fail because of their input or environment",
        "a client created by the first request, under a lock",
        "more files in the package and in code_paths",
        "a mixin and a base class of the owner",
        "a subclass of a subclass",
    ),
    ("a fixed answer to a greeting",),
)
