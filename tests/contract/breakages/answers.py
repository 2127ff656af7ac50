"""Breakages of answers: what comes back for a request, and what stays behind."""

from tests.contract.breakages.changes import (
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    when_asked,
    while_answering,
    with_all_items,
    with_each_item,
)

NEW_ID = '    return f"{prefix}_{uuid4().hex}"'
CUSTOM_OUTPUTS = "events[-1].custom_outputs"
RETURN = f"""        return ResponsesAgentResponse(
            output=items, custom_outputs={CUSTOM_OUTPUTS}, usage=tokens.usage()
        )
"""
OUTPUT = 'yield function_call_output(item["call_id"], output)'
CONTENT = "        content = self.instructions\n"
EVENTS = "        events = list(self.predict_stream(request))\n"


def with_custom_outputs(value: str) -> Patch:
    """Answers that carry this, written as Python, in their `custom_outputs`."""
    return in_agent(RETURN, RETURN.replace(CUSTOM_OUTPUTS, value))


ANSWERS = {
    # What predict returns
    "a text returned": breaks(
        "accepted",
        "ResponsesAgentResponse|ResponsesResponse|str",
        in_agent(RETURN, '        return items[-1]["content"][0]["text"]\n'),
    ),
    "a chat completion returned": breaks(
        "accepted",
        "output",
        in_agent(
            RETURN,
            """        text = items[-1]["content"][0]["text"]
        return {"choices": [{"message": {"role": "assistant", "content": text}}]}
""",
        ),
    ),
    "predict as a coroutine": breaks(
        "accepted",
        "coroutine",
        in_agent("    def predict(self, request", "    async def predict(self, request"),
    ),
    "no predict": breaks(
        "accepted",
        "abstract method predict",
        in_agent("    def predict(self, request", "    def answer(self, request"),
    ),
    "predict with the arguments of a PythonModel": breaks(
        "accepted",
        "missing 1 required positional argument: 'request'",
        in_agent("    def predict(self, request", "    def predict(self, context, request"),
    ),
    "predict and predict_stream that call each other": breaks(
        "accepted",
        "RecursionError|recursion",
        when_asked("        yield from map(dict, self.predict(request).output)\n"),
    ),
    "a template's answer left in": breaks(
        "last-turn",
        "said the same",
        another_agent("""
class Stub(Agent):
    def predict_stream(self, request):
        text, item_id = "Hello! How can I help you?", f"msg_{time.time_ns()}"
        yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id))
        item = self.create_text_output_item(text, item_id)
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(Stub(load_config(), load_instructions(), Toolbox(TOOLS)))
"""),
    ),
    "only the first turn read": breaks(
        "last-turn",
        "said the same",
        in_agent("*to_messages(request.input)]", "*to_messages(request.input[:1])]"),
    ),
    # Items
    "a message without an id": breaks(
        "item-ids",
        "no id",
        with_each_item('    if item["type"] == "message":\n        item["id"] = ""\n'),
    ),
    "one id for all items": breaks(
        "item-ids", "used twice", Patch("conversation.py", NEW_ID, '    return "item_1"')
    ),
    "an id for each kind of item, in every answer the same": breaks(
        "item-ids",
        "Two answers use the same ids",
        with_each_item('    item["id"] = item["type"]\n    return\n'),
        Patch(
            "conversation.py",
            '    item |= {"id": unique_id("fco"), "status": "completed"}',
            '    item |= {"id": "output", "status": "completed"}',
        ),
    ),
    "ids longer than APIs take": breaks(
        "item-ids",
        "longer than 64",
        Patch("conversation.py", NEW_ID, '    return f"{prefix}_{uuid4().hex}{uuid4().hex}"'),
    ),
    "an item made without an id": breaks(
        "accepted",
        "missing 1 required positional argument: 'id'",
        with_all_items('        items.append(self.create_text_output_item("Bye."))\n'),
    ),
    "content that is a text": breaks(
        "accepted",
        "content",
        with_each_item("""
    if item["type"] == "message":
        item["content"] = item["content"][0]["text"]
"""),
    ),
    "a part of chat completions in an answer": breaks(
        "accepted",
        "content type: text|Invalid content",
        with_each_item("""
    if item["type"] == "message":
        item["content"][0]["type"] = "text"
"""),
    ),
    "an item of a tool that OpenAI runs, made up": breaks(
        "output-items",
        "web_search_call",
        with_all_items("""
        items.append({"type": "web_search_call", "id": f"ws_{time.time_ns()}", "found": 3})
"""),
    ),
    "an item that never ends": breaks(
        "output-items",
        "in_progress|status",
        Patch("conversation.py", 'item["status"] = "completed"', 'item["status"] = "in_progress"'),
    ),
    "an annotation that cites nothing": breaks(
        "output-items",
        "annotation",
        with_each_item("""
    if item["type"] == "message":
        item["content"][0]["annotations"] = [{"type": "url_citation", "title": "A", "url": "b"}]
"""),
    ),
    # Text
    "an empty text": breaks(
        "answer-text",
        "no text among them",
        with_each_item(
            '    if item["type"] == "message":\n        item["content"][0]["text"] = ""\n'
        ),
    ),
    "calls and outputs, and no message": breaks(
        "answer-text",
        "no text among them",
        in_agent(
            "            messages += to_messages(items)\n",
            "            messages += to_messages(items)\n            return\n",
        ),
    ),
    # JSON
    "a datetime in custom_outputs": breaks(
        "output-items",
        "custom_outputs.when is a datetime",
        at_import("from datetime import datetime\n"),
        with_custom_outputs('{"when": datetime.now()}'),
    ),
    "a set in custom_outputs": breaks(
        "output-items", "custom_outputs.used is a set", with_custom_outputs('{"used": {"a"}}')
    ),
    "NaN in custom_outputs": breaks(
        "output-items",
        "custom_outputs.score is nan",
        with_custom_outputs('{"score": float("nan")}'),
    ),
    "a number of NumPy in custom_outputs": breaks(
        "output-items",
        "custom_outputs.score is a float",
        at_import("import numpy\n"),
        with_custom_outputs('{"score": numpy.float32(0.5)}'),
    ),
    "half a character in a text": breaks(
        "output-items",
        "holds half a character",
        with_each_item(
            '    if item["type"] == "message":\n        item["content"][0]["text"] += "\\ud83d"\n'
        ),
    ),
    "the environment in custom_outputs": breaks(
        "closed-environment",
        "AGENT_CANARY",
        with_custom_outputs('{"environment": dict(os.environ)}'),
    ),
    # Calls
    "outputs without a call": breaks(
        "tool-calls", "call_0", in_agent(OUTPUT, 'yield function_call_output("call_0", output)')
    ),
    "a call without an output": breaks(
        "tool-calls",
        "Calls .* have the outputs",
        with_all_items(
            '        items = [item for item in items if item["type"] != "function_call_output"]\n'
        ),
    ),
    "an output given twice": breaks(
        "tool-calls",
        "have the outputs|twice",
        in_agent(OUTPUT, f"{OUTPUT}\n                {OUTPUT}"),
    ),
    "an output before its call": breaks(
        "tool-calls",
        "no call before it",
        with_all_items("""
        items.sort(key=lambda item: item["type"] != "function_call_output")
"""),
    ),
    "arguments that are no JSON": breaks(
        "tool-calls",
        "no JSON object",
        Patch(
            "conversation.py",
            '        item["arguments"] = _json_object(item["arguments"])\n',
            '        item["arguments"] = str(json.loads(item["arguments"]))\n',
        ),
    ),
    "an output that is a dictionary": breaks(
        "accepted",
        "output",
        in_agent(OUTPUT, 'yield function_call_output(item["call_id"], {"result": output})'),
    ),
    # Tools
    "a tool that raises": breaks(
        "failing-tools",
        "A wrong call ended the request",
        Patch(
            "toolbox.py",
            "        try:\n            output",
            "        adapter.validate_json(arguments)\n        try:\n            output",
        ),
    ),
    "a tool that nobody knows ends the answer": breaks(
        "failing-tools",
        "A wrong call ended the request.*no_such_tool",
        Patch("toolbox.py", "self._adapters.get(name)", "self._adapters[name]"),
    ),
    "a tool that ends the process": breaks(
        "failing-tools",
        "SystemExit",
        Patch(
            "toolbox.py",
            "        except ValidationError as error:\n",
            """        except ValidationError as error:
            raise SystemExit(1) from error
""",
        ),
    ),
    "a failing tool whose output is left out": breaks(
        "failing-tools",
        "have the outputs",
        in_agent(
            OUTPUT,
            f'if not output.startswith("Error"):\n                    {OUTPUT}',
        ),
    ),
    # Requests
    "content taken for a text": breaks(
        "every-request",
        "With content parts: TypeError",
        in_agent(CONTENT, "        content = self.instructions + request.input[-1].content\n"),
    ),
    "the last content taken to be there": breaks(
        "every-request",
        "With a tool's output as the last item: .*content",
        while_answering("        _ = request.input[-1].content\n"),
    ),
    "the request taken for a dictionary": breaks(
        "accepted",
        "subscriptable",
        while_answering('        _ = request["input"]\n'),
    ),
    "custom_inputs taken to be there": breaks(
        "accepted",
        "NoneType.*subscriptable",
        while_answering('        _ = request.custom_inputs["tenant"]\n'),
    ),
    "custom_inputs taken to be there, as the example has them": breaks(
        "every-request",
        "With no custom_inputs: TypeError: 'NoneType' object is not subscriptable",
        Patch("input_example.json", '"input": [', '"custom_inputs": {"tenant": "a"}, "input": ['),
        while_answering('        _ = request.custom_inputs["tenant"]\n'),
    ),
    "one key of custom_inputs taken to be there": breaks(
        "every-request",
        "custom_inputs: KeyError: 'user_id'",
        while_answering("        _ = request.custom_inputs and request.custom_inputs['user_id']\n"),
    ),
    "the context taken to be there": breaks(
        "every-request",
        "With text: AttributeError: 'NoneType' object has no attribute 'user_id'",
        Patch("input_example.json", '"input": [', '"context": {"user_id": "a"}, "input": ['),
        while_answering("        _ = request.context.user_id\n"),
    ),
    "the user in the context taken to be there": breaks(
        "every-request",
        "With a context without a user: .*NoneType",
        while_answering("        _ = request.context and request.context.user_id.upper()\n"),
    ),
    "a role that is refused": breaks(
        "every-request",
        "With a system message: ValueError",
        while_answering(
            """        for item in request.input:
            if getattr(item, "role", "user") not in ("user", "assistant"):
                raise ValueError(f"Unknown role: {item.role}")
"""
        ),
    ),
    "a text that is cut to ASCII": breaks(
        "every-request",
        "With a text in other scripts: UnicodeEncodeError",
        while_answering(
            "        _ = str(to_messages(request.input)[-1]['content']).encode('ascii')\n"
        ),
    ),
    # What stays behind
    "the request kept on the instance while it is answered": breaks(
        "stateless",
        "Agent.request",
        while_answering("        self.request = request\n"),
        in_agent("*to_messages(request.input)]", "*to_messages(self.request.input)]"),
    ),
    "items gathered on the instance": breaks(
        "requests-apart",
        "holds what others said",
        in_agent(
            RETURN,
            """        self.kept = [*getattr(self, "kept", []), *items]
        return ResponsesAgentResponse(output=self.kept)
""",
        ),
    ),
    "a list of items on the class": breaks(
        "requests-apart",
        "holds what others said",
        in_agent(
            "    def __init__(self, config: Config",
            "    items: list[Any] = []\n\n    def __init__(self, config: Config",
        ),
        in_agent(
            RETURN,
            """        self.items += items
        return ResponsesAgentResponse(output=list(self.items))
""",
        ),
    ),
    "a conversation gathered in the module": breaks(
        "stateless",
        "HISTORY",
        at_import("HISTORY: list[dict[str, Any]] = []\n"),
        in_agent(
            "        messages = [self.system_message(request), *to_messages(request.input)]\n",
            """        HISTORY.extend(to_messages(request.input))
        messages = [self.system_message(request), *HISTORY]
""",
        ),
    ),
    "conversations remembered by their ids": breaks(
        "stateless",
        "MEMORY",
        at_import("MEMORY: dict[str | None, list[Any]] = {}\n"),
        in_agent(
            "        messages = [self.system_message(request), *to_messages(request.input)]\n",
            """        key = request.context and request.context.conversation_id
        MEMORY.setdefault(key, []).extend(to_messages(request.input))
        messages = [self.system_message(request), *MEMORY[key]]
""",
        ),
    ),
    "a conversation gathered in a default argument": breaks(
        "stateless",
        "default 0",
        in_agent(
            "    def system_message(self, request: ResponsesAgentRequest) -> dict[str, Any]:\n",
            """    def remember(self, said: list[Any], memory: list[Any] = []) -> list[Any]:
        memory.extend(said)
        return list(memory)

    def system_message(self, request: ResponsesAgentRequest) -> dict[str, Any]:
""",
        ),
        in_agent("*to_messages(request.input)]", "*self.remember(to_messages(request.input))]"),
    ),
    "answers cached by the user's first words": breaks(
        "last-turn",
        "said the same",
        at_import("CACHE: dict[str, Any] = {}\n"),
        in_agent(
            EVENTS,
            """        key = str(to_messages(request.input[:1]))
        if key not in CACHE:
            CACHE[key] = list(self.predict_stream(request))
        events = CACHE[key]
""",
        ),
    ),
    "answers cached by the whole request": breaks(
        "item-ids",
        "same ids",
        at_import("CACHE: dict[str, Any] = {}\n"),
        in_agent(
            EVENTS,
            """        key = request.model_dump_json()
        if key not in CACHE:
            CACHE[key] = list(self.predict_stream(request))
        events = CACHE[key]
""",
        ),
    ),
    "a count of requests on the instance": breaks(
        "stateless",
        "Agent.count",
        while_answering("        self.count = getattr(self, 'count', 0) + 1\n"),
    ),
    "the user's settings written to the environment": breaks(
        "stateless",
        "the variable AGENT_USER",
        while_answering(
            """        os.environ["AGENT_USER"] = str(request.input[-1])
"""
        ),
    ),
    "a context variable that stays set": breaks(
        "stateless",
        "SAID",
        at_import("""from contextvars import ContextVar

SAID = ContextVar("SAID", default="")
"""),
        when_asked("        SAID.set(SAID.get() + str(request.input))\n"),
        in_agent(CONTENT, "        content = self.instructions + SAID.get()\n"),
    ),
    # Threads
    "the event loop of the main thread": breaks(
        "requests-apart",
        "no current event loop in thread",
        when_asked("""
        import asyncio

        asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))
"""),
    ),
    "an alarm for answers that take too long": breaks(
        "requests-apart",
        "signal only works in main thread",
        when_asked("""
        import signal

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
"""),
    ),
}
