"""Agents that call several LLMs, check themselves or hand over, with the template's classes."""

from tests.contract.breakages.changes import (
    Patch,
    at_import,
    in_agent,
    in_answer,
    in_tools,
    method,
    new_answer,
)

ITEMS = "from weather_agent.runtime.items import delta_event, done_event, unique_id"
# Returns the text of one completion.
COMPLETE = method('''
async def complete(self, llm: LLM, system: str, text: str, **options: Any) -> str:
    """Return the LLM's answer to one text."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    events = [event async for event in to_events(llm.stream(messages, **options))]
    items = [item for event in events if (item := done_item(event))]
    return " ".join(item["content"][0]["text"] for item in items if item["type"] == "message")
''')
QUESTION = """
question = "\\n".join(str(one["content"]) for one in to_messages(request.input))
"""

LOOPS: dict[str, tuple[Patch, ...]] = {
    "a plan whose steps are executed one by one": (
        at_import(ITEMS),
        COMPLETE,
        in_answer(f"""{QUESTION}
plan = await self.complete(llm, "Write a plan, one step per line.", question)
notes = [await self.complete(llm, "Do this step.", step) for step in plan.splitlines()[:2]]
thought = self.create_reasoning_item(unique_id("rs"), "\\n".join(notes))
yield done_event(thought)
"""),
    ),
    "a critic that approves the answer before it is sent": (
        at_import(ITEMS),
        COMPLETE,
        new_answer("""
for _ in range(3):
    events = [event async for event in super().answer(request, llm)]
    texts = [item["content"][0]["text"] for event in events
             if (item := done_item(event)) and item["type"] == "message"]
    verdict = await self.complete(llm, "Is this answer polite? Answer yes or no.", str(texts))
    if "no!" not in verdict:
        break
for event in events:
    yield event
"""),
    ),
    "a router with a prompt for each topic": (
        COMPLETE,
        in_agent(
            "        messages = [self.system_message(request), *to_messages(request.input)]\n",
            """        last = next((one for one in reversed(to_messages(request.input))
                     if one["role"] == "user"), {"content": "nothing"})
        topic = await self.complete(llm, "Name the topic: time or dates.", str(last["content"]))
        system = self.system_message(request)
        system["content"] += f"\\nYour topic: {'time' if 'time' in topic else 'dates'}."
        messages = [system, *to_messages(request.input)]
""",
        ),
    ),
    "a second LLM for summaries": (
        at_import("from weather_agent.runtime.llm import connect"),
        COMPLETE,
        in_answer(f"""{QUESTION}
small = connect(
    self.config.llm_uri(),
    timeout=self.config.llm_timeout_seconds,
    max_retries=self.config.llm_max_retries,
)
assert await self.complete(small, "Summarize.", question[-2000:])
"""),
    ),
    "structured output of the LLM": (
        at_import(f"""
{ITEMS}
from pydantic import BaseModel


class Mood(BaseModel, extra="forbid"):
    label: str
    confidence: float
    reasons: list[str]
"""),
        COMPLETE,
        in_answer(f"""{QUESTION}
schema = {{"name": "Mood", "strict": True, "schema": Mood.model_json_schema()}}
response_format = {{"type": "json_schema", "json_schema": schema}}
text = await self.complete(llm, "Rate the mood.", question, response_format=response_format)
mood = Mood.model_validate_json(text)
assert mood.reasons
"""),
    ),
    "guardrails before and after the answer": (
        at_import(f"import re\n\n{ITEMS}"),
        new_answer("""
texts = [one["content"] for one in to_messages(request.input) if one["role"] == "user"]
if texts and re.search("(?i)ignore all previous", str(texts[-1])):
    item_id, refusal = unique_id("msg"), "I cannot do that."
    yield delta_event(refusal, item_id)
    yield done_event(self.create_text_output_item(refusal, item_id))
    return
async for event in super().answer(request, llm):
    if (item := done_item(event)) and item["type"] == "message":
        for part in item["content"]:
            if re.search(r"\\bsk-[a-z0-9]{30}", part.get("text", "")):
                raise ValueError("The answer contains a key.")
    yield event
"""),
    ),
    "a memory in custom_inputs and custom_outputs": (
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            """{
                        "memory": [
                            *(request.custom_inputs or {}).get("memory", [])[-5:],
                            len(messages),
                        ]
                    }""",
        ),
    ),
    "a handoff between two agents": (
        at_import(ITEMS),
        in_tools('''
def transfer_to_calendar(reason: str) -> str:
    """Transfer the user to the agent for calendars.

    Args:
        reason: Why.
    """
    return f"The agent for calendars takes over: {reason}"
'''),
        Patch("tools.py", "TOOLS = [", "TOOLS = [transfer_to_calendar, "),
        in_agent(
            "            messages += to_messages(items)\n",
            """            messages += to_messages(items)
            if any(item.get("name") == "transfer_to_calendar" for item in items):
                system = self.system_message(request)
                messages[0] = system | {"content": system["content"] + "\\nYou know calendars."}
""",
        ),
    ),
    "a human who approves calls of a tool": (
        at_import(ITEMS),
        in_tools('''
def delete_calendar(name: str) -> str:
    """Delete a calendar, after the user has approved it.

    Args:
        name: The name of the calendar.
    """
    return f"To delete {name!r}, the user must approve it: set custom_inputs.approved to true."
'''),
        Patch("tools.py", "TOOLS = [", "TOOLS = [delete_calendar, "),
        in_answer("""
approved = (request.custom_inputs or {}).get("approved") is True
if approved:
    item_id = unique_id("msg")
    yield delta_event("Approved. ", item_id)
    yield done_event(self.create_text_output_item("Approved. ", item_id))
"""),
    ),
}
