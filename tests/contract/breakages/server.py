"""Breakages that show behind a server, to those who call it."""

from textwrap import indent

from tests.contract.breakages.changes import (
    IN_A_THREAD,
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    while_answering,
)

EVENTS = "        events = list(self.predict_stream(request))\n"
CUSTOM_OUTPUTS = '{"llm": llm.uri, "rounds": rounds}'
TOOLS = "TOOLS = [current_time, days_between]"
AT_ONCE = """            async for event in answering(agent, request):
                note_first_event()
                list(writer.pass_on(event))
"""
AS_A_STREAM = """            async for event in answering(agent, request):
                note_first_event()
                for written in writer.pass_on(event):
"""
WITHOUT_AWAITING = (
    "async for event in answering(agent, request)",
    "for event in agent.predict_stream(request)",
)
REGISTERS = '    """Make the agent what MLflow\'s server asks."""\n'
END_AT_ONCE = '        return writer.response("completed")\n'
END_OF_STREAM = "            yield writer.end()\n"
TELLS = (
    """    return f"The agent could not answer. The server's log says why, at failure {name}."\n"""
)
NO_ITEMS = """    if request.get("input") == []:
        raise RefusedError(400, "`input` is empty: there is nothing to answer.")
"""
NO_OBJECT = """    if not isinstance(request, dict):
        raise RefusedError(400, 'The request is JSON, but no object. Send {"input": [...]}.')
"""
TEXT = """    if isinstance(request.get("input"), str):
        request["input"] = [{"role": "user", "content": request["input"]}]
        body = json.dumps(request).encode()
"""
WHILE_HEARD = (
    "                        await self._answer_while_heard(scope, body, receive, noting)\n"
)

