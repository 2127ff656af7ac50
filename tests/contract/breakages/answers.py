"""Mistakes in answers: what a request returns, and what it leaves behind."""

from textwrap import indent

from tests.contract.breakages.changes import (
    INPUT,
    MESSAGES,
    Patch,
    at_import,
    breaks,
    each_item,
    in_agent,
    in_answer,
    in_tools,
    method,
    new_answer,
    new_file,
    run_tools_together,
    subclass,
    tool,
)
from tests.contract.own_clients import RESPONSES, SYNCHRONOUS, changed

OUTPUT = 'yield function_call_output(item["call_id"], output)'
SYSTEM = "self.system_message(request)"
INSTRUCTIONS = "        content = self.instructions\n"
COMPLETION = "            completion = to_events(llm.stream(messages, **options))\n"
TOOLBOX_TRY = "        try:\n            output"


def custom_outputs(value: str) -> Patch:
    """Return a Python expression as the `custom_outputs` of `predict`."""
    return method(f"""
def predict(self, request):
    response = super().predict(request)
    response.custom_outputs = {value}
    return response
""")


def changed_items(code: str) -> Patch:
    """Change the list `items` before `predict` returns it."""
    return method(f"""
def predict(self, request):
    items = [item.model_dump(exclude_none=True) for item in super().predict(request).output]
    {code}
    return {{"output": items}}
""")


def each_part(code: str) -> Patch:
    """Process each `part` of the content of each `item` of the request."""
    return in_answer(f"""
for item in [item.model_dump() for item in request.input]:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
{indent(code.strip(), " " * 8)}
""")


def without_parts(kind: str) -> Patch:
    """Remove the content parts of a type from the request."""
    return in_answer(f"""
for item in request.input:
    if isinstance(getattr(item, "content", None), list):
        item.content = [part for part in item.content if "{kind}" not in str(part)]
""")


