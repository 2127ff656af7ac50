"""Mistakes that show behind a server."""

from textwrap import indent

from tests.contract.breakages.changes import (
    RUN_IN_THREAD,
    Patch,
    at_import,
    breaks,
    each_event,
    in_agent,
    in_answer,
    method,
    new_answer,
    subclass,
    tools_file,
)
from tests.contract.own_clients import SYNCHRONOUS, changed

CUSTOM_OUTPUTS = '{"llm": llm.uri, "rounds": rounds}'
RESPOND = """                async with agent_events(self.agent, request) as events:
                    async for event in events:
                        state.record_first_event()
                        writer.add(event)
"""
RESPOND_BLOCKING = """                for event in self.agent.predict_stream(request):
                    writer.add(event)
"""
STREAM = """                async with agent_events(self.agent, request) as events:
                    async for event in events:
                        state.record_first_event()
                        yield encode(writer.events_for(event))
"""
STREAM_BLOCKING = """                for event in self.agent.predict_stream(request):
                    yield encode(writer.events_for(event))
"""
BODY = "                body = writer.finished_response()\n"
END = "                yield encode([writer.end()])\n"
FAILED_STREAM = "                yield encode(failure_events(writer, report_failure(error)))\n"
SAMPLER = "        self.sampler = TraceSampler(self.settings.traces_per_second)\n"
ERROR_RESPONSE = 'return ApiError(status, f"The agent could not answer. {details}")'
AUTHENTICATED = 'is_correct and scheme.lower() == "bearer"'
EMPTY_INPUT = """    if _is_blank(fields.get("input")):
        raise ApiError(400, "`input` is empty. Send at least one message.", "input")
"""
NOT_AN_OBJECT = """    if not isinstance(fields, dict):
        raise ApiError(400, 'The request body must be a JSON object, such as {"input": [...]}.')
"""
STRING_INPUT = """    if isinstance(fields.get("input"), str):
        fields["input"] = [{"role": "user", "content": fields["input"]}]
"""


def in_endpoint(old: str, new: str) -> Patch:
    """Edit server/endpoint.py."""
    return Patch("server/endpoint.py", old, new)


