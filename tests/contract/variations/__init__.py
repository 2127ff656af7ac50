"""Changes to a generated project that are correct: no rule of the contract may fail."""

from tests.contract.breakages.changes import Patch
from tests.contract.variations.answers import ANSWERS
from tests.contract.variations.code import CODE
from tests.contract.variations.loops import LOOPS
from tests.contract.variations.patterns import PATTERNS
from tests.contract.variations.styles import STYLES
from tests.contract.variations.tools import MORE_TOOLS, TOOLS

VARIATIONS: dict[str, tuple[Patch, ...]] = {
    **TOOLS,
    **ANSWERS,
    **CODE,
    **MORE_TOOLS,
    **LOOPS,
    **PATTERNS,
    **STYLES,
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
        "programs that the image contains",
        "a tool that needs a valid day",
        "tools that run in asyncio's threads",
        "an asynchronous tool",
        "citations in the text",
        "nested data in custom_outputs",
    ),
    (
        "rejected images and files",
        "an event loop in another thread",
        "an agent that uses Pydantic models",
        "a client created by the first request",
    ),
    (
        "names of resources that need no declaration",
        "the date of each request in the instructions",
        "a tool with side effects that tests never call",
        "a tool that ends the answer",
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
    *((name,) for name in STYLES),
    tuple(MORE_TOOLS),
    (
        "a plan whose steps are executed one by one",
        "a second LLM for summaries",
        "structured output of the LLM",
        "guardrails before and after the answer",
        "a memory in custom_inputs and custom_outputs",
    ),
    ("one of the custom_inputs in the instructions",),
    ("a moderation with a client of its own",),
    (
        "a critic that approves the answer before it is sent",
        "a handoff between two agents",
        "a human who approves calls of a tool",
        "a router with a prompt for each topic",
    ),
    (
        "a handbook that is searched before the answer",
        "examples of conversations before the conversation",
        "a summary in place of the oldest of many messages",
        "several drafts at once",
        "a second draft in each round",
        "a plan from the whole conversation",
        "a request to improve the answer",
        "an image in each tool output",
    ),
    (
        "the language of the answer in the instructions",
        "structured output that is requested again",
        "tools that are chosen for the question",
        "a fallback to another LLM while the first is busy",
        "instructions that are a Jinja template",
        "observers of the agent's events",
    ),
    ("two sub-agents at once, with the same tools",),
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