SERVER = {
    "an answer that JSON cannot hold": breaks(
        "served-answers",
        "answered 500",
        in_agent(CUSTOM_OUTPUTS, '{"score": float("nan")}'),
    ),
    "an answer that JSON cannot hold, in a stream": breaks(
        "served-answers",
        "RefusedError|answered 500|stream",
        in_agent(CUSTOM_OUTPUTS, '{"used": {llm.uri}}'),
        in_agent("custom_outputs=events[-1].custom_outputs", "custom_outputs={}"),
    ),
    "no stream behind the server": breaks(
        "served-answers",
        "answered 500",
        another_agent("""
class Silent(ResponsesAgent):
    def predict(self, request):
        return AGENT.predict(request)


mlflow.models.set_model(Silent())
"""),
    ),
    "a server that does not start": breaks(
        "served-answers",
        "The server does not start: TypeError: .*sampling.*server.py, line",
        Patch("server.py", '        sampling=Sampling(setting("AGENT_TRACES_PER_SECOND")),\n', ""),
    ),
    "a server that cannot be imported": breaks(
        "served-answers",
        "The server does not start: ModuleNotFoundError",
        Patch("server.py", "import uvicorn\n", "import uvicorn\nimport no_such_module\n"),
    ),
    "calls of tools that only a stream shows": breaks(
        "served-answers",
        "At once, /invocations gave",
        Patch(
            "server.py",
            END_AT_ONCE,
            '        said = [item for item in writer.output if item["type"] == "message"]\n'
            '        return writer.response("completed") | {"output": said}\n',
        ),
    ),
    "items that the server leaves out of streams": breaks(
        "served-answers",
        "Streamed, /invocations gave",
        Patch(
            "server.py",
            """                for written in writer.pass_on(event):
                    yield written
""",
            """                for written in writer.pass_on(event):
                    if "call_id" not in (written.get("item") or {}):
                        yield written
""",
        ),
    ),
    # The client of the API
    "deltas that the openai client does not find": breaks(
        "openai-client",
        "no text in the stream",
        Patch(
            "wire.py",
            '        yield self._part_event("response.output_text.delta", item_id,'
            " delta=text, logprobs=[])\n",
            "        assert text\n",
        ),
    ),
    "a text for an input, refused": breaks(
        "openai-client", "BadRequestError: .*400", Patch("request_body.py", TEXT, "")
    ),
    "deltas of a message that has not begun": breaks(
        "openai-client",
        "IndexError",
        Patch(
            "wire.py", "            yield from self._begin_message(item_id)\n", "            pass\n"
        ),
    ),
    # Whole responses
    "events that are not numbered": breaks(
        "complete-responses",
        "do not count from 0: .None",
        Patch("wire.py", '"sequence_number": next(self._numbers), ', ""),
    ),
    "events that one writer numbers for all": breaks(
        "complete-responses",
        "do not count from 0",
        Patch("wire.py", "        self._numbers = count()\n", "        self._numbers = NUMBERS\n"),
        Patch("wire.py", "Item = dict[str, Any]\n", "Item = dict[str, Any]\nNUMBERS = count()\n"),
    ),
    "a stream that begins with the agent's first event": breaks(
        "complete-responses",
        "The first event is response.output_item.added",
        Patch("server.py", "        yield writer.begin()\n", ""),
    ),
    "a stream that ends with the agent's last event": breaks(
        "complete-responses",
        "The last event is response.output_item.done",
        Patch("server.py", END_OF_STREAM, "            pass\n"),
    ),
    "a body made by hand": breaks(
        "complete-responses",
        "id: Field required",
        Patch("server.py", END_AT_ONCE, '        return {"output": writer.output}\n'),
    ),
    "a response that is never complete": breaks(
        "complete-responses",
        "status is in_progress",
        Patch("server.py", END_AT_ONCE, END_AT_ONCE.replace("completed", "in_progress")),
    ),
    # Errors
    "a traceback in an error": breaks(
        "server-errors",
        "The exception says Traceback",
        in_agent(
            EVENTS,
            """        import traceback

        try:
            events = list(self.predict_stream(request))
        except Exception:
            raise RuntimeError(traceback.format_exc()) from None
""",
        ),
    ),
    "a traceback in the error of a stream": breaks(
        "server-errors",
        "The exception says Traceback",
        another_agent("""
class Talkative(Agent):
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        import traceback

        try:
            yield from super().predict_stream(request)
        except Exception:
            raise RuntimeError(traceback.format_exc()) from None


mlflow.models.set_model(Talkative(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "a token in an error": breaks(
        "server-errors",
        "token of Databricks",
        Patch(
            "llm.py",
            '            f"{uri} answered with status',
            "            f\"Bearer dapi{'0123456789abcdef' * 2}: {uri} answered with status",
        ),
    ),
    "the exception's words for the caller": breaks(
        "server-errors",
        "It told what the LLM's provider said",
        Patch("server.py", TELLS, '    return f"{name}: {error}"\n'),
    ),
    "a traceback that the server sends": breaks(
        "server-errors",
        "The server answered .*Traceback",
        Patch(
            "server.py",
            TELLS,
            "    import traceback\n\n"
            '    return "".join(traceback.format_exception(error)).replace("offline", "")\n',
        ),
    ),
    "a failure that looks like an answer": breaks(
        "server-errors",
        "The server answered 200",
        Patch(
            "server.py",
            "            raise AnswerError(told(error)) from error\n",
            '            logger.error("Failure", exc_info=error)\n',
        ),
    ),
    "a failure that ends the stream as ever": breaks(
        "server-errors",
        "The stream ended without an error",
        Patch(
            "server.py",
            """            for written in writer.fail(told(error)):
                yield written
""",
            """            told(error)
            yield writer.end()
""",
        ),
    ),
    # Others who ask
    "an answer that the server's loop waits for": breaks(
        "responsive-server",
        "While one request waited, /health got no answer",
        Patch("server.py", AT_ONCE, AT_ONCE.replace(*WITHOUT_AWAITING)),
    ),
    "a stream that the server's loop waits for": breaks(
        "responsive-server",
        "While one request waited, /health got no answer",
        Patch("server.py", AS_A_STREAM, AS_A_STREAM.replace(*WITHOUT_AWAITING)),
    ),
    "one request at a time": breaks(
        "responsive-server",
        "another request got no answer",
        Patch("server.py", REGISTERS, REGISTERS + "    turn = asyncio.Lock()\n"),
        Patch("server.py", AT_ONCE, "            async with turn:\n" + indent(AT_ONCE, "    ")),
    ),
    "an asynchronous tool that sleeps like any other": breaks(
        "responsive-server",
        "Everybody waited for time.sleep in tools.py, line .*time.sleep.0.1.",
        Patch("tools.py", "from datetime import date", "import time\nfrom datetime import date"),
        Patch(
            "tools.py",
            TOOLS,
            '''async def lend(book: str) -> str:
    """Lend a book."""
    time.sleep(0.1)
    return f"{book} is yours."


TOOLS = [current_time, days_between, lend]''',
        ),
    ),
    "tools that run in the server's loop": breaks(
        "responsive-server",
        "Everybody waited for socket.connect in tools.py",
        Patch("toolbox.py", IN_A_THREAD, 'adapter.validate_json(arguments or "{}")'),
        Patch("toolbox.py", "from anyio import to_thread\n", ""),
        Patch("tools.py", "from datetime import date", "import socket\nfrom datetime import date"),
        Patch(
            "tools.py",
            TOOLS,
            '''def is_up(port: int) -> bool:
    """Tell whether something listens at a port."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


TOOLS = [current_time, days_between, is_up]''',
        ),
    ),
    "health that only the token sees": breaks(
        "responsive-server",
        "/health got .*401",
        Patch(
            "guard.py",
            'elif scope["path"] == "/health" or self._is_known(scope):',
            "elif self._is_known(scope):",
        ),
    ),
    "a token that nobody is asked for": breaks(
        "token",
        "To no token, /invocations answered 200",
        Patch(
            "guard.py",
            "        return not self.token or hmac.compare_digest(",
            "        return not self.token or not brought or hmac.compare_digest(",
        ),
    ),
    "a token of which the beginning will do": breaks(
        "token",
        "To Bearer another-token, /invocations answered 200",
        Patch(
            "guard.py",
            "hmac.compare_digest(brought.encode(), expected.encode())",
            'brought.startswith("Bearer ")',
        ),
    ),
    # Clients that leave
    "an LLM that goes on for a client that has left": breaks(
        "leaving-clients",
        "still waited for the LLM",
        Patch(
            "guard.py",
            WHILE_HEARD,
            "                        await self.app(scope, _replay(body), noting)\n",
        ),
    ),
    "work for a client that has left, which stops the next": breaks(
        "leaving-clients",
        "the next one got status 500",
        another_agent("""
class Counting(Agent):
    seats = 3

    async def predict_stream_async(self, request):
        if not Counting.seats:
            raise RuntimeError("The agent is busy.")
        Counting.seats -= 1
        async for event in super().predict_stream_async(request):
            yield event
        Counting.seats += 1


mlflow.models.set_model(Counting(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    # Bad requests
    "custom_inputs that end in an error of the server": breaks(
        "every-request",
        "With custom_inputs: AttributeError",
        while_answering("        _ = request.custom_inputs and request.custom_inputs.tenant\n"),
    ),
    "requests that nobody validates": breaks(
        "bad-requests",
        "answered 500",
        at_import("""
from mlflow.genai.agent_server.validator import ResponsesAgentValidator

ResponsesAgentValidator.validate_and_convert_request = (
    lambda _, data: ResponsesAgentRequest.model_construct(**data)
)
"""),
        Patch("request_body.py", "ResponsesAgentRequest.model_validate(request)", "pass"),
    ),
    "an empty input that is answered": breaks(
        "bad-requests", "To an empty input it answered 200", Patch("request_body.py", NO_ITEMS, "")
    ),
    "an empty input that is refused after the LLM was asked": breaks(
        "bad-requests",
        "Before it refused an empty input, it asked the LLM",
        Patch("request_body.py", NO_ITEMS, ""),
        Patch(
            "server.py",
            END_AT_ONCE,
            "        if not request.input:\n"
            "            current_exchange.get().failure = 400\n"
            '            raise AnswerError("`input` is empty.")\n' + END_AT_ONCE,
        ),
    ),
    "a number that only Python's JSON knows, and is let through": breaks(
        "bad-requests",
        "To a number that JSON does not know it answered",
        Patch("request_body.py", ", allow_nan=False", ""),
    ),
    "a list that is taken for a request": breaks(
        "bad-requests",
        "To JSON that is no object it answered 500",
        Patch("request_body.py", NO_OBJECT, ""),
    ),
}