ANSWERS = {
    # The return value of predict
    "a string returned by predict": breaks(
        "accepted",
        "ResponsesAgentResponse|ResponsesResponse|str",
        method("""
def predict(self, request):
    return super().predict(request).output[-1].content[0]["text"]
"""),
    ),
    "a chat completion returned by predict": breaks(
        "accepted",
        "output",
        method("""
def predict(self, request):
    text = super().predict(request).output[-1].content[0]["text"]
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}
"""),
    ),
    "an asynchronous predict": breaks(
        "accepted",
        "coroutine",
        method("""
async def predict(self, request):
    return super().predict(request)
"""),
    ),
    "an agent without an answer method": breaks(
        "accepted",
        "abstract method '?answer",
        in_agent("    async def answer(\n", "    async def respond(\n"),
    ),
    "a predict with the parameters of a PythonModel": breaks(
        "accepted",
        "missing 1 required positional argument: 'request'",
        method("""
def predict(self, context, request):
    return super().predict(request)
"""),
    ),
    "predict and predict_stream that call each other": breaks(
        "accepted",
        "RecursionError|recursion",
        method("""
def predict_stream(self, request):
    yield from self.predict(request).output
"""),
    ),
    "the same answer to every request": breaks(
        "last-turn",
        "Two different requests have the same answer",
        new_answer(
            """
message_id = unique_id("msg")
yield delta_event("Hello! How can I help you?", message_id)
yield done_event(self.create_text_output_item("Hello! How can I help you?", message_id))
""",
            "from weather_agent.runtime.items import delta_event, done_event, unique_id",
        ),
    ),
    "only the first message sent to the LLM": breaks(
        "last-turn",
        "Two different requests have the same answer",
        in_agent(INPUT, "*to_messages(request.input[:1])]"),
    ),
    "earlier answers in each answer": breaks(
        "last-turn",
        "contains the earlier answer 'I am an agent.'",
        new_answer(
            """
for message in to_messages(request.input):
    if message["role"] == "assistant" and message.get("content"):
        item = self.create_text_output_item(message["content"], unique_id("msg"))
        yield done_event(item)
async for event in super().answer(request, llm):
    yield event
""",
            "from weather_agent.runtime.items import done_event, unique_id",
        ),
    ),
    # Items
    "a message without an id": breaks(
        "item-ids", "has no id", each_item('if item["type"] == "message":\n    item["id"] = ""')
    ),
    "one id for all items": breaks(
        "item-ids", "Two items have the same id", each_item('item["id"] = "item_1"')
    ),
    "ids that repeat in every answer": breaks(
        "item-ids", "Two answers use the same ids", each_item('item["id"] = item["type"]')
    ),
    "ids of more than 64 characters": breaks(
        "item-ids", "longer than 64", each_item('item["id"] *= 2')
    ),
    "an item created without an id": breaks(
        "accepted",
        "missing 1 required positional argument: 'id'",
        changed_items('items.append(self.create_text_output_item("Bye."))'),
    ),
    "a message with a string as content": breaks(
        "accepted",
        "content",
        each_item("""
if item["type"] == "message":
    item["content"] = item["content"][0]["text"]
"""),
    ),
    "a content part of the chat-completions API": breaks(
        "accepted",
        "content type: text|Invalid content",
        each_item("""
if item["type"] == "message":
    item["content"][0]["type"] = "text"
"""),
    ),
    "a fabricated item of a built-in tool of OpenAI": breaks(
        "output-items",
        "web_search_call",
        changed_items('items.append({"type": "web_search_call", "id": "ws_1", "found": 3})'),
    ),
    "an item that stays in progress": breaks(
        "output-items", "in_progress|status", each_item('item["status"] = "in_progress"')
    ),
    "an annotation without positions": breaks(
        "output-items",
        "annotation",
        each_item("""
if item["type"] == "message":
    item["content"][0]["annotations"] = [{"type": "url_citation", "title": "A", "url": "b"}]
"""),
    ),
    # Text
    "an empty message": breaks(
        "answer-text",
        "contains no text",
        each_item("""
if item["type"] == "message":
    item["content"][0]["text"] = ""
"""),
    ),
    "tool calls without a message after them": breaks(
        "answer-text",
        "contains no text",
        in_agent("            messages += to_messages(items)\n", "            return\n"),
    ),
    # JSON
    "a datetime in custom_outputs": breaks(
        "output-items",
        "custom_outputs.when is a datetime",
        at_import("from datetime import datetime"),
        custom_outputs('{"when": datetime.now()}'),
    ),
    "an object as text in custom_outputs": breaks(
        "output-items",
        "The answer contains a Python object as text: <.* object at 0x",
        in_agent('{"llm": llm.uri, "rounds": rounds}', '{"llm": repr(llm)}'),
    ),
    "a set in custom_outputs": breaks(
        "output-items", "custom_outputs.used is a set", custom_outputs('{"used": {"a"}}')
    ),
    "NaN in custom_outputs": breaks(
        "output-items", "custom_outputs.score is nan", custom_outputs('{"score": float("nan")}')
    ),
    "a NumPy number in custom_outputs": breaks(
        "output-items",
        "custom_outputs.score is a float",
        at_import("import numpy"),
        custom_outputs('{"score": numpy.float32(0.5)}'),
    ),
    "an unpaired surrogate in a text": breaks(
        "output-items",
        "unpaired surrogate",
        each_item("""
if item["type"] == "message":
    item["content"][0]["text"] += "\\ud83d"
"""),
    ),
    "the environment in custom_outputs": breaks(
        "closed-environment",
        "AGENT_CANARY",
        at_import("import os"),
        custom_outputs('{"environment": dict(os.environ)}'),
    ),
    "a key in the error of a tool": breaks(
        "closed-environment",
        "an answer contains the value of the variable MAPS_API_KEY",
        *tool(
            "distance",
            """
def distance(place: str) -> str:
    key = os.environ["MAPS_API_KEY"]
    raise ConnectionError(f"https://maps.example.com/{place}?key={key} is unreachable.")
""",
        ),
        Patch("tools.py", "from datetime import", "import os\nfrom datetime import"),
    ),
    "the headers of the request in the log": breaks(
        "closed-environment",
        "the log contains the header 'authorization' of the request",
        at_import("""
import logging
from mlflow.genai.agent_server import get_request_headers

LOGGER = logging.getLogger(__name__)
"""),
        in_answer('LOGGER.info("A request with %s", get_request_headers())'),
    ),
    "a tool that evaluates an expression": breaks(
        "closed-environment",
        "With offline:/hostile-texts, an answer contains the value of the variable",
        *tool(
            "calculate", "def calculate(expression: str) -> object:\n    return eval(expression)"
        ),
    ),
    "a tool that opens any file": breaks(
        "closed-environment",
        "With offline:/hostile-texts, an answer contains the instructions",
        *tool(
            "guide",
            "def guide(name: str) -> str:\n"
            '    path = files("weather_agent").joinpath("guides", name)\n'
            '    return path.resolve().read_text() if ".md" in name else "There is no guide."',
        ),
        Patch(
            "tools.py",
            "from datetime import",
            "from importlib.resources import files\nfrom datetime import",
        ),
    ),
    "a traceback in the error of a tool": breaks(
        "closed-environment",
        "an answer contains a path of the server",
        Patch(
            "tools.py",
            "def current_time(",
            "def with_traceback(tool):\n"
            "    @functools.wraps(tool)\n"
            "    def run(*args, **kwargs):\n"
            "        try:\n"
            "            return tool(*args, **kwargs)\n"
            "        except Exception:\n"
            "            raise ValueError(traceback.format_exc()) from None\n\n"
            "    return run\n\n\n"
            "@with_traceback\ndef current_time(",
        ),
        Patch(
            "tools.py", "from datetime import", "import functools, traceback\nfrom datetime import"
        ),
    ),
    "a path in the error of a tool": breaks(
        "closed-environment",
        "With offline:/many-arguments, an answer contains a path of the server",
        *tool(
            "climate",
            """
def climate(city: str) -> str:
    if not city:
        raise ValueError("Name a city.")
    path = files(__package__) / "data" / f"{city}.csv"
    if city == "example":
        return "12 °C"
    raise ValueError(f"{path} does not exist.")
""",
        ),
        Patch(
            "tools.py",
            "from datetime import",
            "from importlib.resources import files\nfrom datetime import",
        ),
    ),
    "a key in the error of a tool, by the name in a table": breaks(
        "closed-environment",
        "an answer contains the value of the variable WEATHER_AUTH",
        *tool(
            "weather",
            """
SERVICES = {"weather": ("https://weather.example.com", "WEATHER_AUTH")}

def weather(place: str) -> str:
    url, variable = SERVICES["weather"]
    raise ConnectionError(f"{url}/{place}?auth={os.environ.get(variable)} is unreachable.")
""",
        ),
        Patch("tools.py", "from datetime import", "import os\nfrom datetime import"),
    ),
    "the messages in custom_outputs on request": breaks(
        "closed-environment",
        "an answer contains the instructions",
        in_agent(
            '"rounds": rounds}',
            '"rounds": rounds}\n'
            '                        if (request.custom_inputs or {}).get("debug"):\n'
            '                            event.custom_outputs["messages"] = list(messages)',
        ),
    ),
    "the key of the LLM in the log": breaks(
        "closed-environment",
        "With openai:/fail, the log contains the value of the variable OPENAI_API_KEY",
        at_import("import logging\n\nLOGGER = logging.getLogger(__name__)"),
        new_answer("""
try:
    async for event in super().answer(request, llm):
        yield event
except LLMError:
    LOGGER.exception("The LLM failed: %s", vars(llm.access))
    raise
"""),
    ),
    "the messages for the LLM in the log": breaks(
        "closed-environment",
        "the log contains the instructions",
        at_import("import logging\n\nLOGGER = logging.getLogger(__name__)"),
        in_agent(
            "                async for event in events:\n                    if item",
            '                LOGGER.info("Asking the LLM: %s", json.dumps(messages))\n'
            "                async for event in events:\n                    if item",
        ),
    ),
    "a token in the log": breaks(
        "closed-environment",
        "the log contains the value of the variable MAPS_TOKEN",
        at_import("import logging\nimport os\n\nLOGGER = logging.getLogger(__name__)"),
        in_answer('LOGGER.info("Connecting with %s", {"token": os.getenv("MAPS_TOKEN")})'),
    ),
    "a password in the instructions for the LLM": breaks(
        "closed-environment",
        "An LLM request contains the value of the variable DATABASE_PASSWORD",
        at_import("import os"),
        in_agent(
            INSTRUCTIONS,
            "        content = self.instructions + "
            "f\"Log in with {os.environ.get('DATABASE_PASSWORD')}.\"\n",
        ),
    ),
    "a key of Pydantic's settings in the log": breaks(
        "closed-environment",
        "the log contains the value of the variable SEARCH_API_KEY",
        at_import("""
import logging

from pydantic_settings import BaseSettings, SettingsConfigDict

LOGGER = logging.getLogger(__name__)


class SearchSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SEARCH_")

    api_key: str = ""
    region: str = "eu"
"""),
        in_answer('LOGGER.info("Searching with %s", SearchSettings())'),
    ),
    "a token in the log, read by a constant": breaks(
        "closed-environment",
        "the log contains the value of the variable MAPS_TOKEN",
        at_import('import logging\nimport os\n\nVARIABLE = "MAPS_TOKEN"'),
        in_answer('logging.getLogger(__name__).info("Using %s", os.environ.get(VARIABLE))'),
    ),
    "a key in a warning": breaks(
        "closed-environment",
        "the log contains the value of the variable MAPS_API_KEY",
        at_import("import os\nimport warnings"),
        in_answer("warnings.warn(f\"{os.environ.get('MAPS_API_KEY')} is old.\", stacklevel=1)"),
    ),
    "a database URL in the error of a tool": breaks(
        "closed-environment",
        "an answer contains the value of the variable DATABASE_URL",
        *tool(
            "orders",
            """
def orders(customer: str) -> str:
    raise ConnectionError(f"No connection to {os.environ.get('DATABASE_URL')} for {customer}.")
""",
        ),
        Patch("tools.py", "from datetime import", "import os\nfrom datetime import"),
    ),
    "a password of SMTP in the output of a tool": breaks(
        "closed-environment",
        "an answer contains the value of the variable SMTP_PASS",
        *tool(
            "send",
            """
def send(text: str) -> str:
    return f"Sent {text} with {os.environ.get('SMTP_USER')}, {os.environ.get('SMTP_PASS')}."
""",
        ),
        Patch("tools.py", "from datetime import", "import os\nfrom datetime import"),
    ),
    "a key in the URL of a failed request": breaks(
        "closed-environment",
        "an answer contains the value of the variable MAPS_API_KEY",
        *tool(
            "distance",
            """
def distance(place: str) -> str:
    parameters = {"place": place, "key": os.environ.get("MAPS_API_KEY", "")}
    response = httpx.get("https://maps.example.com/distance", params=parameters, timeout=5)
    return response.raise_for_status().text
""",
        ),
        Patch(
            "tools.py", "from datetime import", "import os\n\nimport httpx\nfrom datetime import"
        ),
    ),
    "the instructions in custom_outputs": breaks(
        "closed-environment",
        "an answer contains the instructions: 'You are a helpful assistant",
        in_agent('"rounds": rounds}', '"rounds": rounds, "prompt": self.system_message(request)}'),
    ),
    "the start of the instructions in custom_outputs": breaks(
        "closed-environment",
        "an answer contains the instructions: 'You are a helpful assistant",
        custom_outputs('{"prompt": self.instructions[:60]}'),
    ),
    "the settings in custom_outputs": breaks(
        "closed-environment",
        "an answer contains the settings answer_timeout_seconds, llm_max_retries",
        custom_outputs("self.config.model_dump()"),
    ),
    "the instructions in an exception": breaks(
        "closed-environment",
        "With offline:/fail, an error contains the instructions",
        method("""
def predict(self, request):
    try:
        return super().predict(request)
    except Exception as error:
        raise RuntimeError(f"No answer to {self.system_message(request)}") from error
"""),
    ),
    "the messages in the error after too many rounds": breaks(
        "closed-environment",
        "With offline:/endless-tools, an error contains the instructions",
        in_agent("may_call=rounds < self.config.max_rounds", "may_call=True"),
        in_agent("Raise max_rounds in config.yml.", "The messages are {messages}."),
    ),
    "the settings in the error of a refused request": breaks(
        "closed-environment",
        "an error contains the settings",
        in_answer("""
language = (request.custom_inputs or {}).get("language", "en")
if language not in ("en", "de"):
    raise RequestError(f"The agent does not speak {language!r}: {self.config!r}")
"""),
        in_agent("import done_item, function", "import RequestError, done_item, function"),
    ),
    "a tool call after a text that is lost": breaks(
        "tool-calls",
        "The LLM wrote a text before its tool call, and the agent answered without the call",
        *changed(
            SYNCHRONOUS,
            "                yield self.done(self.create_text_output_item(text, item_id))\n",
            "                yield self.done(self.create_text_output_item(text, item_id))\n"
            "                return\n",
        ),
    ),
    "a traceback as the output of a tool": breaks(
        "closed-environment",
        "With offline:/tools, an answer contains a path of the server",
        *tool(
            "convert",
            "import traceback\n\n\n"
            "def convert(amount: str) -> str:\n    try:\n        return str(float(amount) * 1.1)\n"
            "    except Exception:\n        return traceback.format_exc()",
        ),
    ),
    "the key of an OpenAI client in an exception": breaks(
        "closed-environment",
        "With offline:/fail, an error contains the value of the variable OPENAI_API_KEY",
        *changed(
            SYNCHRONOUS,
            "            message = self.complete(messages)\n",
            """
            try:
                message = self.complete(messages)
            except openai.APIError as error:
                raise RuntimeError(f"{openai.OpenAI().auth_headers} failed") from error
""",
        ),
    ),
    # Tool calls
    "an output whose call_id matches no call": breaks(
        "accepted",
        "'call_0' is not a call without output",
        in_agent(OUTPUT, 'yield function_call_output("call_0", output)'),
    ),
    "a text beside a tool call that ends the answer": breaks(
        "tool-calls",
        "wrote a text before its tool call, and the agent called it 1 times. Without .* 2 times",
        in_agent(
            'if not any(item["type"] == "function_call" for item in items):',
            'if any(item["type"] == "message" for item in items):',
        ),
    ),
    "a call without an output": breaks(
        "tool-calls",
        "but the outputs",
        changed_items('items = [item for item in items if item["type"] != "function_call_output"]'),
    ),
    "two outputs for one call": breaks(
        "accepted",
        "is not a call without output there",
        in_agent(OUTPUT, f"{OUTPUT}\n                {OUTPUT}"),
    ),
    "an output before its call": breaks(
        "tool-calls",
        "comes before its call",
        changed_items('items.sort(key=lambda item: item["type"] != "function_call_output")'),
    ),
    "arguments that are not valid JSON": breaks(
        "tool-calls",
        "not a JSON object",
        each_item("""
if item["type"] == "function_call":
    item["arguments"] = str(json.loads(item["arguments"]))
"""),
    ),
    "one output for all calls of a tool": breaks(
        "tool-calls",
        "The tool current_time, called with .*has another output: ",
        in_agent(
            "        async for event in events:\n            yield event\n            item =",
            "        outputs: dict[str, str] = {}\n"
            "        async for event in events:\n            yield event\n            item =",
        ),
        in_agent(
            OUTPUT,
            """outputs.setdefault(item["name"], output)
                yield function_call_output(item["call_id"], outputs[item["name"]])""",
        ),
    ),
    "outputs in the order in which tools finish": breaks(
        "tool-calls",
        "The tool .*, called with .*With other calls in the same turn, the call has another output",
        Patch("agent.py", "import json\n", "import asyncio\nimport json\n"),
        run_tools_together(
            "for call, run in zip(calls, asyncio.as_completed(runs), strict=True):\n"
            "            output = await run"
        ),
    ),
    "repeated calls that run once": breaks(
        "tool-calls",
        "The LLM made the same call six times in one turn: .*no output",
        in_agent(
            "        async for event in events:\n            yield event\n            item =",
            "        done: set[tuple[str, str]] = set()\n        async for event in events:\n"
            "            yield event\n            item =",
        ),
        in_agent(
            '            if item and item["type"] == "function_call":\n                output =',
            '            if item and item["type"] == "function_call":\n'
            '                call = item["name"], item["arguments"]\n'
            "                if call in done:\n                    continue\n"
            "                done.add(call)\n                output =",
        ),
    ),
    "a tool output that is a dictionary": breaks(
        "accepted",
        "output",
        in_agent(OUTPUT, 'yield function_call_output(item["call_id"], {"result": output})'),
    ),
    # Tools
    "an exception of a tool that ends the request": breaks(
        "failing-tools",
        "An invalid tool call failed the request",
        Patch(
            "runtime/toolbox.py",
            TOOLBOX_TRY,
            f"        adapter.validate_json(arguments)\n{TOOLBOX_TRY}",
        ),
    ),
    "a call of an unknown tool that ends the request": breaks(
        "failing-tools",
        "An invalid tool call failed the request: .*no_such_tool",
        Patch("runtime/toolbox.py", "self._adapters.get(name)", "self._adapters[name]"),
    ),
    "an invalid call that ends the process": breaks(
        "failing-tools",
        "SystemExit",
        Patch(
            "runtime/toolbox.py",
            "        except ValidationError as error:\n",
            """        except ValidationError as error:
            raise SystemExit(1) from error
""",
        ),
    ),
    "a failed call without an output": breaks(
        "llm-requests",
        r"have no output before .*\(current_time\)",
        in_agent(OUTPUT, f'if not output.startswith("Error"):\n                    {OUTPUT}'),
    ),
    # Requests
    "content that must be a string": breaks(
        "every-request",
        "with content parts failed: TypeError",
        in_agent(INSTRUCTIONS, "        content = self.instructions + request.input[-1].content\n"),
    ),
    "a last item that must have content": breaks(
        "every-request",
        "as the last item failed: .*content",
        in_answer("_ = request.input[-1].content"),
    ),
    "a request used as a dictionary": breaks(
        "accepted", "subscriptable", in_answer('_ = request["input"]')
    ),
    "required custom_inputs": breaks(
        "accepted", "NoneType.*subscriptable", in_answer('_ = request.custom_inputs["tenant"]')
    ),
    "required custom_inputs, which the example has": breaks(
        "every-request",
        "no custom_inputs failed: TypeError: 'NoneType' object is not subscriptable",
        Patch("input_example.json", '"input": [', '"custom_inputs": {"tenant": "a"}, "input": ['),
        in_answer('_ = request.custom_inputs["tenant"]'),
    ),
    "a required key of custom_inputs": breaks(
        "every-request",
        "custom_inputs failed: KeyError: 'user_id'",
        in_answer('_ = request.custom_inputs and request.custom_inputs["user_id"]'),
    ),
    "a required context": breaks(
        "every-request",
        "text failed: AttributeError: 'NoneType' object has no attribute 'user_id'",
        Patch("input_example.json", '"input": [', '"context": {"user_id": "a"}, "input": ['),
        in_answer("_ = request.context.user_id"),
    ),
    "a required user in the context": breaks(
        "every-request",
        "a context without a user failed: .*NoneType",
        in_answer("_ = request.context and request.context.user_id.upper()"),
    ),
    "a text in each content part": breaks(
        "every-request",
        "with an earlier refusal failed: KeyError: 'text'",
        each_part('part["text"]'),
    ),
    "a text or a refusal in each content part": breaks(
        "every-request",
        "with an image failed: KeyError: 'text'",
        each_part('part.get("refusal") or part["text"]'),
    ),
    "a text or an image in each content part": breaks(
        "every-request",
        "with a file failed: KeyError: 'image_url'",
        each_part('part.get("text") or part.get("refusal") or part["image_url"]'),
    ),
    "the data of each file": breaks(
        "every-request",
        "with the id of a file failed: KeyError: 'file_data'",
        each_part('len(part["file_data"]) if part["type"] == "input_file" else 0'),
    ),
    "a text in each file": breaks(
        "every-request",
        "with a PDF failed: UnicodeDecodeError",
        each_part("""
from base64 import b64decode

if data := part.get("file_data"):
    b64decode(data.partition(",")[2]).decode()
"""),
    ),
    "a text as the output of each tool": breaks(
        "every-request",
        "with a tool output with content parts failed: AttributeError",
        in_answer("""
for item in request.input:
    if getattr(item, "type", "") == "function_call_output":
        item.output = item.output.strip()
"""),
    ),
    "a part in each earlier answer": breaks(
        "every-request",
        "with an earlier answer without text failed: IndexError",
        in_answer("""
for item in request.input:
    if getattr(item, "role", "") == "assistant" and isinstance(item.content, list):
        _ = item.content[0]
"""),
    ),
    "an unknown item rejected": breaks(
        "every-request",
        "with an earlier web search failed: ValueError: Unknown: web_search_call",
        in_answer("""
for item in request.input:
    kind = item.type or "message"
    if kind not in ("message", "reasoning", "function_call", "function_call_output"):
        raise ValueError(f"Unknown: {kind}")
"""),
    ),
    "a text of several words": breaks(
        "every-request",
        "with one word failed: ValueError: not enough values",
        in_answer("""
texts = [one["content"] for one in to_messages(request.input) if one["role"] == "user"]
_first, _others = str(texts[0]).split(" ", 1)
"""),
    ),
    "a quoted text removed": breaks(
        "every-request",
        "with a quoted text failed: LLMError",
        in_agent(
            MESSAGES,
            f"""{MESSAGES}        for message in messages[1:]:
            if isinstance(message["content"], str):
                lines = message["content"].splitlines()
                message["content"] = "\\n".join(one for one in lines if one[:1] != ">")
""",
        ),
    ),
    "the user of the request as the name in a message": breaks(
        "every-request",
        "with long ids failed: LLMError: .*name': .* does not match",
        in_agent(
            MESSAGES, MESSAGES + "        messages[-1] |= {'name': request.user or 'anonymous'}\n"
        ),
    ),
    "a text used as a template": breaks(
        "every-request",
        "with JSON as text failed: KeyError",
        in_agent(
            MESSAGES,
            f"""{MESSAGES}
        for one in messages:
            if one["role"] == "user" and isinstance(one["content"], str):
                one["content"] = f"{{one['content']}} (at {{{{now}}}})".format(now="noon")
""",
        ),
    ),
    "a stream that needs a text": breaks(
        "every-request",
        "The stream for a request with content parts failed: AttributeError",
        subclass("""
class Streaming(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        for item in request.input:
            if getattr(item, "role", "") == "user" and item.content.startswith("/"):
                raise ValueError("There are no commands.")
        yield from super().predict_stream(request)
"""),
    ),
    "an image rejected without RequestError": breaks(
        "every-request",
        "with an image failed: ValueError: This agent reads only text",
        each_part("""
if part["type"] == "input_image":
    raise ValueError("This agent reads only text.")
"""),
    ),
    "a summary of each earlier reasoning": breaks(
        "every-request",
        "with earlier reasoning without a summary failed: IndexError",
        in_answer("""
for item in request.input:
    if item.type == "reasoning":
        _ = item.summary[0]
"""),
    ),
    "the id of a conversation as the key of the LLM's cache": breaks(
        "every-request",
        "long ids failed: .*'prompt_cache_key': it has more than 64 characters",
        in_agent(
            "(messages, **options)",
            "(messages, **options, prompt_cache_key=request.context and "
            "request.context.conversation_id)",
        ),
    ),
    "a rejected role": breaks(
        "every-request",
        "a system message failed: ValueError",
        in_answer("""
for item in request.input:
    if getattr(item, "role", "user") not in ("user", "assistant"):
        raise ValueError(f"Unknown role: {item.role}")
"""),
    ),
    "a text that must be ASCII": breaks(
        "every-request",
        "failed: UnicodeEncodeError",
        in_answer('_ = str(to_messages(request.input)[-1]["content"]).encode("ascii")'),
    ),
    # State
    "the request stored on the instance": breaks(
        "stateless",
        "Agent.request",
        in_answer("self.request = request"),
        in_agent(INPUT, "*to_messages(self.request.input)]"),
    ),
    "items collected on the instance": breaks(
        "requests-apart",
        "contains other requests",
        method("""
def predict(self, request):
    response = super().predict(request)
    self.kept = [*getattr(self, "kept", []), *response.output]
    response.output = self.kept
    return response
"""),
    ),
    "items collected on the class": breaks(
        "requests-apart",
        "contains other requests",
        method("""
items: list[Any] = []

def predict(self, request):
    response = super().predict(request)
    self.items += response.output
    response.output = list(self.items)
    return response
"""),
    ),
    "a conversation collected in the module": breaks(
        "stateless",
        "HISTORY",
        at_import("HISTORY: list[dict[str, Any]] = []"),
        in_answer("HISTORY.extend(to_messages(request.input))"),
        in_agent(INPUT, "*HISTORY]"),
    ),
    "calls collected by a tool": breaks(
        "stateless",
        "CALLS",
        in_tools("CALLS: list[int] = []"),
        Patch(
            "tools.py",
            "    return (end - start).days\n",
            "    CALLS.append((end - start).days)\n    return CALLS[-1]\n",
        ),
    ),
    "conversations stored by their ids": breaks(
        "stateless",
        "MEMORY",
        at_import("MEMORY: dict[str | None, list[Any]] = {}"),
        in_answer("""
key = request.context and request.context.conversation_id
MEMORY.setdefault(key, []).extend(to_messages(request.input))
"""),
        in_agent(INPUT, "*MEMORY[key]]"),
    ),
    "a conversation collected in a default argument": breaks(
        "stateless",
        "default 0",
        method("""
def remember(self, messages: list[Any], memory: list[Any] = []) -> list[Any]:
    memory.extend(messages)
    return list(memory)
"""),
        in_agent(INPUT, "*self.remember(to_messages(request.input))]"),
    ),
    "a user in an attribute of a function": breaks(
        "stateless",
        "agent.py: remember.last",
        at_import("def remember() -> None:\n    pass\n"),
        in_answer("remember.last = request.context and request.context.user_id"),
    ),
    "a list as the default of a context variable": breaks(
        "stateless",
        "agent.py: PLACES",
        at_import("""
from contextvars import ContextVar

PLACES: ContextVar[list[Any]] = ContextVar("PLACES", default=[])
"""),
        in_answer("PLACES.get().append(request.input[-1])"),
    ),
    "a user in the headers of a cached client": breaks(
        "stateless",
        r"Answering changes agent.py: client\(\)",
        in_tools("""
import functools

import httpx


@functools.lru_cache(maxsize=1)
def client() -> httpx.Client:
    return httpx.Client()
"""),
        in_agent("import TOOLS\n", "import TOOLS, client\n"),
        in_answer("""
if request.context and request.context.user_id:
    client().headers["X-User"] = request.context.user_id
"""),
    ),
    "a user in the context of the logger": breaks(
        "stateless",
        "Answering changes agent.py: LOGGER.extra",
        at_import("import logging\n\nLOGGER = logging.LoggerAdapter(logging.getLogger(), {})"),
        in_answer('LOGGER.extra["user"] = request.context and request.context.user_id'),
    ),
    "the places that a tool has found in a cached list": breaks(
        "stateless",
        r"Answering changes tools.py: recent\(\)",
        in_tools(
            "import functools\n\n\n@functools.cache\ndef recent() -> list[str]:\n    return []\n"
        ),
        Patch(
            "tools.py",
            '            return f"{datetime.now',
            '            recent().append(name)\n            return f"{datetime.now',
        ),
    ),
    "the last place in the module of the tools": breaks(
        "stateless",
        "Calling tools changes tools.py: LAST",
        in_tools('LAST = {"zone": "UTC"}'),
        Patch(
            "tools.py",
            '            return f"{datetime.now',
            '            LAST["zone"] = name\n            return f"{datetime.now',
        ),
    ),
    "the place of a user in the description of a tool": breaks(
        "stateless",
        "Answering changes Agent.toolbox",
        in_answer("""
if place := (request.custom_inputs or {}).get("place"):
    function = self.toolbox.options(may_call=True)["tools"][0]["function"]
    function["description"] += f" The user is in {place}."
"""),
    ),
    "answers cached by the first message": breaks(
        "last-turn",
        "Two different requests have the same answer",
        at_import("CACHE: dict[str, Any] = {}"),
        method("""
def predict(self, request):
    key = str(to_messages(request.input[:1]))
    if key not in CACHE:
        CACHE[key] = super().predict(request)
    return CACHE[key]
"""),
    ),
    "answers cached by the whole request": breaks(
        "item-ids",
        "Two answers use the same ids",
        at_import("CACHE: dict[str, Any] = {}"),
        method("""
def predict(self, request):
    key = request.model_dump_json()
    if key not in CACHE:
        CACHE[key] = super().predict(request)
    return CACHE[key]
"""),
    ),
    # Two users
    "the previous user in custom_outputs": breaks(
        "requests-apart",
        "The answer to one user contains data of another: (alder|birch|cedar)-conversation",
        at_import('LAST: dict[str, Any] = {"context": None}'),
        in_answer('previous, LAST["context"] = LAST["context"], str(request.context)'),
        in_agent('"rounds": rounds}', '"rounds": rounds, "previous": previous}'),
    ),
    "a city of a user in the description of a tool": breaks(
        "requests-apart",
        "An LLM request for one user contains data of another: (alder|birch)-home_city",
        in_agent(
            COMPLETION,
            '            home = (request.custom_inputs or {}).get("home_city")\n'
            '            if home and "tools" in options:\n'
            '                tool = options["tools"][0]["function"]\n'
            '                tool["description"] += f" The user lives in {home}."\n'
            f"{COMPLETION}",
        ),
    ),
    "a nickname of a user on the toolbox": breaks(
        "requests-apart",
        "The LLM request or the answer to a user without `custom_inputs` contains .*cedar-nickname",
        in_answer("""
inputs = request.custom_inputs or {}
if "nickname" in inputs:
    vars(self.toolbox)["nickname"] = inputs["nickname"]
"""),
        in_agent(
            '        return {"role": "system"',
            '        content += vars(self.toolbox).get("nickname", "")\n'
            '        return {"role": "system"',
        ),
    ),
    "the headers of a user in a cached function": breaks(
        "requests-apart",
        "The answer to one user contains data of another: cedar-email",
        *tool(
            "account",
            "@cache\ndef caller() -> str:\n"
            '    return get_request_headers().get("x-forwarded-email", "nobody")\n\n\n'
            "def account() -> str:\n    return caller()",
        ),
        Patch(
            "tools.py",
            "from zoneinfo",
            "from functools import cache\n"
            "from mlflow.genai.agent_server import get_request_headers\nfrom zoneinfo",
        ),
    ),
    "answers cached without custom_inputs": breaks(
        "requests-apart",
        "The answer to one user contains data of another: alder-argument",
        at_import("CACHE: dict[str, list[Any]] = {}"),
        new_answer("""
key = json.dumps([item.model_dump() for item in request.input], default=str)
if key not in CACHE:
    CACHE[key] = [event async for event in super().answer(request, llm)]
for event in CACHE[key]:
    yield event
"""),
    ),
    "a user's data in a cache by text": breaks(
        "requests-apart",
        "data of another: alder-",
        at_import("CACHE: dict[str, Any] = {}"),
        in_agent(SYSTEM, "CACHE.setdefault(str(request.input[-1]), self.system_message(request))"),
    ),
    "the current user in the module of the tools": breaks(
        "requests-apart",
        "The answer to one user contains data of another: birch-user",
        *tool(
            "my_orders",
            """
CURRENT = {"user": ""}


def my_orders() -> str:
    return f"Orders of {CURRENT['user']}: none."
""",
        ),
        at_import("from weather_agent.tools import CURRENT"),
        in_answer('CURRENT["user"] = str(request.context and request.context.user_id)'),
    ),
    "what a user has chosen in an object of the tools": breaks(
        "requests-apart",
        "The answer to one user contains data of another: birch-argument",
        *tool(
            "SHOP.choose, SHOP.chosen",
            """
class Shop:
    city = ""

    def choose(self, city: str) -> str:
        self.city = city
        return "Chosen."

    def chosen(self) -> str:
        return f"You have chosen {self.city}."


SHOP = Shop()
""",
        ),
    ),
    "the current user in a thread local": breaks(
        "requests-apart",
        "An LLM request for one user contains data of another: birch-user",
        at_import("import threading\n\nLOCAL = threading.local()"),
        in_answer("LOCAL.user = request.context and request.context.user_id"),
        in_agent(
            "llm.stream(messages, **options)",
            'llm.stream([{"role": "system", "content": f"{LOCAL.user}"}, *messages], **options)',
        ),
    ),
    "a conversation in a file": breaks(
        "requests-apart",
        "An LLM request for one user contains data of another: (alder|birch)-text",
        at_import("import tempfile\nfrom pathlib import Path"),
        in_answer("""
memory = Path(tempfile.gettempdir(), f"{type(self).__module__}.txt")
with memory.open("a", encoding="utf-8") as file:
    file.write(json.dumps(to_messages(request.input)))
"""),
        in_agent(SYSTEM, '{"role": "system", "content": memory.read_text("utf-8")}'),
    ),
    "the previous response of OpenAI on the instance": breaks(
        "requests-apart",
        "An LLM request for one user contains data of another: (alder|birch)-text",
        *changed(
            changed(RESPONSES, "previous = None", 'previous = getattr(self, "previous", None)'),
            "previous = event.response.id",
            "previous = self.previous = event.response.id",
        ),
    ),
    "the settings of a user in the module": breaks(
        "requests-apart",
        "is answered with the `custom_inputs` of an earlier one",
        at_import("SETTINGS: dict[str, Any] = {}"),
        in_answer("""
if request.context and request.context.user_id:
    known = SETTINGS.setdefault(request.context.user_id, request.custom_inputs)
    request = request.model_copy(update={"custom_inputs": known})
"""),
    ),
    "conversations stored by their users": breaks(
        "stateless",
        "agent.py: HISTORY",
        at_import("HISTORY: dict[str, list[Any]] = {}"),
        in_answer("""
earlier: list[Any] = []
if request.context and request.context.user_id:
    earlier = HISTORY.setdefault(request.context.user_id, [])
"""),
        in_agent(INPUT, "*earlier, *to_messages(request.input)]\n        earlier += messages[1:]"),
    ),
    "custom_inputs in a shallow copy": breaks(
        "stateless",
        "agent.py: DEFAULTS",
        at_import('DEFAULTS: dict[str, Any] = {"profile": {}, "style": "brief"}'),
        in_answer("""
profile = DEFAULTS.copy()
profile["profile"].update(request.custom_inputs or {})
request = request.model_copy(update={"custom_inputs": profile})
"""),
    ),
    "the first user in the options of the LLM": breaks(
        "requests-apart",
        "An LLM request for one user contains data of another: (alder|cedar)-",
        at_import("OPTIONS: dict[str, str] = {}"),
        in_answer("""
if request.context and request.context.user_id:
    OPTIONS.setdefault("user", request.context.user_id)
"""),
        in_agent("(messages, **options)", "(messages, **options, **OPTIONS)"),
    ),
    "a request counter on the instance": breaks(
        "stateless", "Agent.count", in_answer('self.count = getattr(self, "count", 0) + 1')
    ),
    "the user's settings in the environment": breaks(
        "stateless",
        "the variable AGENT_USER",
        at_import("import os"),
        in_answer('os.environ["AGENT_USER"] = str(request.input[-1])'),
    ),
    "a context variable that is not reset": breaks(
        "stateless",
        "HISTORY",
        at_import("""
from contextvars import ContextVar

HISTORY = ContextVar("HISTORY", default="")
"""),
        method("""
def predict_stream(self, request):
    HISTORY.set(HISTORY.get() + str(request.input))
    yield from super().predict_stream(request)
"""),
        in_agent(INSTRUCTIONS, "        content = self.instructions + HISTORY.get()\n"),
    ),
    # Runs of MLflow
    "a metric logged for each answer": breaks(
        "no-runs",
        "MlflowClient.log_metric",
        in_answer('mlflow.log_metric("items", len(request.input))'),
    ),
    "a run for each answer": breaks(
        "no-runs",
        "MlflowClient.create_run",
        in_answer("""
with mlflow.start_run():
    mlflow.log_dict(request.model_dump(), "request.json")
"""),
    ),
    "a tool in another module that tags a run": breaks(
        "no-runs",
        "MlflowClient.set_tag",
        new_file(
            "src/weather_agent/usage.py",
            """
import mlflow


def count(name: str) -> None:
    mlflow.set_tag("tool", name)
""",
        ),
        Patch(
            "tools.py",
            "    return (end - start).days\n",
            '    count("days_between")\n    return (end - start).days\n',
        ),
        Patch(
            "tools.py",
            "available_timezones\n\n",
            "available_timezones\n\nfrom weather_agent.usage import count\n\n",
        ),
    ),
    # Threads
    "the event loop of the main thread": breaks(
        "requests-apart",
        "no current event loop in thread",
        method("""
def predict_stream(self, request):
    import asyncio

    asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))
    yield from super().predict_stream(request)
"""),
    ),
    "a signal handler set for each request": breaks(
        "requests-apart",
        "signal only works in main thread",
        method("""
def predict_stream(self, request):
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield from super().predict_stream(request)
"""),
    ),
    "a title from the first part of a message, which must be a text": breaks(
        "every-request",
        "A request with an image of a website failed: KeyError",
        in_answer("""
first = request.input[0].model_dump().get("content") or ""
title = first if isinstance(first, str) else first[0]["text"]
"""),
    ),
    # Attachments and content parts
    "images left out of the conversation": breaks(
        "attachments", "The LLM does not receive an image", without_parts("input_image")
    ),
    "files left out of the conversation": breaks(
        "attachments", "The LLM does not receive a file", without_parts("input_file")
    ),
    "images of websites left out of the conversation": breaks(
        "attachments",
        "The LLM does not receive an image of a website",
        without_parts("https://"),
    ),
    "all images but the first left out of the conversation": breaks(
        "attachments",
        "The LLM does not receive the second of two images",
        in_answer("""
for item in request.input:
    if isinstance(getattr(item, "content", None), list):
        images = [part for part in item.content if "input_image" in str(part)]
        item.content = [part for part in item.content if part not in images[1:]]
"""),
    ),
    "images of earlier turns left out": breaks(
        "attachments",
        "The LLM does not receive a.* of an earlier turn",
        in_agent(
            MESSAGES,
            f"""{MESSAGES}        for message in messages[:-1]:
            if isinstance(message["content"], list):
                texts = [part.get("text", "(image)") for part in message["content"]]
                message["content"] = " ".join(texts)
""",
        ),
    ),
    "only the texts of messages sent to the LLM": breaks(
        "attachments",
        "The LLM does not receive an image",
        in_agent(
            MESSAGES,
            f"""{MESSAGES.rstrip()}
        for message in messages:
            if isinstance(message["content"], list):
                texts = [part["text"] for part in message["content"] if "text" in part]
                message["content"] = " ".join(texts)
""",
        ),
    ),
    "content read as a text": breaks(
        "content-parts",
        "as a content part",
        in_agent(
            MESSAGES,
            f"""{MESSAGES.rstrip()}
        for message, item in zip(messages[:0:-1], request.input[::-1]):
            if message["role"] == "user":
                message["content"] = str(item.content)
""",
        ),
    ),
    "a word searched in the content": breaks(
        "content-parts",
        "The answer to a text is .*Tokyo",
        in_agent(
            MESSAGES,
            f"""{MESSAGES.rstrip()}
        question = getattr(request.input[-1], "content", "")
        may_call = "time" in question
""",
        ),
        in_agent("may_call=rounds", "may_call=may_call and rounds"),
    ),
    "a note for texts only": breaks(
        "content-parts",
        "The answer to a text is .*Please",
        in_agent(
            MESSAGES,
            f"""{MESSAGES.rstrip()}
        if isinstance(getattr(request.input[-1], "content", None), str):
            messages[-1] = messages[-1] | {{"content": f"Please: {{messages[-1]['content']}}"}}
""",
        ),
    ),
    "a fixed answer to one text": breaks(
        "content-parts",
        "The answer to a text is .*I am a clerk",
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_answer("""
if getattr(request.input[-1], "content", "") == "Hello, who are you?":
    item_id = unique_id("msg")
    yield delta_event("I am a clerk.", item_id)
    yield done_event(self.create_text_output_item("I am a clerk.", item_id))
    return
"""),
    ),
}
