"""Routes requests to specialists on Databricks, which can hand over to each other."""

import json
from functools import lru_cache
from uuid import uuid4

import mlflow
from databricks.sdk import WorkspaceClient
from mlflow.entities import SpanType
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
    create_function_call_item,
    create_function_call_output_item,
    create_text_delta,
    create_text_output_item,
    to_chat_completions_input,
)

ROUTER = "databricks-meta-llama-3-1-8b-instruct"
SPECIALISTS = {
    "billing": ("databricks-claude-sonnet-4", "You answer questions about invoices."),
    "travel": ("databricks-gpt-5-mini", "You plan journeys."),
}
HANDOFF = {
    "type": "function",
    "function": {
        "name": "hand_over",
        "description": "Hand over to another specialist.",
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string", "enum": list(SPECIALISTS)}},
            "required": ["to"],
        },
    },
}


@lru_cache(maxsize=1)
def client():
    return WorkspaceClient().serving_endpoints.get_open_ai_client()


class Router(ResponsesAgent):
    def predict(self, request):
        done = [e for e in self.predict_stream(request) if e.type == "response.output_item.done"]
        return ResponsesAgentResponse(output=[e.item for e in done], custom_outputs={"route": "x"})

    def predict_stream(self, request):
        items = [with_texts(item.model_dump(exclude_none=True)) for item in request.input]
        messages = to_chat_completions_input(items)
        messages = [with_text(message) for message in messages]
        name = self.route(messages)
        for _ in range(3):
            endpoint, prompt = SPECIALISTS[name]
            message = yield from self.ask(endpoint, prompt, messages)
            if not message.get("tool_calls"):
                return
            messages.append(message)
            for call in message["tool_calls"]:
                arguments = call["function"]["arguments"]
                yield done(
                    create_function_call_item(
                        f"fc_{uuid4().hex}", call["id"], call["function"]["name"], arguments
                    )
                )
                to = json.loads(arguments).get("to")
                output = f"{to} takes over." if to in SPECIALISTS else f"There is no {to}."
                name = to if to in SPECIALISTS else name
                yield done(create_function_call_output_item(call["id"], output))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
        endpoint, prompt = SPECIALISTS[name]
        yield from self.ask(endpoint, prompt, messages, tools=None)

    @mlflow.trace(span_type=SpanType.CHAIN)
    def route(self, messages):
        """Ask a small LLM for the specialist."""
        question = next((one for one in reversed(messages) if one["role"] == "user"), messages[0])
        choice = {"role": "system", "content": f"Answer one of {list(SPECIALISTS)}."}
        completion = client().chat.completions.create(
            model=ROUTER, messages=[choice, question], max_tokens=5, temperature=0
        )
        answer = (completion.choices[0].message.content or "").casefold()
        return next((name for name in SPECIALISTS if name in answer), "travel")

    def ask(self, endpoint, prompt, messages, tools=(HANDOFF,)):
        options = {"tools": list(tools)} if tools else {}
        item_id, text, calls = str(uuid4()), "", {}
        with client().chat.completions.create(
            model=endpoint,
            messages=[{"role": "system", "content": prompt}, *messages],
            stream=True,
            **options,
        ) as stream:
            for delta in (choice.delta for chunk in stream for choice in chunk.choices):
                if delta.content:
                    text += delta.content
                    yield ResponsesAgentStreamEvent(**create_text_delta(delta.content, item_id))
                for part in delta.tool_calls or ():
                    if part.index in calls:
                        function = calls[part.index]["function"]
                        function["arguments"] += part.function.arguments or ""
                    else:
                        calls[part.index] = part.model_dump(exclude={"index"})
        message = {"role": "assistant", "content": text or None}
        if text:
            yield done(create_text_output_item(text, item_id))
        if calls:
            message["tool_calls"] = list(calls.values())
        return message


def with_texts(item):
    """Return an item whose refusals are texts."""
    if not isinstance(item.get("content"), list):
        return item
    return item | {
        "content": [{"text": one.get("refusal") or one["type"], **one} for one in item["content"]]
    }


def with_text(message):
    """Return a message whose content is a text."""
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(part.get("text") or str(part) for part in content)
    return message | {"content": content or (None if message.get("tool_calls") else "(empty)")}


def done(item):
    return ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


mlflow.models.set_model(Router())
