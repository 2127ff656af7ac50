"""The LLM chooses a page of the help center, with structured output."""

import json
from contextlib import aclosing
from typing import Literal

import mlflow
from mlflow.types.responses import create_text_output_item
from pydantic import BaseModel
from weather_agent.runtime.base import AsyncResponsesAgent
from weather_agent.runtime.config import load_config, load_instructions
from weather_agent.runtime.items import delta_event, done_event, text_delta, unique_id
from weather_agent.runtime.messages import to_events, to_messages

PAGES = {
    "billing": "You find your invoices under Account.",
    "shipping": "Parcels arrive within three days.",
    "other": "Please call us at the number on the front page.",
}


class Topic(BaseModel):
    """The topic of a question."""

    page: Literal["billing", "shipping", "other"]


FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "topic", "schema": Topic.model_json_schema()},
}


class HelpCenter(AsyncResponsesAgent):
    """Answers with a page."""

    async def answer(self, request, llm):
        instructions = load_instructions()
        if request.custom_inputs:
            instructions += json.dumps(request.custom_inputs)
        messages = [{"role": "system", "content": instructions}, *to_messages(request.input)]
        text = ""
        async with aclosing(to_events(llm.stream(messages, response_format=FORMAT))) as events:
            async for event in events:
                text += text_delta(event)
        page = PAGES[Topic.model_validate_json(text).page]
        item_id = unique_id("msg")
        yield delta_event(page, item_id)
        yield done_event(create_text_output_item(page, item_id))


mlflow.models.set_model(HelpCenter(load_config()))
