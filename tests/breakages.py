"""Changes to a generated project: those that a rule of the contract must notice, and sound ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Breakage:
    """A change to one file that breaks one rule, and a word that the rule must say of it."""

    rule: str
    file: str
    old: str
    new: str
    says: str


# In two pieces, so that no scanner takes it for a real one.
DATABRICKS_TOKEN = "dapi" + "0123456789abcdef" * 2

BREAKAGES = {
    "predict returns a text": Breakage(
        "accepted",
        "agent.py",
        "        return ResponsesAgentResponse(output=items, ",
        "        return str(items)\n        ResponsesAgentResponse(output=items, ",
        "ResponsesAgentResponse|ResponsesResponse",
    ),
    "the agent does not compile": Breakage(
        "accepted", "agent.py", "class Agent(ResponsesAgent):", "class Agent(ResponsesAgent)", ":"
    ),
    "another task in the metadata": Breakage(
        "task",
        "log_model.py",
        '            name="agent",\n',
        '            name="agent",\n            metadata={"task": "llm/v1/chat"},\n',
        "llm/v1/chat",
    ),
    "a signature set afterwards": Breakage(
        "signature",
        "log_model.py",
        "def log_agent(",
        """def log_agent() -> ModelInfo:
    from mlflow.models import ModelSignature, set_signature
    from mlflow.types.schema import ColSpec, Schema

    columns = Schema([ColSpec("string", "messages")])
    uri = _log_agent().model_uri
    set_signature(uri, ModelSignature(columns, columns))
    return mlflow.models.get_model_info(uri)


