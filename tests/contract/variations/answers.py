"""Sound answers, requests and dates of an agent that derives from the template's classes."""

from tests.contract.breakages.changes import (
    Patch,
    at_import,
    each_item,
    in_agent,
    in_answer,
    in_example,
    in_log_model,
    instead_of_set_model,
    new_answer,
    new_file,
)
from tests.contract.own_clients import ASYNCHRONOUS, RESPONSES, SYNCHRONOUS

INSTRUCTIONS = "        content = self.instructions\n"

# An agent without an LLM; it streams the user's message line by line.
ECHO = '''
class Echo(mlflow.pyfunc.ResponsesAgent):
    """Repeats the message of the user."""

    def predict(self, request):
        items = [item for event in self.predict_stream(request) if (item := done_item(event))]
        return {"output": items}

    def predict_stream(self, request):
        text = str(to_messages(request.input)[-1]["content"])
        item_id = unique_id("msg")
        for line in text.splitlines(keepends=True):
            yield delta_event(line, item_id)
        yield done_event(self.create_text_output_item(text, item_id))


mlflow.models.set_model(Echo())
'''

# An agent that uses nothing of the template.
PLAIN = '''
"""The whole agent."""

import uuid

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent


def last_message(request):
    """Return the last message of the user."""
    for item in reversed(request.input):
        content = getattr(item, "content", None)
        if isinstance(content, str):
            return content
        if content and getattr(item, "role", "") == "user":
            parts = (part if isinstance(part, dict) else part.model_dump() for part in content)
            return " ".join(part.get("text", "") for part in parts)
    return "nothing"


class Plain(ResponsesAgent):
    """Repeats the message of the user."""

    def predict(self, request):
        events = list(self.predict_stream(request))
        return ResponsesAgentResponse(output=[events[-1].item])

    def predict_stream(self, request):
        item_id = str(uuid.uuid4())
        text = f"You said: {last_message(request)}"
        yield ResponsesAgentStreamEvent(**self.create_text_delta(text, item_id=item_id))
        yield ResponsesAgentStreamEvent(
            type="response.output_item.done",
            item=self.create_text_output_item(text=text, id=item_id),
        )


mlflow.models.set_model(Plain())
'''

ANSWERS: dict[str, tuple[Patch, ...]] = {
    "no LLM": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        instead_of_set_model(ECHO),
    ),
    "an agent of a few lines in another file": (
        new_file("src/weather_agent/plain.py", PLAIN),
        in_log_model('PACKAGE / "agent.py"', 'PACKAGE / "plain.py"'),
    ),
    "reasoning before the answer": (
        at_import("from weather_agent.runtime.items import done_event, unique_id"),
        in_answer('yield done_event(self.create_reasoning_item(unique_id("rs"), "Let me see."))'),
    ),
    "a greeting before the answer": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_answer("""
greeting_id = unique_id("msg")
words = ["Good ", "day", ", ", "and welcome."]
for word in words:
    yield delta_event(word, greeting_id)
yield done_event(self.create_text_output_item("".join(words), greeting_id))
"""),
    ),
    "citations in the text": (
        each_item("""
if item["type"] == "message":
    item["content"][0]["annotations"] = [
        {
            "type": "url_citation",
            "url": "https://example.com/handbook",
            "title": "The handbook",
            "start_index": 0,
            "end_index": 1,
        }
    ]
"""),
    ),
    "nested data in custom_outputs": (
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            """{
                        "llm": {"uri": llm.uri, "rounds": rounds, "scores": [0.5, 1, None]},
                        "sources": [{"title": "Grüße", "pages": [1, 2]}],
                        "final": True,
                    }""",
        ),
    ),
    "a plan before the answer": (
        in_answer("""
question = [str(to_messages([item])) for item in request.input][-1]
plan = [{"role": "system", "content": "Plan it."}, {"role": "user", "content": question}]
async for chunk in llm.stream(plan):
    assert chunk
"""),
    ),
    "a check of the answer by the LLM": (
        new_answer("""
texts = ["The answer: "]
async for event in super().answer(request, llm):
    texts.append(str(event))
    yield event
check = [{"role": "system", "content": "Check it."}, {"role": "user", "content": "".join(texts)}]
async for chunk in llm.stream(check):
    assert chunk
"""),
    ),
    "a fixed answer to a greeting": (
        at_import("from weather_agent.runtime.items import delta_event, done_event, unique_id"),
        in_answer("""
if "who are you" in str(request.input[-1:]):
    greeting_id = unique_id("msg")
    yield delta_event("I know the weather.", greeting_id)
    yield done_event(self.create_text_output_item("I know the weather.", greeting_id))
    return
"""),
    ),
    "instructions with a placeholder": (
        Patch("instructions.md", None, "You help people in {country}.\n\nBe brief.\n"),
        in_agent(INSTRUCTIONS, '        content = self.instructions.format(country="Japan")\n'),
    ),
    # LLM clients of the agent itself
    "a synchronous OpenAI client": SYNCHRONOUS,
    "an asynchronous OpenAI client": ASYNCHRONOUS,
    "the Responses API of OpenAI": RESPONSES,
    # Requests
    "custom_inputs in the example": (
        in_example('"input": [', '"custom_inputs": {"city": "Paris"}, "input": ['),
    ),
    "validated custom_inputs": (
        at_import("from weather_agent.runtime.items import RequestError"),
        in_answer("""
tenant = (request.custom_inputs or {}).get("tenant", "a")
if not isinstance(tenant, str):
    raise RequestError("custom_inputs.tenant must be a string.")
"""),
    ),
    "rejected images and files": (
        at_import("from weather_agent.runtime.items import RequestError"),
        in_answer("""
for item in [item.model_dump() for item in request.input]:
    content = item.get("content")
    for part in content if isinstance(content, list) else ():
        if part["type"] in ("input_image", "input_file"):
            raise RequestError("This agent reads only text.")
"""),
    ),
    "the date of each request in the instructions": (
        at_import("from datetime import UTC, datetime"),
        in_agent(
            INSTRUCTIONS,
            '        content = f"{self.instructions}Today is {datetime.now(UTC):%A, %d %B %Y}."\n',
        ),
    ),
    "the time of loading in custom_outputs": (
        at_import("import time\n\nLOADED = time.time()\nUPDATED = time.strftime('%Y-%m-%d')"),
        in_agent(
            '{"llm": llm.uri, "rounds": rounds}',
            '{"llm": llm.uri, "rounds": rounds, "loaded": LOADED, "updated": UPDATED}',
        ),
    ),
}
