"""Plans with structured output, researches each step, and writes with the Responses API."""

from functools import lru_cache
from importlib.resources import files

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent
from openai import OpenAI
from pydantic import BaseModel

FORWARDED = ("response.output_text.delta", "response.output_item.done")


class Plan(BaseModel):
    """The steps of the research."""

    goal: str
    steps: list[str]


@lru_cache(maxsize=1)
def client():
    return OpenAI(timeout=60, max_retries=1)


def style_guide():
    return files("weather_agent").joinpath("instructions.md").read_text(encoding="utf-8")


class Researcher(ResponsesAgent):
    def predict(self, request):
        events = self.predict_stream(request)
        done = [event for event in events if event.type == "response.output_item.done"]
        return ResponsesAgentResponse(output=[event.item for event in done])

    def predict_stream(self, request):
        items = [item.model_dump(exclude_none=True) for item in request.input]
        plan = self.plan(items)
        notes = [self.research(step) for step in [plan.goal, *plan.steps][:3]]
        context = "\n".join(f"- {note}" for note in notes)
        with client().responses.create(
            model="gpt-5",
            instructions=f"{style_guide()}\nNotes:\n{context}",
            input=items,
            stream=True,
        ) as stream:
            for event in stream:
                if event.type in FORWARDED:
                    yield ResponsesAgentStreamEvent(**event.model_dump(exclude_none=True))

    def plan(self, items):
        response = client().responses.parse(
            model="gpt-5-mini",
            instructions="Plan the research.",
            input=items,
            text_format=Plan,
        )
        return response.output_parsed

    def research(self, step):
        response = client().responses.create(
            model="gpt-5-nano", instructions="Name one fact.", input=step
        )
        return response.output_text


mlflow.models.set_model(Researcher())
