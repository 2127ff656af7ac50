"""The parts of a breakage: changes to the files of a generated project."""

import re
from dataclasses import dataclass
from textwrap import indent

RUN_TOOLS = """        async for event in events:
            yield event
            item = done_item(event)
            if item and item["type"] == "function_call":
                output = await self.toolbox.run(
                    item["name"], item["arguments"], max_length=self.config.tool_max_characters
                )
                yield function_call_output(item["call_id"], output)
"""
AGENT_CLASS = "class Agent(AsyncResponsesAgent):\n"
ANSWER = "    async def answer(\n"
MESSAGES = "        messages = [self.system_message(request), *to_messages(request.input)]\n"
INPUT = "*to_messages(request.input)]"
SET_MODEL = "mlflow.models.set_model(AGENT)\n"
RUN_IN_THREAD = """await to_thread.run_sync(
                adapter.validate_json,
                arguments or "{}",
                abandon_on_cancel=True,
                limiter=CapacityLimiter(1),  # a thread per call; the default is 40 for all of them
            )"""

# Patches to these files change how the model is logged, or what is logged or checked besides its
# code.
LOGGING_FILES = re.compile(
    r"ops/|tests/|config\.yml|input_example\.json|pyproject\.toml|.*/\.env|Dockerfile"
)
# These rules check logging, and loading after it.
LOGGING_RULES = {"accepted", "loads-again"}


@dataclass(frozen=True)
class Patch:
    """A change to one file.

    Attributes:
        file: The path in the agent's package, or in the repository.
        old: The text to replace, which occurs exactly once; None to write the whole file.
        new: The new text.
    """

    file: str
    old: str | None
    new: str


@dataclass(frozen=True)
class Breakage:
    """A mistake that breaks one rule of the contract.

    Attributes:
        rule: The rule that must fail.
        found: A regular expression for what the rule must report.
        patches: The changes, in order.
    """

    rule: str
    found: str
    patches: tuple[Patch, ...]

    @property
    def affects_logging(self) -> bool:
        """Whether the mistake shows only if the model is logged again."""
        files = (patch.file for patch in self.patches)
        return self.rule in LOGGING_RULES or any(map(LOGGING_FILES.match, files))


def breaks(rule: str, found: str, *patches: Patch) -> Breakage:
    """Return a breakage of a rule."""
    return Breakage(rule, found, patches)


def in_agent(old: str, new: str) -> Patch:
    """Edit agent.py."""
    return Patch("agent.py", old, new)


def in_log_model(old: str, new: str) -> Patch:
    """Edit ops/log_model.py."""
    return Patch("ops/log_model.py", old, new)


def in_example(old: str, new: str) -> Patch:
    """Edit the input example."""
    return Patch("input_example.json", old, new)


def new_file(file: str, text: str) -> Patch:
    """Add a file; the path is relative to the repository."""
    return Patch(file, None, text.lstrip("\n"))


def tools_file(text: str) -> Patch:
    """Replace tools.py."""
    return Patch("tools.py", None, text.lstrip("\n"))


def in_tools(code: str) -> Patch:
    """Add code to tools.py, before the list of tools."""
    return Patch("tools.py", "TOOLS = [", f"{_lines(code)}\n\nTOOLS = [")


def tool(name: str, code: str) -> tuple[Patch, ...]:
    """Add a tool with this name."""
    return in_tools(code), Patch("tools.py", "TOOLS = [", f"TOOLS = [{name}, ")


def at_import(code: str) -> Patch:
    """Add code to agent.py that runs at import, after its imports."""
    return in_agent(AGENT_CLASS, f"{_lines(code)}\n\n{AGENT_CLASS}")


def method(code: str) -> Patch:
    """Add a method to the agent's class, such as an override of `predict`."""
    return in_agent(ANSWER, f"{_lines(code, 4)}\n{ANSWER}")


def in_answer(code: str) -> Patch:
    """Add code at the start of `answer`."""
    return in_agent(MESSAGES, _lines(code, 8) + MESSAGES)


