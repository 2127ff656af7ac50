"""Mistakes that show when the LLM fails, hangs or never stops."""

from tests.contract.breakages.changes import (
    APOLOGY,
    Patch,
    at_import,
    breaks,
    in_agent,
    method,
)
from tests.contract.own_clients import RESPONSES, SYNCHRONOUS, changed


def apology(reraise: str, text: str) -> Patch:
    """Answer with a text if the LLM fails, unless the condition `reraise` is true."""
    return method(f"""
def predict(self, request):
    try:
        return super().predict(request)
    except LLMError as error:
        if {reraise}:
            raise
        return {{"output": [self.create_text_output_item("{text}", "msg_1")]}}
""")


LLM = {
    "completions converted by MLflow": breaks(
        "provider-streams",
        "gemini|tool calls differ",
        in_agent(
            "to_events(llm.stream(messages, **options))", "self.convert(messages, llm, options)"
        ),
        method("""
async def convert(self, messages, llm, options):
    from mlflow.types.responses import output_to_responses_items_stream

    chunks = [chunk async for chunk in llm.stream(messages, **options)]
    for event in output_to_responses_items_stream(iter(chunks)):
        yield event
"""),
    ),
    "copies of the items sent back to the LLM": breaks(
        "provider-streams",
        "is missing a thought_signature",
        in_agent("items.append(item)", "items.append({**item})"),
    ),
    "an apology instead of an error": breaks(
        "llm-failures",
        "still answered: .*Sorry",
        APOLOGY,
    ),
    "an apology instead of an error, but not for greetings": breaks(
        "llm-failures",
        "still answered: .*Sorry",
        method("""
def predict(self, request):
    try:
        return super().predict(request)
    except Exception:
        if "who are you" in str(request.input):
            raise
        return {"output": [self.create_text_output_item("Sorry, try again.", "msg_1")]}
"""),
    ),
    "an apology for an overloaded LLM": breaks(
        "llm-failures",
        "With status 503 of the LLM, the agent still answered: .*busy",
        apology("error.status != 503", "I am busy."),
    ),
    "an apology for a long conversation": breaks(
        "llm-failures",
        "With status 400 of the LLM, the agent still answered: .*Start a new one",
        apology("not error.is_too_long", "That was a long conversation. Start a new one."),
    ),
    "another LLM without a login of Databricks": breaks(
        "llm-failures",
        "Without a login for databricks:/, the agent still answered",
        Patch(
            "runtime/config.py",
            '        return os.environ.get("AGENT_LLM") or self.llm\n',
            """        uri = os.environ.get("AGENT_LLM") or self.llm
        if uri.startswith("databricks:") and not os.environ.get("DATABRICKS_TOKEN"):
            return "offline:/demo"
        return uri
""",
        ),
    ),
    "a timeout that ends with the first chunk": breaks(
        "time-out",
        "With offline:/stall and a timeout of 0.2 s, the agent still waited",
        Patch(
            "runtime/llm/client.py",
            "            async with await self._post(body) as stream:\n",
            """            async with asyncio.timeout(self.timeout):
                response = await self._post(body)
            async with response as stream:
""",
        ),
        Patch(
            "runtime/llm/client.py",
            '        timeout = self.timeout if body["stream"] else None\n',
            "        timeout = None\n",
        ),
    ),
    "a partial answer after a timeout": breaks(
        "time-out",
        "With offline:/stall the agent still answered",
        method("""
async def predict_stream_async(self, request):
    text, identifier = "", ""
    try:
        async for event in super().predict_stream_async(request):
            if delta := getattr(event, "delta", ""):
                text, identifier = text + delta, event.item_id
            yield event
    except Exception as error:
        if not text or "timed out" not in str(error):
            raise
        item = self.create_text_output_item(text, identifier)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
"""),
    ),
    "the output of a tool instead of an error": breaks(
        "llm-failures",
        "with outputs of tools with status 429, but the agent still answers",
        method("""
async def predict_stream_async(self, request):
    output = ""
    try:
        async for event in super().predict_stream_async(request):
            output = (getattr(event, "item", None) or {}).get("output") or output
            yield event
    except Exception:
        if not output:
            raise
        item = self.create_text_output_item(f"I found {output}.", "msg_1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
"""),
    ),
    "an empty output instead of an error": breaks(
        "llm-failures",
        "still answered",
        method("""
def predict(self, request):
    try:
        return super().predict(request)
    except Exception:
        return {"output": []}
"""),
    ),
    "a traceback as the answer": breaks(
        "llm-failures",
        "still answered: .*Traceback",
        method("""
def predict(self, request):
    import traceback

    try:
        return super().predict(request)
    except Exception:
        return {"output": [self.create_text_output_item(traceback.format_exc(), "msg_1")]}
"""),
    ),
    "a stream that ends without an error": breaks(
        "llm-failures",
        "still answered",
        method("""
def predict_stream(self, request):
    try:
        yield from super().predict_stream(request)
    except Exception:
        mlflow.pyfunc._logger.exception("The stream failed.")
"""),
    ),
    "an empty answer accepted as complete": breaks(
        "llm-failures",
        "offline:/empty the agent still answered",
        Patch(
            "runtime/llm/completion.py",
            "        if not self.calls and not answer.strip():\n",
            "        if self.calls and not self._calls:\n",
        ),
    ),
    "half an answer accepted as complete": breaks(
        "llm-failures",
        "offline:/cut the agent still answered",
        Patch(
            "runtime/llm/completion.py",
            '    raise LLMError(f"The LLM stopped {cause}. Try again.")\n',
            "    assert cause\n    return None\n",
        ),
    ),
    "an apology for rate limits": breaks(
        "llm-failures",
        "With status 429 of the LLM, the agent still answered: .*I am busy",
        method("""
def predict(self, request):
    try:
        return super().predict(request)
    except LLMError as error:
        if error.status != 429:
            raise
        return {"output": [self.create_text_output_item("I am busy.", "msg_1")]}
"""),
    ),
    "an answer without a text after the last round": breaks(
        "bounded-rounds",
        "stopped without a text, and without an error",
        in_agent(
            'raise LLMError(f"{llm.uri} calls tools in the last round. '
            'Raise max_rounds in config.yml.")\n',
            "return\n",
        ),
        in_agent("may_call=rounds < self.config.max_rounds", "may_call=True"),
    ),
    "an error that raises SystemExit": breaks(
        "llm-failures",
        "the agent ended the process",
        method("""
def predict(self, request):
    try:
        return super().predict(request)
    except Exception as error:
        raise SystemExit(1) from error
"""),
    ),
    "an error that ends the process": breaks(
        "llm-failures",
        "The agent ended the process with status 1",
        method("""
def predict(self, request):
    import os

    try:
        return super().predict(request)
    except Exception:
        os._exit(1)
"""),
    ),
    "the offline LLM if there is no login": breaks(
        "llm-failures",
        "Without a login for openai:/, the agent still answered",
        Patch(
            "runtime/base.py",
            "            self.config.llm_uri(),\n",
            '            self.config.llm_uri() if os.getenv("OPENAI_API_KEY") '
            'else "offline:/demo",\n',
        ),
    ),
    "the offline LLM if requests are refused": breaks(
        "llm-failures",
        "With status 429 of the LLM, the agent called another one: demo",
        method("""
async def predict_stream_async(self, request):
    from weather_agent.runtime.llm import connect

    try:
        async for event in super().predict_stream_async(request):
            yield event
    except LLMError as error:
        if error.status != 429:
            raise
        spare = connect("offline:/demo", timeout=60, max_retries=0, options={})
        async for event in self.answer(request, spare):
            yield event
"""),
    ),
    "no timeout": breaks(
        "time-out",
        "still waited",
        Patch(
            "runtime/llm/client.py",
            "            timeout=timeout,\n",
            "            timeout=3600,\n",
        ),
    ),
    "an unlimited number of rounds": breaks(
        "bounded-rounds",
        "times and did not stop",
        in_agent(
            "        for rounds in range(1, self.config.max_rounds + 1):\n",
            "        for rounds in iter(int, 1):\n",
        ),
    ),
    "a lock around the whole answer": breaks(
        "side-by-side",
        "While one request waited, a second got no answer",
        at_import("import threading"),
        method("""
lock = threading.Lock()

def predict(self, request):
    with self.lock:
        return super().predict(request)
"""),
    ),
    "a pool of one thread for all answers": breaks(
        "side-by-side",
        "While one request waited, a second got no answer",
        at_import("""
from concurrent.futures import ThreadPoolExecutor

POOL = ThreadPoolExecutor(1)
"""),
        method("""
def predict(self, request):
    return POOL.submit(super().predict, request).result()
"""),
    ),
    # Agents with a client of their own
    "an OpenAI client without a timeout": breaks(
        "time-out",
        "still waited",
        *changed(SYNCHRONOUS, "openai.OpenAI(timeout=30)", "openai.OpenAI(timeout=None)"),
    ),
    "an apology instead of OpenAI's error": breaks(
        "llm-failures",
        "offline:/fail the agent still answered: .*Sorry",
        *changed(
            SYNCHRONOUS,
            "            message = self.complete(messages)\n",
            """
            try:
                message = self.complete(messages)
            except openai.APIError as error:
                yield self.done(self.create_text_output_item(f"Sorry: {error}", str(uuid4())))
                return
""",
        ),
    ),
    "an apology for a refused key of OpenAI": breaks(
        "llm-failures",
        "With status 401 of the LLM, the agent still answered: .*log in",
        *changed(
            SYNCHRONOUS,
            "            message = self.complete(messages)\n",
            """
            try:
                message = self.complete(messages)
            except openai.AuthenticationError:
                yield self.done(self.create_text_output_item("Please log in.", str(uuid4())))
                return
""",
        ),
    ),
    "no error after the last request to OpenAI": breaks(
        "bounded-rounds",
        "stopped without a text, and without an error",
        *changed(SYNCHRONOUS, '        raise RuntimeError("Too many rounds.")\n', ""),
    ),
    "a broken stream of OpenAI accepted as complete": breaks(
        "llm-failures",
        "offline:/cut the agent still answered",
        at_import("""
def until_it_breaks(stream):
    try:
        yield from stream
    except Exception:
        mlflow.pyfunc._logger.exception("The stream broke.")
"""),
        *changed(RESPONSES, "for event in stream:", "for event in until_it_breaks(stream):"),
    ),
    "an unlimited number of requests to OpenAI": breaks(
        "bounded-rounds",
        "times and did not stop",
        *changed(SYNCHRONOUS, "for _ in range(5):", "while True:"),
    ),
    "only the last message sent to OpenAI": breaks(
        "whole-conversation",
        "did not receive 98 of 99 items: the developer message, the first user",
        *changed(RESPONSES, "for item in request.input]", "for item in request.input[-1:]]"),
    ),
    "a lock around all requests to OpenAI": breaks(
        "side-by-side",
        "a second got no answer",
        at_import("import threading\n\nLOCK = threading.Lock()"),
        *changed(
            SYNCHRONOUS,
            "            message = self.complete(messages)\n",
            "            with LOCK:\n                message = self.complete(messages)\n",
        ),
    ),
}