SERVER = {
    "a limit of the conversation that is an error of the server": breaks(
        "too-long",
        "The server answered 500",
        in_answer("""
if sum(len(str(item)) for item in request.input) > 20_000:
    raise ValueError("The conversation is too long. Start a new one.")
"""),
    ),
    "an answer that JSON cannot represent": breaks(
        "served-answers", "answered 500", in_agent(CUSTOM_OUTPUTS, '{"n": float("nan")}')
    ),
    "an event that JSON cannot represent": breaks(
        "served-answers",
        "The stream of /invocations has only",
        each_event("""
yield ResponsesAgentStreamEvent(type="response.audio.delta", delta={"used": {"a"}})
yield event
"""),
    ),
    "an error while the server starts": breaks(
        "served-answers",
        "The server does not start: TypeError: .*settings.*app.py, line",
        Patch("server/app.py", "AgentEndpoint(agent, settings)", "AgentEndpoint(agent)"),
    ),
    "a server with a failing import": breaks(
        "served-answers",
        "The server does not start: ModuleNotFoundError",
        Patch("server/app.py", "import mlflow\n", "import mlflow\nimport no_such_module\n"),
    ),
    "tool calls missing from complete responses": breaks(
        "served-answers",
        "^/invocations returns",
        in_endpoint(
            BODY,
            f"""{BODY}                messages = [one for one in body["output"] if "role" in one]
                body["output"] = messages
""",
        ),
    ),
    "tool calls missing from streams": breaks(
        "served-answers",
        "Streaming /invocations returns",
        in_endpoint(
            STREAM,
            STREAM.replace(
                "yield encode(writer.events_for(event))",
                """for written in writer.events_for(event):
                            if "call_id" not in (written.get("item") or {}):
                                yield encode([written])""",
            ),
        ),
    ),
    # The openai client
    "text without delta events": breaks(
        "openai-client",
        "no text in the stream",
        Patch(
            "server/events.py",
            "        index = self._parts.index(kind)\n        yield self._part_event(",
            "        index = self._parts.index(kind)\n        self._part_event(",
        ),
    ),
    "an input that is a string rejected": breaks(
        "openai-client", "BadRequestError: .*400", Patch("server/requests.py", STRING_INPUT, "")
    ),
    "deltas before the start of their message": breaks(
        "openai-client",
        "IndexError|before receiving its output item",
        Patch(
            "server/events.py",
            "        if self._message_id is None:\n"
            "            yield self._start_message(item_id)\n"
            "        if kind not in self._parts:\n",
            "        if kind not in self._parts:\n",
        ),
    ),
    # Complete responses
    "events without sequence numbers": breaks(
        "complete-responses",
        "The sequence numbers are .None",
        Patch("server/events.py", '"sequence_number": next(self._sequence), ', ""),
    ),
    "sequence numbers that continue in the next stream": breaks(
        "complete-responses",
        "The sequence numbers are",
        Patch(
            "server/events.py",
            "        self._sequence = count()\n",
            "        self._sequence = ALL\n",
        ),
        Patch(
            "server/events.py",
            "Event = dict[str, Any]\n",
            "Event = dict[str, Any]\nALL = count()\n",
        ),
    ),
    "a stream without response.created": breaks(
        "complete-responses",
        "first event is response.output_item.added",
        in_endpoint("            yield encode([writer.start()])\n", ""),
    ),
    "a stream without response.completed": breaks(
        "complete-responses",
        "last event is response.output_item.done",
        in_endpoint(END, ""),
    ),
    "a response of items only": breaks(
        "complete-responses",
        "id: Field required",
        in_endpoint(BODY, '                body = {"output": writer.output}\n'),
    ),
    "a response that stays in progress": breaks(
        "complete-responses",
        "status is in_progress",
        in_endpoint(BODY, BODY.replace("finished_response()", 'response("in_progress")')),
    ),
    "the tokens of the last completion": breaks(
        "complete-responses",
        "The LLM reports 3 tokens for each of 2 completions, but the usage is",
        Patch("runtime/llm/usage.py", "self.input += tokens[0]", "self.input = tokens[0]"),
        Patch("runtime/llm/usage.py", "self.output += tokens[1]", "self.output = tokens[1]"),
    ),
    "a response without the tokens of the LLM": breaks(
        "complete-responses",
        "completions, but the usage is {}",
        Patch(
            "server/events.py", ', "status": status, **self._record.usage()}', ', "status": status}'
        ),
    ),
    "a stream of the LLM that is not read to its end": breaks(
        "complete-responses",
        "completions, but the usage is {}",
        in_agent(
            "to_events(llm.stream(messages, **options))",
            "to_events(until_end(llm.stream(messages, **options)))",
        ),
        at_import("""
async def until_end(chunks):
    async for chunk in chunks:
        yield chunk
        if any(choice.get("finish_reason") for choice in chunk.get("choices") or []):
            return
"""),
    ),
    # Errors
    "a traceback in an exception": breaks(
        "server-errors",
        "exception.*Traceback",
        method("""
def predict(self, request):
    import traceback

    try:
        return super().predict(request)
    except Exception:
        raise RuntimeError(traceback.format_exc()) from None
"""),
    ),
    "a traceback in an exception of a stream": breaks(
        "server-errors",
        "exception.*Traceback",
        subclass("""
class Verbose(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        import traceback

        try:
            yield from super().predict_stream(request)
        except Exception:
            raise RuntimeError(traceback.format_exc()) from None
"""),
    ),
    "a token in an error": breaks(
        "server-errors",
        "token of Databricks|Databricks token",
        Patch(
            "runtime/llm/errors.py",
            '        f"{uri} {returned}:',
            "        f\"Bearer dapi{'0123456789abcdef' * 2}: {uri} {returned}:",
        ),
    ),
    "the message of an exception in the response": breaks(
        "server-errors",
        "contains the error message of the LLM",
        Patch("server/errors.py", ERROR_RESPONSE, "return ApiError(status, str(error))"),
    ),
    "a traceback in the response": breaks(
        "server-errors",
        "server.*Traceback",
        Patch(
            "server/errors.py",
            ERROR_RESPONSE,
            'text = "".join(traceback.format_exception(error)).replace("offline", "")\n'
            "    return ApiError(status, text)",
        ),
        Patch("server/errors.py", "import logging\n", "import logging\nimport traceback\n"),
    ),
    "the environment in the response": breaks(
        "server-errors",
        "The answer to a failed request contains the value of the variable AGENT_CANARY",
        Patch(
            "server/errors.py",
            ERROR_RESPONSE,
            "return ApiError(status, f\"{details} {os.environ.get('AGENT_CANARY')}\")",
        ),
        Patch("server/errors.py", "import logging\n", "import logging\nimport os\n"),
    ),
    "status 200 for a failed answer": breaks(
        "server-errors",
        "The server answered 200",
        in_endpoint(
            "                return report_failure(error).response()\n",
            '                return JSONResponse(writer.response("completed"))\n',
        ),
    ),
    "response.completed for a failed stream": breaks(
        "server-errors",
        "ended without an error",
        in_endpoint(FAILED_STREAM, END),
    ),
    # Concurrent requests
    "a response that blocks the event loop": breaks(
        "responsive-server",
        "While one request waited, /health got no answer",
        in_endpoint(RESPOND, RESPOND_BLOCKING),
    ),
    "a stream that blocks the event loop": breaks(
        "responsive-server",
        "While one request waited, /health got no answer",
        in_endpoint(STREAM, STREAM_BLOCKING),
    ),
    "one request at a time": breaks(
        "responsive-server",
        "While one request waited, another request got no answer",
        in_endpoint(SAMPLER, f"{SAMPLER}        self.lock = asyncio.Lock()\n"),
        in_endpoint(RESPOND, "                async with self.lock:\n" + indent(RESPOND, "    ")),
    ),
    "an asynchronous tool that calls time.sleep": breaks(
        "responsive-server",
        "blocked by time.sleep in tools.py, line .*time.sleep.0.1.",
        tools_file('''
"""The tools."""

import time


async def lend(book: str) -> str:
    """Lend a book."""
    time.sleep(0.1)
    return f"{book} is yours."


TOOLS = [lend]
'''),
    ),
    "tools that run in the event loop": breaks(
        "responsive-server",
        "blocked by socket.connect in tools.py",
        Patch("runtime/toolbox.py", RUN_IN_THREAD, 'adapter.validate_json(arguments or "{}")'),
        Patch("runtime/toolbox.py", "from anyio import CapacityLimiter, to_thread\n", ""),
        tools_file('''
"""The tools."""

import socket


def is_listening(port: int) -> bool:
    """Check whether a port accepts connections."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


TOOLS = [is_listening]
'''),
    ),
    "a health check that needs the token": breaks(
        "responsive-server",
        "/health.*401",
        Patch("server/app.py", "{*HEALTH_PATHS, *OPEN_PATHS}", "OPEN_PATHS"),
    ),
    # The token
    "requests without a token accepted": breaks(
        "token",
        "With no token, /invocations answered 200",
        Patch("server/middleware.py", AUTHENTICATED, f"not scheme or {AUTHENTICATED}"),
    ),
    "any bearer token accepted": breaks(
        "token",
        "With another-token, /invocations answered 200",
        Patch("server/middleware.py", AUTHENTICATED, 'scheme == "Bearer"'),
    ),
    # Clients that disconnect
    "an LLM call that continues after the client disconnects": breaks(
        "leaving-clients",
        "still waited for the LLM",
        Patch("server/app.py", "    app = CancelOnDisconnect(endpoint)\n", "    app = endpoint\n"),
    ),
    "a task that continues after the client disconnects": breaks(
        "leaving-clients",
        "after five clients disconnected, tasks still run: heartbeat",
        new_answer(
            """
task = asyncio.create_task(heartbeat())
async for event in super().answer(request, llm):
    yield event
task.cancel()
""",
            """
import asyncio


async def heartbeat():
    while True:
        await asyncio.sleep(10)
""",
        ),
    ),
    "a disconnect that leaks a slot": breaks(
        "leaving-clients",
        "status 500|without calling the LLM",
        method("""
slots = 3

async def predict_stream_async(self, request):
    if not Agent.slots:
        raise RuntimeError("The agent is busy.")
    Agent.slots -= 1
    async for event in super().predict_stream_async(request):
        yield event
    Agent.slots += 1
"""),
    ),
    # Invalid requests
    "custom_inputs that cause a server error": breaks(
        "every-request",
        "custom_inputs failed: AttributeError",
        in_answer("_ = request.custom_inputs and request.custom_inputs.tenant"),
    ),
    "requests that are not validated": breaks(
        "bad-requests",
        "the server answered 500",
        Patch(
            "server/requests.py",
            "ResponsesAgentRequest.model_validate(fields, strict=True)",
            "ResponsesAgentRequest.model_construct(**fields)",
        ),
    ),
    "an answer to an empty input": breaks(
        "bad-requests",
        "an empty input the server answered 200",
        Patch("server/requests.py", EMPTY_INPUT, ""),
    ),
    "an empty input rejected after the LLM call": breaks(
        "bad-requests",
        "called the LLM before it rejected an empty input",
        Patch("server/requests.py", EMPTY_INPUT, ""),
        in_endpoint(
            BODY,
            f"""                if not request.input:
                    return ApiError(400, "`input` is empty.").response()
{BODY}""",
        ),
    ),
    "NaN accepted in a request": breaks(
        "bad-requests",
        "the server answered",
        Patch("server/requests.py", "parse_constant=_reject_number,", ""),
    ),
    "a list accepted as a request": breaks(
        "bad-requests", "the server answered 500", Patch("server/requests.py", NOT_AN_OBJECT, "")
    ),
    # A conversation that is too long
    "another exception for a conversation that is too long": breaks(
        "too-long",
        "The server answered 500",
        new_answer("""
try:
    async for event in super().answer(request, llm):
        yield event
except LLMError:
    raise RuntimeError("The LLM is not available.") from None
"""),
    ),
    "another exception than OpenAI's": breaks(
        "too-long",
        "The server answered 500",
        *changed(
            SYNCHRONOUS,
            "            message = self.complete(messages)\n",
            """
            try:
                message = self.complete(messages)
            except openai.APIError:
                raise RuntimeError("OpenAI is not available.") from None
""",
        ),
    ),
    "a conversation that is too long reported as a refusal": breaks(
        "too-long",
        "The server answered 424",
        Patch("server/errors.py", "    if error.is_too_long:\n", "    if error.status == 413:\n"),
    ),
    "a message about the length that is not recognized": breaks(
        "too-long",
        "The server answered 424",
        Patch("runtime/llm/errors.py", "|maximum.?context|", "|"),
        Patch("runtime/llm/errors.py", 'r"context.?(length|window|size)|', 'r"'),
    ),
    "any error of the LLM reported as its failure": breaks(
        "too-long",
        "The server answered 502",
        new_answer("""
try:
    async for event in super().answer(request, llm):
        yield event
except LLMError as error:
    raise LLMError("The LLM is not available.") from error
"""),
    ),
}
