"""Structured output with chat completions; `predict_stream` is made of `predict`."""

import uuid
from enum import StrEnum
from typing import Literal

import mlflow
import openai
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)
from pydantic import BaseModel, Field


class Urgency(StrEnum):
    LOW = "low"
    HIGH = "high"


class Person(BaseModel):
    name: str
    phone: str | None = None


class Ticket(BaseModel):
    """A ticket of the help desk."""

    title: str = Field(description="A short title.")
    urgency: Urgency
    product: Literal["app", "web"]
    people: list[Person]
    estimate: float | None


class Extractor(ResponsesAgent):
    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        messages = self.prep_msgs_for_cc_llm(
            [with_texts(i.model_dump(exclude_none=True)) for i in request.input]
        )
        messages = [{"role": "system", "content": "Extract a ticket."}, *map(plain, messages)]
        with openai.OpenAI() as client:
            completion = client.chat.completions.parse(
                model="gpt-5-mini", messages=messages, response_format=Ticket
            )
        message = completion.choices[0].message
        if message.refusal:
            raise ValueError(message.refusal)
        ticket = message.parsed
        text = f"{ticket.title} ({ticket.product}, {ticket.urgency.value})"
        return ResponsesAgentResponse(
            output=[self.create_text_output_item(text, f"msg_{uuid.uuid4()}")],
            custom_outputs={"ticket": ticket.model_dump(mode="json")},
        )

    def predict_stream(self, request: ResponsesAgentRequest):
        response = self.predict(request)
        for item in response.output:
            fields = item.model_dump(exclude_none=True)
            delta = self.create_text_delta(fields["content"][0]["text"], fields["id"])
            yield ResponsesAgentStreamEvent(**delta)
            yield ResponsesAgentStreamEvent(
                type="response.output_item.done",
                item=fields,
                custom_outputs=response.custom_outputs,
            )


def with_texts(item):
    """Return an item whose parts are texts."""
    if not isinstance(item.get("content"), list):
        return item
    return item | {
        "content": [{"text": one.get("refusal") or one["type"], **one} for one in item["content"]]
    }


def plain(message):
    """Return a message with text only; calls and outputs become texts."""
    content = message.get("tool_calls") or message.get("content") or "(empty)"
    if isinstance(content, list):
        content = " ".join(part.get("text") or str(part) for part in content)
    role = message["role"] if message["role"] in ("user", "assistant", "system") else "user"
    return {"role": role, "content": content}


mlflow.models.set_model(Extractor())
