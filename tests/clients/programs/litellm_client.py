"""LiteLLM: `litellm.responses`."""

import json
import os
from functools import partial
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from pydantic import BaseModel
from situations import FOLLOW_UP, QUESTION, URL, run

litellm.suppress_debug_info = True
# Models that LiteLLM does not know are not streamed.
litellm.register_model(
    {"openai/weather-agent": {"litellm_provider": "openai", "supports_native_streaming": True}}
)
OPTIONS: Any = {"model": "openai/weather-agent", "api_base": URL, "api_key": "none"}
TOOL: Any = {"type": "function", "name": "a", "parameters": {}, "strict": False}


class Answer(BaseModel):
    city: str
    days: int


def ask(stream: bool, question: Any, **options: Any) -> Any:
    """Return a response."""
    response: Any = litellm.responses(
        input=question, stream=stream, max_retries=0, **OPTIONS, **options
    )
    if not stream:
        return response
    return next(event.response for event in response if event.type == "response.completed")


def turns(stream: bool) -> list[str]:
    items: list[Any] = [{"role": "user", "content": QUESTION}]
    first = ask(stream, items)
    items += [item.model_dump(exclude_none=True) for item in first.output]
    second = ask(stream, [*items, {"role": "user", "content": FOLLOW_UP}])
    return [first.output_text, second.output_text]


def structured() -> Any:
    return json.loads(ask(False, QUESTION, text_format=Answer).output_text)


def disconnect() -> str:
    events: Any = litellm.responses(input="Talk", stream=True, **OPTIONS)
    text = next(event.delta for event in events if event.type == "response.output_text.delta")
    events.response.close()
    return text


situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": partial(turns, False),
    "turns_streamed": partial(turns, True),
    "structured": structured,
    "invalid": partial(ask, False, "Hello", tools=[TOOL]),
    "invalid_streamed": partial(ask, True, "Hello", tools=[TOOL]),
}
run(situations, ask)