def _log_agent(""",
        "messages",
    ),
    "a part of chat completions in the example": Breakage(
        "input-example",
        "input_example.json",
        '"What time is it in Tokyo?"',
        '[{"type": "text", "text": "What time is it in Tokyo?"}]',
        "'text'",
    ),
    "no user in the example": Breakage(
        "input-example", "input_example.json", '"user"', '"system"', "no message with the role user"
    ),
    "a key of another API in the example": Breakage(
        "input-example",
        "input_example.json",
        '"input": [',
        '"messages": [], "input": [',
        "messages",
    ),
    "an instance instead of a file": Breakage(
        "models-from-code",
        "log_model.py",
        'python_model=PACKAGE / "agent.py",',
        """python_model=type(
                "Pickled",
                (mlflow.pyfunc.ResponsesAgent,),
                {"predict": lambda _, __: {"output": [{"type": "message", "id": "1", "content": [
                    {"type": "output_text", "text": "Hello"}]}]}},
            )(),""",
        "python_model.pkl",
    ),
    "a PythonModel": Breakage(
        "base-class",
        "agent.py",
        "mlflow.models.set_model(AGENT)",
        """class Wrapped(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {"output": []}


mlflow.models.set_model(Wrapped())""",
        "PythonModel",
    ),
    "a file read from the current folder": Breakage(
        "fresh-process",
        "agent.py",
        "mlflow.openai.autolog()\n",
        'mlflow.openai.autolog()\nopen("pyproject.toml").close()\n',
        "pyproject.toml",
    ),
    "the package left out": Breakage(
        "packaged-code",
        "log_model.py",
        "            code_paths=[str(PACKAGE)],\n",
        "",
        "weather_agent.tools",
    ),
    "a token in the source": Breakage(
        "no-secrets",
        "tools.py",
        "TOOLS = [",
        f'TOKEN = "{DATABRICKS_TOKEN}"\nTOOLS = [',
        "tools.py:[0-9]+ holds a token of Databricks",
    ),
    "a token in the example": Breakage(
        "no-secrets",
        "input_example.json",
        '"input": [',
        f'"custom_inputs": {{"key": "{DATABRICKS_TOKEN}"}}, "input": [',
        "input_example.json:[0-9]+ holds a token of Databricks",
    ),
    "requirements without a version": Breakage(
        "pinned-requirements",
        "log_model.py",
        "pip_requirements=requirements,",
        'pip_requirements=["mlflow"],',
        "mlflow is not pinned",
    ),
    "a lower bound instead of a pin": Breakage(
        "pinned-requirements",
        "log_model.py",
        "pip_requirements=requirements,",
        'pip_requirements=["mlflow>=3.0.0"],',
        "mlflow>=3.0.0 is not pinned",
    ),
    "another version than is installed": Breakage(
        "pinned-requirements",
        "log_model.py",
        "pip_requirements=requirements,",
        'pip_requirements=["mlflow==3.0.0"],',
        "mlflow==3.0.0, but 3",
    ),
    "a package of the developer, imported late": Breakage(
        "covered-imports",
        "tools.py",
        "    return (end - start).days",
        "    import pytest\n\n    return pytest.approx((end - start).days).expected",
        "tools.py imports pytest",
    ),
    "a table that is not declared": Breakage(
        "declared-resources",
        "log_model.py",
        "model_config=config.model_dump(),",
        'model_config=config.model_dump() | {"resources": {"table": ["a.b.c"]}},',
        "table a.b.c",
    ),
    "an endpoint that is not declared": Breakage(
        "declared-resources",
        "log_model.py",
        "model_config=config.model_dump(),",
        'model_config=config.model_dump() | {"llm": "databricks:/an-endpoint"},',
        "serving_endpoint an-endpoint",
    ),
    "only the first turn is read": Breakage(
        "last-turn",
        "agent.py",
        "*to_messages(request.input)]",
        "*to_messages(request.input[:1])]",
        "said the same",
    ),
    "items kept on the instance": Breakage(
        "requests-apart",
        "agent.py",
        "        return ResponsesAgentResponse(output=items, ",
        """        self.kept = [*getattr(self, "kept", []), *items]
        return ResponsesAgentResponse(output=self.kept, """,
        "holds what others said",
    ),
    "an apology for an answer": Breakage(
        "llm-failures",
        "agent.py",
        "        events = list(self.predict_stream(request))\n",
        """        try:
            events = list(self.predict_stream(request))
        except Exception as error:
            sorry = self.create_text_output_item(f"Sorry: {error}", "msg_1")
            return ResponsesAgentResponse(output=[sorry])
""",
        "answered all the same: .*Sorry",
    ),
    "no time-out": Breakage(
        "time-out",
        "llm.py",
        "with_options(timeout=timeout, ",
        "with_options(timeout=3600, ",
        "still waiting",
    ),
    "a trace of one's own": Breakage(
        "one-trace",
        "agent.py",
        "    def predict(self, request",
        '    @mlflow.trace(name="answer")\n    def predict(self, request',
        "named 'answer'",
    ),
    "content taken for a text": Breakage(
        "every-request",
        "agent.py",
        "        content = self.instructions\n",
        "        content = self.instructions + request.input[-1].content\n",
        "With content parts: TypeError",
    ),
    "one id for all": Breakage(
        "output-items",
        "conversation.py",
        'return f"{prefix}_{uuid4().hex}"',
        "return prefix",
        "used twice",
    ),
    "an item without an id": Breakage(
        "output-items", "conversation.py", 'return f"{prefix}_{uuid4().hex}"', 'return ""', "no id"
    ),
    "outputs without a call": Breakage(
        "tool-calls",
        "agent.py",
        'yield function_call_output(item["call_id"], output)',
        'yield function_call_output("call_0", output)',
        "call_0",
    ),
    "arguments that are no JSON": Breakage(
        "tool-calls",
        "agent.py",
        "            yield event\n            item = done_item(event)\n",
        """            item = done_item(event)
            if item and item["type"] == "function_call":
                item["arguments"] = str(json.loads(item["arguments"]))
            yield event
""",
        "no JSON object",
    ),
    "a tool that raises": Breakage(
        "failing-tools",
        "toolbox.py",
        "        try:\n            output",
        "        adapter.validate_json(arguments)\n        try:\n            output",
        "A wrong call ended the request",
    ),
    "no stream": Breakage(
        "streams",
        "agent.py",
        "mlflow.models.set_model(AGENT)",
        """class Silent(ResponsesAgent):
    def predict(self, request):
        return AGENT.predict(request)


mlflow.models.set_model(Silent())""",
        "Silent does not implement predict_stream",
    ),
    "a slip in a type": Breakage(
        "stream-events",
        "conversation.py",
        "        yield event\n    if not answered:",
        """        yield event
        yield ResponsesAgentStreamEvent(type="response.output_text.detla")
    if not answered:""",
        "response.output_text.detla",
    ),
    "an item done twice": Breakage(
        "stream-events",
        "conversation.py",
        "        yield event\n    if not answered:",
        """        yield event
        if done_item(event):
            yield event
    if not answered:""",
        "done twice",
    ),
    "another id in the done event": Breakage(
        "stream-text",
        "conversation.py",
        '    item["status"] = "completed"\n',
        '    item["status"] = "completed"\n    item["id"] = unique_id("msg")\n',
        "Deltas with ids of no message",
    ),
    "another text in the done event": Breakage(
        "stream-text",
        "conversation.py",
        '    item["status"] = "completed"\n',
        """    item["status"] = "completed"
    if item["type"] == "message":
        item["content"][0]["text"] += "!"
""",
        "but done",
    ),
    "predict says more than the stream": Breakage(
        "stream-equals-predict",
        "agent.py",
        "        return ResponsesAgentResponse(output=items, ",
        """        items[-1]["content"][0]["text"] += "!"
        return ResponsesAgentResponse(output=items, """,
        "but predicted",
    ),
    "a signature by hand": Breakage(
        "signature-by-hand",
        "log_model.py",
        '            name="agent",\n',
        '            name="agent",\n            signature=None,\n',
        "log_model.py:[0-9]+: signature=None",
    ),
    "a signature set later": Breakage(
        "signature-set-later",
        "log_model.py",
        '    """What a deployed agent may reach',
        '    mlflow.models.set_signature("", None)\n    """What a deployed agent may reach',
        "set_signature",
    ),
    "another base class": Breakage(
        "another-base",
        "agent.py",
        "AGENT = Agent(",
        "class Old(mlflow.pyfunc.ChatAgent):\n    pass\n\n\nAGENT = Agent(",
        "ChatAgent",
    ),
    "a decorator on predict_stream": Breakage(
        "traced-by-hand",
        "agent.py",
        "    def predict_stream(\n",
        "    @mlflow.trace\n    def predict_stream(\n",
        "agent.py:[0-9]+: @mlflow.trace",
    ),
    "the path of an artifact": Breakage(
        "artifact-path", "log_model.py", 'name="agent",', 'artifact_path="agent",', "artifact_path"
    ),
    "a request printed": Breakage(
        "print-call",
        "agent.py",
        "        tag_trace(request)\n",
        "        tag_trace(request)\n        print(request)\n",
        r"print\(request\)",
    ),
    "a client built at import": Breakage(
        "work-at-import",
        "tools.py",
        "TOOLS = [",
        'import openai\n\nCLIENT = openai.OpenAI(api_key="none")\nTOOLS = [',
        "OpenAI",
    ),
    "a loop run to its end": Breakage(
        "asyncio-run",
        "agent.py",
        "        tag_trace(request)\n",
        """        import asyncio

        asyncio.run(asyncio.sleep(0))
        tag_trace(request)
""",
        "asyncio.run",
    ),
    "the request kept on self": Breakage(
        "state-on-self",
        "agent.py",
        "        tag_trace(request)\n",
        "        tag_trace(request)\n        self.request = request\n",
        "self.request = request",
    ),
    "a list on the class": Breakage(
        "state-on-class",
        "agent.py",
        "    def __init__(self, config: Config",
        "    items: list[Any] = []\n\n    def __init__(self, config: Config",
        "items: list",
    ),
}

# File, what stands there now, and what stands there instead.
VARIATIONS = {
    "no tools": ("tools.py", "TOOLS = [current_time, days_between]", "TOOLS = []"),
    "another tool": (
        "tools.py",
        "TOOLS = [current_time, days_between]",
        '''def weigh(things: list[str], precise: bool = False) -> dict[str, float]:
    """Weigh things."""
    return {thing: 1.5 if precise else 2.0 for thing in things}


TOOLS = [weigh]''',
    ),
    "no LLM at all": (
        "agent.py",
        "mlflow.models.set_model(AGENT)",
        '''class Echo(ResponsesAgent):
    """Says what was said."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        done = map(done_item, self.predict_stream(request))
        items: list[Any] = [item for item in done if item]
        return ResponsesAgentResponse(output=items)

    def predict_stream(self, request):
        said = str(to_messages(request.input)[-1]["content"])
        yield ResponsesAgentStreamEvent(**self.create_text_delta(said, item_id="msg_1"))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done", item=self.create_text_output_item(said, "msg_1")
        )


mlflow.models.set_model(Echo())''',
    ),
    "a mixin between": (
        "agent.py",
        "class Agent(ResponsesAgent):",
        '''class Polite:
    """Adds nothing but a base."""


class Base(Polite, ResponsesAgent):
    """A base of one's own."""

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        raise NotImplementedError


class Agent(Base):''',
    ),
    "reasoning before the answer": (
        "agent.py",
        "        messages = [self.system_message(request)",
        """        thought = self.create_reasoning_item(f"rs_{time.time_ns()}", "Let me see.")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=thought)
        messages = [self.system_message(request)""",
    ),
    "an answer in two messages": (
        "agent.py",
        "        messages = [self.system_message(request)",
        """        first = f"msg_{time.time_ns()}"
        yield ResponsesAgentStreamEvent(**self.create_text_delta("Well.", item_id=first))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done", item=self.create_text_output_item("Well.", first)
        )
        messages = [self.system_message(request)""",
    ),
    "an event loop inside": (
        "agent.py",
        "        messages = [self.system_message(request)",
        """        import asyncio

        asyncio.new_event_loop().run_until_complete(asyncio.sleep(0))
        messages = [self.system_message(request)""",
    ),
    "metadata of one's own": (
        "log_model.py",
        '            name="agent",\n',
        '            name="agent",\n            metadata={"team": "a"},\n',
    ),
    "more code beside the package": (
        "log_model.py",
        "code_paths=[str(PACKAGE)],",
        'code_paths=[str(PACKAGE), str(ROOT / "tests" / "contract" / "rules.py")],',
    ),
    "custom inputs in the example": (
        "input_example.json",
        '"input": [',
        '"custom_inputs": {"city": "Paris"}, "input": [',
    ),
}
