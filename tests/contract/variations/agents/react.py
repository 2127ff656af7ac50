"""Thoughts, actions and observations as text, for LLMs without tool calls."""

import datetime
import json
import re
import uuid
from functools import cached_property

import mlflow
import openai
from mlflow.entities import SpanType
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent

PROMPT = """Answer the question with the help of these actions:

calculate: a sum of two integers, such as 17 + 25
today: the date in a country, such as Japan

Write `Action: NAME: INPUT` and wait for the observation. When you know the answer, write it after
`Answer:`."""
ACTION = re.compile(r"^Action: (\w+): (.*)$", re.MULTILINE)
MAX_STEPS = 5


def calculate(text):
    left, right = text.split("+")
    return str(int(left) + int(right))


def today(country):
    hours = {"japan": 9, "france": 1}[country.strip().casefold()]
    return str(datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=hours))).date())


ACTIONS = {"calculate": calculate, "today": today}


class ReAct(ResponsesAgent):
    @cached_property
    def client(self):
        return openai.OpenAI(timeout=60)

    def predict(self, request):
        events = self.predict_stream(request)
        return ResponsesAgentResponse(
            output=[event.item for event in events if event.type == "response.output_item.done"]
        )

    def predict_stream(self, request):
        transcript = [{"role": "system", "content": PROMPT}]
        transcript += [message_of(item.model_dump(exclude_none=True)) for item in request.input]
        for _ in range(MAX_STEPS):
            text = self.think(transcript)
            action = ACTION.search(text)
            if action is None:
                yield from self.answer(text)
                return
            name, argument = action.groups()
            call_id = f"call_{uuid.uuid4().hex[:24]}"
            arguments = json.dumps({"input": argument})
            yield done(self.create_function_call_item(f"fc_{call_id}", call_id, name, arguments))
            observation = self.act(name, argument)
            yield done(self.create_function_call_output_item(call_id, observation))
            transcript += [
                {"role": "assistant", "content": text[: action.end()]},
                {"role": "user", "content": f"Observation: {observation}"},
            ]
        raise RuntimeError(f"The agent needs more than {MAX_STEPS} steps.")

    @mlflow.trace(span_type=SpanType.CHAT_MODEL)
    def think(self, transcript):
        completion = self.client.chat.completions.create(
            model="gpt-5-mini", messages=transcript, stop=["Observation:"], temperature=0
        )
        choice = completion.choices[0]
        if choice.finish_reason != "stop" or not choice.message.content:
            raise RuntimeError(f"The LLM stopped because of {choice.finish_reason}.")
        return choice.message.content

    @mlflow.trace(span_type=SpanType.TOOL)
    def act(self, name, argument):
        try:
            return ACTIONS[name](argument)
        except (KeyError, ValueError) as error:
            return f"Error: {error!r}. Try another action."

    def answer(self, text):
        item_id, words = f"msg_{uuid.uuid4().hex}", text.rpartition("Answer:")[2].strip()
        yield ResponsesAgentStreamEvent(**self.create_text_delta(words, item_id))
        yield done(self.create_text_output_item(words, item_id))


def message_of(item):
    """Return an item as a message with text."""
    content = item.get("content") or item.get("output") or item.get("arguments") or "(nothing)"
    if isinstance(content, list):
        content = "\n".join(
            part.get("text") or part.get("refusal") or f"({part['type']})" for part in content
        )
    role = item.get("role", "user")
    return {"role": "system" if role == "developer" else role, "content": content}


def done(item):
    return ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(ReAct())
