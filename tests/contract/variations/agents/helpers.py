"""MLflow's own helpers, as in its documentation, with one tool call per turn."""

import json
from collections.abc import Generator
from typing import Any

import mlflow
from mlflow.entities import SpanType
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
    output_to_responses_items_stream,
    to_chat_completions_input,
)
from openai import OpenAI


def get_weather(city: str) -> str:
    return f"It is sunny in {city}."


def get_population(city: str) -> str:
    return f"{1000 * len(city)} people live in {city}."


FUNCTIONS = {"get_weather": get_weather, "get_population": get_population}


def specification(name: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    function = {"name": name, "description": "Look up a city.", "parameters": parameters}
    return {"type": "function", "function": function}


class ToolCallingAgent(ResponsesAgent):
    def __init__(self, model: str):
        self.model = model
        self.tools = [specification(name) for name in FUNCTIONS]

    @mlflow.trace(span_type=SpanType.LLM)
    def call_llm(self, messages: list[dict[str, Any]]) -> Generator[dict[str, Any], None, None]:
        with OpenAI() as client:
            for chunk in client.chat.completions.create(
                model=self.model,
                messages=[readable(one) for one in to_chat_completions_input(messages)],
                tools=self.tools,
                parallel_tool_calls=False,
                stream=True,
            ):
                yield chunk.to_dict()

    @mlflow.trace(span_type=SpanType.TOOL)
    def run(self, call: dict[str, Any]) -> dict[str, Any]:
        try:
            result = FUNCTIONS[call["name"]](**json.loads(call["arguments"]))
        except Exception as error:
            result = f"Error: {error!r}"
        return self.create_function_call_output_item(call["call_id"], result)

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        outputs = [
            event.item
            for event in self.predict_stream(request)
            if event.type == "response.output_item.done"
        ]
        return ResponsesAgentResponse(output=outputs, custom_outputs=request.custom_inputs)

    def predict_stream(
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        messages = [with_texts(item.model_dump(exclude_none=True)) for item in request.input]
        for _ in range(10):
            start = len(messages)
            yield from output_to_responses_items_stream(self.call_llm(messages), messages)
            call = messages[-1]
            if len(messages) == start or call.get("type") != "function_call":
                return
            output = self.run(call)
            messages.append(output)
            yield ResponsesAgentStreamEvent(type="response.output_item.done", item=output)
        raise RuntimeError("The LLM did not stop to call tools.")


def with_texts(item: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(item.get("content"), list):
        return item
    return item | {
        "content": [{"text": one.get("refusal") or one["type"], **one} for one in item["content"]]
    }


def readable(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part.get("text") or json.dumps(part) for part in content)
    if not content and not message.get("tool_calls"):
        content = "(empty)"
    return message | {"content": content or None}


mlflow.models.set_model(ToolCallingAgent("gpt-5-mini"))