def each_event(code: str, imports: str = "") -> Patch:
    """Process each `event` of the answer; the code yields what the caller gets."""
    return new_answer(
        f"async for event in super().answer(request, llm):\n{_lines(code, 4)}", imports
    )


def each_item(code: str) -> Patch:
    """Change each `item` of the answer when it is done."""
    return each_event(f"if item := done_item(event):\n{_lines(code, 4)}yield event")


def new_answer(code: str, imports: str = "") -> Patch:
    """Log a subclass whose `answer` has this body."""
    return subclass(f"""{imports}

class Changed(Agent):
    async def answer(self, request, llm):
{_lines(code, 8)}""")


def run_tools_together(loop: str) -> Patch:
    """Run the tools of a turn concurrently; the loop sets each `call` and its `output`."""
    return in_agent(
        RUN_TOOLS,
        f"""        calls = []
        async for event in events:
            yield event
            item = done_item(event)
            if item and item["type"] == "function_call":
                calls.append(item)
        limit = self.config.tool_max_characters
        runs = [self.toolbox.run(c["name"], c["arguments"], max_length=limit) for c in calls]
        {loop}
            yield function_call_output(call["call_id"], output)
""",
    )


def subclass(code: str) -> Patch:
    """Log an instance of a subclass of `Agent`; `AGENT` is still the agent without changes."""
    name = re.findall(r"^class (\w+)", code, re.MULTILINE)[-1]
    instance = f"{name}(load_config(), load_instructions(), Toolbox(TOOLS))"
    return instead_of_set_model(f"{_lines(code)}\n\nmlflow.models.set_model({instance})")


def instead_of_set_model(code: str) -> Patch:
    """Replace the last line of agent.py, which passes the agent to MLflow."""
    return in_agent(SET_MODEL, _lines(code))


def _lines(code: str, spaces: int = 0) -> str:
    """Return code without blank lines around it, indented."""
    return indent(code.strip("\n") + "\n", " " * spaces)


PRIVATE_INDEX = """
[[tool.uv.index]]
name = "acme"
url = "https://agent:sesame@packages.example.com/simple"

[build-system]
"""
LOCKED_PACKAGE = """[[package]]
name = "acme-prices"
version = "2.0+cpu"
source = { registry = "https://packages.example.com/simple" }
wheels = [
    { url = "https://packages.example.com/acme_prices-2.0%2Bcpu-py3-none-any.whl" },
]

[[package]]
name = "aiohappyeyeballs"
"""
# A locked package of an index that needs credentials.
PRIVATE_PACKAGE = (
    Patch(
        "pyproject.toml",
        'dependencies = [\n    "mlflow',
        'dependencies = [\n    "acme-prices",\n    "mlflow',
    ),
    Patch("pyproject.toml", "\n[build-system]\n", PRIVATE_INDEX),
    Patch("uv.lock", '[[package]]\nname = "aiohappyeyeballs"\n', LOCKED_PACKAGE),
    Patch(
        "uv.lock",
        'source = { editable = "." }\ndependencies = [\n',
        'source = { editable = "." }\ndependencies = [\n    { name = "acme-prices" },\n',
    ),
    Patch("uv.lock", "requires-dist = [\n", 'requires-dist = [\n    { name = "acme-prices" },\n'),
)

# Some rules wait this long before they fail.
SHORT_WAIT = Patch("tests/contract/harness/waiting.py", "PATIENCE = 20", "PATIENCE = 5")
# An agent that implements `predict` only.
WITHOUT_STREAM = instead_of_set_model("""
class Silent(mlflow.pyfunc.ResponsesAgent):
    def predict(self, request):
        return AGENT.predict(request)


mlflow.models.set_model(Silent())
""")
# An answer in spite of an error.
APOLOGY = method("""
def predict(self, request):
    try:
        return super().predict(request)
    except Exception as error:
        return {"output": [self.create_text_output_item(f"Sorry: {error}", "msg_1")]}
""")
