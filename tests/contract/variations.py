"""Sound agents: changes to a generated project against which no rule of the contract may speak."""

from tests.contract.breakages.changes import (
    IN_A_THREAD,
    Patch,
    another_agent,
    at_import,
    in_agent,
    in_example,
    in_log_model,
    new_file,
    when_asked,
    while_answering,
)

TOOLS = "TOOLS = [current_time, days_between]"

# An agent without an LLM; the pieces of its answer are the words of the user.
ECHO = '''
class Echo(ResponsesAgent):
    """Says what was said."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        done = map(done_item, self.predict_stream(request))
        items: list[Any] = [item for item in done if item]
        return ResponsesAgentResponse(output=items)

    def predict_stream(self, request):
        said = str(to_messages(request.input)[-1]["content"])
        item_id = f"msg_{uuid4().hex}"
        for word in said.splitlines(keepends=True):
            yield ResponsesAgentStreamEvent(**self.create_text_delta(word, item_id))
        item = self.create_text_output_item(said, item_id)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(Echo())
'''

VARIATIONS: dict[str, tuple[Patch, ...]] = {
    # Tools
    "no tools": (Patch("tools.py", TOOLS, "TOOLS = []"),),
    "another tool": (
        Patch(
            "tools.py",
            TOOLS,
            '''def weigh(things: list[str], precise: bool = False) -> dict[str, float]:
    """Weigh things."""
    return {thing: 1.5 if precise else 2.0 for thing in things}


TOOLS = [weigh]''',
        ),
    ),
    "a tool that raises on purpose": (
        Patch(
            "tools.py",
            TOOLS,
            '''def book(day: str) -> str:
    """Book a day."""
    raise PermissionError(f"{day} cannot be booked; ask for another day.")


TOOLS = [current_time, days_between, book]''',
        ),
    ),
    "a tool that returns a long text": (
        Patch(
            "tools.py",
            TOOLS,
            '''def read(page: int) -> str:
    """Read a page of the handbook."""
    return f"Page {page}. " + "Nothing is written here. " * 500


TOOLS = [current_time, days_between, read]''',
        ),
    ),
    "tools that run in threads of one's own, with the context of the request": (
        Patch(
            "toolbox.py",
            IN_A_THREAD,
            'await asyncio.to_thread(adapter.validate_json, arguments or "{}")',
        ),
        Patch("toolbox.py", "from anyio import to_thread\n", ""),
        Patch("toolbox.py", "import inspect\n", "import asyncio\nimport inspect\n"),
    ),
    "a tool that is asynchronous": (
        Patch(
            "tools.py",
            TOOLS,
            '''async def lend(book: str) -> str:
    """Lend a book.

    Args:
        book: Its title.
    """
    await asyncio.sleep(0)
    return f"{book} is yours."


TOOLS = [current_time, days_between, lend]''',
        ),
        Patch("tools.py", "from datetime import date", "import asyncio\nfrom datetime import date"),
    ),
    # Answers
    "no LLM at all": (at_import("from uuid import uuid4\n\n"), another_agent(ECHO)),
    "a plain agent of a few lines": (
        new_file(
            "src/weather_agent/plain.py",
            '''"""The whole agent."""

import uuid

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent


def said_last(request):
    """What the user said last, as text."""
    for item in reversed(request.input):
        content = getattr(item, "content", None)
        if isinstance(content, str):
            return content
        if content and getattr(item, "role", "") == "user":
            parts = (part if isinstance(part, dict) else part.model_dump() for part in content)
            return " ".join(part.get("text", "") for part in parts)
    return "nothing"


class Plain(ResponsesAgent):
    """Repeats."""

    def predict(self, request):
        events = list(self.predict_stream(request))
        return ResponsesAgentResponse(output=[events[-1].item])

    def predict_stream(self, request):
        item_id = str(uuid.uuid4())
        text = f"You said: {said_last(request)}"
        yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id=item_id))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done",
            item=self.create_text_output_item(text=text, id=item_id),
        )


mlflow.models.set_model(Plain())
''',
        ),
        in_log_model('PACKAGE / "agent.py"', 'PACKAGE / "plain.py"'),
    ),
    "reasoning before the answer": (
        in_agent(
            "        messages = [self.system_message(request)",
            """        thought = self.create_reasoning_item(f"rs_{time.time_ns()}", "Let me see.")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=thought)
        messages = [self.system_message(request)""",
        ),
    ),
    "a greeting in parts": (
        in_agent(
            "        messages = [self.system_message(request)",
            """        first = f"msg_{time.time_ns()}"
        pieces = ["Good ", "day", ", ", "and welcome."]
        for piece in pieces:
            yield ResponsesAgentStreamEvent(**self.create_text_delta(piece, item_id=first))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done",
            item=self.create_text_output_item("".join(pieces), first),
        )
        messages = [self.system_message(request)""",
        ),
    ),
    "sources cited in the text": (
        Patch(
            "conversation.py",
            '    item["status"] = "completed"\n',
            """    item["status"] = "completed"
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
""",
        ),
    ),
    "plain data in custom_outputs": (
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            """{
                        "llm": {"uri": llm.uri, "rounds": rounds, "scores": [0.5, 1, None]},
                        "sources": [{"title": "Grüße", "pages": [1, 2]}],
                        "final": True,
                    }""",
        ),
    ),
    # Requests
    "custom inputs in the example": (
        in_example('"input": [', '"custom_inputs": {"city": "Paris"}, "input": ['),
    ),
    "custom inputs that are checked": (
        while_answering(
            """        tenant = (request.custom_inputs or {}).get("tenant", "a")
        if not isinstance(tenant, str):
            raise ValueError("custom_inputs.tenant must be a text.")
"""
        ),
    ),
    # Classes
    "a mixin between": (
        in_agent(
            "class Agent(ResponsesAgent):",
            '''class Polite:
    """Adds nothing but a base."""


class Base(Polite, ResponsesAgent):
    """A base of one's own."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        raise NotImplementedError


class Agent(Base):''',
        ),
    ),
    "a class derived from a class of one's own": (
        another_agent('''
class Weather(Agent):
    """Knows the weather as well."""


class CoastalWeather(Weather):
    """Knows the tides."""

    def system_message(self, request: ResponsesAgentRequest) -> dict[str, Any]:
        message = super().system_message(request)
        return message | {"content": message["content"] + "\\nYou know the tides."}


mlflow.models.set_model(CoastalWeather(load_config(), load_instructions(), Toolbox(TOOLS)))
'''),
    ),
    "an agent with models of Pydantic inside": (
        at_import(
            '''from pydantic import BaseModel


class Profile(BaseModel):
    """Who asks."""

    name: str = "somebody"
    languages: list[str] = []


'''
        ),
        while_answering(
            """        asking = (request.context and request.context.user_id) or "somebody"
        assert Profile(name=asking).model_dump()
"""
        ),
    ),
    # Asynchronous code
    "an event loop inside": (
        when_asked("""        import asyncio

        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
"""),
    ),
    "an event loop in a thread of its own": (
        at_import("import asyncio\nimport threading\n\n"),
        while_answering(
            """        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
"""
        ),
    ),
    # What is made once
    "a client made at the first request": (
        at_import(
            '''from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def weather_client() -> httpx.Client:
    """The client of the weather service, made when it is first needed."""
    return httpx.Client(base_url="https://weather.example.com", timeout=5)


'''
        ),
        while_answering("        assert weather_client()\n"),
    ),
    "a client made at the first request, and kept under a lock": (
        at_import("import threading\n\nimport httpx\n\n"),
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
        while_answering("        assert self.weather_client()\n"),
    ),
    "an answer that is logged": (
        at_import("import logging\n\nLOGGER = logging.getLogger(__name__)\n\n"),
        while_answering('        LOGGER.info("Answering %d items.", len(request.input))\n'),
    ),
    # Packaging
    "more in the package, and more beside it": (
        new_file(
            "src/weather_agent/politeness.py",
            '"""Manners."""\n\n\ndef polite(text: str) -> str:\n    return f"{text} Please."\n',
        ),
        in_agent(
            "from weather_agent.toolbox import Toolbox\n",
            "from weather_agent.politeness import polite\n"
            "from weather_agent.toolbox import Toolbox\n",
        ),
        in_agent(
            "        content = self.instructions\n", "        content = polite(self.instructions)\n"
        ),
        new_file("src/weather_agent/cities.csv", "Tokyo,Japan\nParis,France\n"),
        Patch(
            "tools.py",
            TOOLS,
            '''def country(city: str) -> str:
    """Name the country of a city."""
    text = files(__package__).joinpath("cities.csv").read_text(encoding="utf-8")
    countries = dict(line.split(",") for line in text.splitlines())
    return countries.get(city, "unknown")


TOOLS = [current_time, days_between, country]''',
        ),
        Patch(
            "tools.py",
            "from datetime import date, datetime\n",
            "from datetime import date, datetime\nfrom importlib.resources import files\n",
        ),
        in_log_model(
            "code_paths=[str(PACKAGE)],",
            'code_paths=[str(PACKAGE), str(ROOT / "tests" / "contract" / "rules.py")],',
        ),
    ),
    "metadata, resources and packages of one's own": (
        in_log_model(
            '            name="agent",\n',
            '            name="agent",\n            metadata={"team": "a"},\n',
        ),
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  serving_endpoint: [an-embedder]\n  table: [main.docs.pages]\n",
        ),
        at_import("import tqdm\nimport yaml\n\n"),
        while_answering("        assert yaml.safe_load('1') == tqdm.tqdm([1]).total\n"),
    ),
}

# Each run of all rules takes a while, so several variations that do not touch are tried at once.
TRIED_TOGETHER = (
    (
        "no tools",
        "reasoning before the answer",
        "custom inputs in the example",
        "metadata, resources and packages of one's own",
    ),
    (
        "another tool",
        "a greeting in parts",
        "custom inputs that are checked",
        "an answer that is logged",
    ),
    (
        "a tool that raises on purpose",
        "sources cited in the text",
        "an event loop inside",
    ),
    (
        "a tool that returns a long text",
        "plain data in custom_outputs",
        "an event loop in a thread of its own",
    ),
    (
        "tools that run in threads of one's own, with the context of the request",
        "a tool that is asynchronous",
        "an agent with models of Pydantic inside",
        "a client made at the first request",
    ),
    ("no LLM at all",),
    ("a plain agent of a few lines",),
    # The class line that the mixin changes is where the client's is put before.
    ("a client made at the first request, and kept under a lock", "a mixin between"),
    ("a class derived from a class of one's own", "more in the package, and more beside it"),
)
