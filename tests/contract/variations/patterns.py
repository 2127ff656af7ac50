"""Patterns of agents, added to the template's own loop."""

from tests.contract.breakages.changes import (
    MESSAGES,
    Patch,
    at_import,
    in_agent,
    in_answer,
    method,
    new_answer,
    new_file,
    tool,
)
from tests.contract.variations.loops import COMPLETE

OPTIONS = "            options = self.toolbox.options(may_call=rounds < self.config.max_rounds)\n"
STREAM = "completion = to_events(llm.stream(messages, **options))"
# Is a text also for images and for outputs of tools.
LAST_QUESTION = (
    'question = str(next((one["content"] for one in messages[::-1] if one["role"] == "user"), ""))'
)


def after_messages(code: str) -> Patch:
    """Add code after the line that collects the messages."""
    lines = "".join(f"        {line}\n" if line else "\n" for line in code.strip().split("\n"))
    return in_agent(MESSAGES, MESSAGES + lines)


PATTERNS: dict[str, tuple[Patch, ...]] = {
    "one of the custom_inputs in the instructions": (
        in_agent(
            "        if request.custom_inputs:\n            inputs = json.dumps("
            "request.custom_inputs, ensure_ascii=False, default=str)\n",
            '        if inputs := (request.custom_inputs or {}).get("note"):\n',
        ),
    ),
    "a moderation with a client of its own": (
        at_import("""
import openai


async def moderate(text: str) -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(
            model="gpt-5-nano", messages=[{"role": "user", "content": text}], max_tokens=5
        )
"""),
        after_messages(f"""
{LAST_QUESTION}
await moderate(question or "nothing")
"""),
    ),
    "a handbook that is searched before the answer": (
        new_file(
            "src/weather_agent/handbook.md",
            "# Opening hours\n\nThe museum opens at nine, and closes at five.\n\n"
            "# Prices\n\nThe museum costs ten euros.\n",
        ),
        at_import('''
import re
from functools import cache
from importlib.resources import files


@cache
def sections() -> dict[str, str]:
    """Return the sections of the handbook by title."""
    text = (files("weather_agent") / "handbook.md").read_text(encoding="utf-8")
    return {part.partition("\\n")[0]: part for part in re.split(r"^# ", text, flags=re.M)[1:]}


def search(question: str) -> list[str]:
    """Return the section with most of the words of a question."""
    words = set(re.findall(r"\\w+", question.casefold()))
    scores = {
        title: len(words & set(re.findall(r"\\w+", text.casefold())))
        for title, text in sections().items()
    }
    return sorted(scores, key=lambda title: (-scores[title], title))[:1]
'''),
        after_messages(f"""
{LAST_QUESTION}
found = [sections()[title] for title in search(question)]
messages[0]["content"] += "\\n\\nContext:\\n" + "\\n---\\n".join(found)
"""),
    ),
    "examples of conversations before the conversation": (
        at_import("""
EXAMPLES = [
    {"role": "user", "content": "Is it late in Rome?"},
    {"role": "assistant", "content": "It is half past nine in the evening."},
    {"role": "user", "content": "Thanks!"},
    {"role": "assistant", "content": "You are welcome."},
]
"""),
        after_messages("messages[1:1] = EXAMPLES"),
    ),
    "the language of the answer in the instructions": (
        at_import('''
LANGUAGES = {"bonjour": "French", "hola": "Spanish", "guten": "German"}


def language_of(text: str) -> str:
    """Guess the language of a text."""
    words = text.casefold().split()
    return next((LANGUAGES[word] for word in words if word in LANGUAGES), "English")
'''),
        after_messages(f"""
{LAST_QUESTION}
messages[0]["content"] += f"\\nAnswer in {{language_of(question)}}."
"""),
    ),
    "a summary in place of the oldest of many messages": (
        COMPLETE,
        after_messages("""
if len(messages) > 200:
    start = next(n for n in range(len(messages) - 60, len(messages))
                 if messages[n]["role"] == "user")
    old = json.dumps(messages[1:start], ensure_ascii=False)
    summary = await self.complete(llm, "Summarize the conversation.", old)
    messages[1:start] = [{"role": "user", "content": f"Before: {summary}"}]
"""),
    ),
    "several drafts at once": (
        at_import("import asyncio"),
        at_import("from weather_agent.runtime.items import done_event, unique_id"),
        COMPLETE,
        in_answer("""
texts = [str(one["content"]) for one in to_messages(request.input)]
drafts = await asyncio.gather(
    *(self.complete(llm, f"Write draft {number}.", "\\n".join(texts)) for number in range(3))
)
best = max(set(drafts), key=drafts.count)
yield done_event(self.create_reasoning_item(unique_id("rs"), best))
"""),
    ),
    "a plan from the whole conversation": (
        at_import("from weather_agent.runtime.items import items_text"),
        after_messages("""
task = {"role": "system", "content": "Write a plan in three steps."}
completion = to_events(llm.stream([task, *messages[1:]]))
plan = items_text([item async for event in completion if (item := done_item(event))])
messages[0]["content"] += f"\\nFollow this plan: {plan}"
"""),
    ),
    "a request to improve the answer": (
        at_import("from weather_agent.runtime.items import done_event, done_item"),
        new_answer("""
items = [item async for event in super().answer(request, llm) if (item := done_item(event))]
for item in items:
    if item["type"] != "message":
        yield done_event(item)
messages = [self.system_message(request), *to_messages(request.input), *to_messages(items)]
messages.append({"role": "user", "content": "Improve your answer."})
async for event in to_events(llm.stream(messages)):
    yield event
"""),
    ),
    "an image in each tool output": (
        in_agent(
            '                yield function_call_output(item["call_id"], output)\n',
            """                event = function_call_output(item["call_id"], output)
                done_item(event)["output"] = [
                    {"type": "input_text", "text": output},
                    {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
                ]
                yield event
""",
        ),
        at_import('IMAGE = "data:image/png;base64,iVBORw0KGgoErkJggg=="'),
    ),
    "a tool that ends the answer": (
        *tool(
            "ask_user",
            '''
def ask_user(question: str) -> str:
    """Ask the user a question, which ends the answer.

    Args:
        question: The question.
    """
    return f"The user reads: {question}"
''',
        ),
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_agent(
            "            messages += to_messages(items)\n",
            """            if any(item.get("name") == "ask_user" for item in items):
                item_id, text = unique_id("msg"), str(items[-1]["output"])
                yield delta_event(text, item_id)
                yield done_event(self.create_text_output_item(text, item_id))
                return
            messages += to_messages(items)
""",
        ),
    ),
    "two sub-agents at once, with the same tools": (
        at_import("import asyncio"),
        at_import("from weather_agent.runtime.items import done_event, done_item, unique_id"),
        new_answer(
            """
reports = await asyncio.gather(*(one.report(request, llm) for one in SUB_AGENTS))
yield done_event(self.create_reasoning_item(unique_id("rs"), "\\n".join(reports)))
async for event in super().answer(request, llm):
    yield event
""",
            """
class SubAgent(Agent):
    async def report(self, request, llm):
        items = [done_item(event) async for event in self.answer(request, llm)]
        return str([item["content"] for item in items if item and item["type"] == "message"])


SUB_AGENTS = [
    SubAgent(load_config(), f"You are a {role}.", Toolbox(TOOLS)) for role in ("planner", "critic")
]
""",
        ),
    ),
    "a second draft in each round": (
        in_agent(
            STREAM,
            """draft = [chunk async for chunk in llm.stream(messages, **options)]
            assert draft
            """
            + STREAM,
        ),
    ),
    "structured output that is requested again": (
        at_import('''
from pydantic import BaseModel, ValidationError


class Plan(BaseModel):
    """What the agent intends."""

    steps: list[str]
    needs_tools: bool


async def read_plan(complete, question: str) -> Plan:
    """Return the plan; ask twice more if the LLM writes something else."""
    problem = ""
    for _ in range(3):
        system = f"Answer with a JSON object. {problem}"
        schema = {"name": "plan", "schema": Plan.model_json_schema()}
        wanted = {"type": "json_schema", "json_schema": schema}
        try:
            return Plan.model_validate_json(
                await complete(system, question, response_format=wanted)
            )
        except ValidationError as error:
            problem = f"Your last answer was invalid: {error}"
    return Plan(steps=[], needs_tools=True)
'''),
        at_import("from functools import partial"),
        COMPLETE,
        in_answer("""
texts = "\\n".join(str(one["content"]) for one in to_messages(request.input))
plan = await read_plan(partial(self.complete, llm), texts)
assert plan.needs_tools in (True, False)
"""),
    ),
    "tools that are chosen for the question": (
        in_agent(
            OPTIONS,
            f"""{OPTIONS}            {LAST_QUESTION}
            if chosen := [
                tool
                for tool in options.get("tools", [])
                if any(word in question for word in tool["function"]["name"].split("_"))
            ]:
                options["tools"] = chosen
""",
        ),
    ),
    "a fallback to another LLM while the first is busy": (
        at_import("from weather_agent.runtime.llm import connect"),
        method('''
async def stream(self, llm: LLM, messages: list[dict[str, Any]], **options: Any):
    """Yield the chunks of the LLM, or of another one if it has too many requests."""
    try:
        async for chunk in llm.stream(messages, **options):
            yield chunk
    except LLMError as error:
        if error.status != 429:
            raise
        other = connect(llm.uri, timeout=llm.timeout, max_retries=0, options=llm.options)
        async for chunk in other.stream(messages, **options):
            yield chunk
'''),
        in_agent(STREAM, "completion = to_events(self.stream(llm, messages, **options))"),
    ),
    "instructions that are a Jinja template": (
        at_import("from jinja2 import Environment"),
        in_agent(
            "        content = self.instructions\n",
            """        template = Environment(autoescape=False).from_string(self.instructions)
        content = template.render(inputs=request.custom_inputs or {})
""",
        ),
        Patch(
            "instructions.md",
            "You are a helpful assistant who answers in a few plain sentences.",
            "You are a helpful assistant who answers in a few plain sentences.\n"
            "{% if inputs.customer %}The customer is {{ inputs.customer }}.{% endif %}",
        ),
    ),
    "observers of the agent's events": (
        at_import('''
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def log_calls(event: ResponsesAgentStreamEvent) -> None:
    """Log which tool the LLM calls."""
    item = done_item(event)
    if item and item["type"] == "function_call":
        logger.debug("%s is called.", item["name"])


OBSERVERS: list[Callable[[ResponsesAgentStreamEvent], None]] = [log_calls]
'''),
        in_agent(
            "                    yield event\n            if not any(",
            """                    for observer in OBSERVERS:
                        observer(event)
                    yield event
            if not any(""",
        ),
    ),
}
