"""Sound classes, asynchronous code, objects that are created once, and packaging."""

from tests.contract.breakages.changes import (
    AGENT_CLASS,
    PRIVATE_PACKAGE,
    Patch,
    at_import,
    in_agent,
    in_answer,
    in_log_model,
    in_tools,
    method,
    new_file,
    subclass,
    tool,
)

INSTRUCTIONS = "        content = self.instructions\n"

CODE: dict[str, tuple[Patch, ...]] = {
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
