"""An agent whose tools are registered by a decorator, and get what they need from the request."""

import asyncio
import inspect
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_type_hints

import mlflow
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)
from openai import AsyncOpenAI
from pydantic import ConfigDict, ValidationError, create_model

Deps = TypeVar("Deps")
Event = ResponsesAgentStreamEvent


@dataclass
class RunContext(Generic[Deps]):
    """What a tool gets besides its arguments."""

    deps: Deps
    messages: list[dict[str, Any]]


class Tool:
    def __init__(self, function: Callable[..., Any]) -> None:
        hints = get_type_hints(function)
        _, *parameters = inspect.signature(function).parameters.values()
        fields: dict[str, Any] = {
            one.name: (hints[one.name], ... if one.default is one.empty else one.default)
            for one in parameters
        }
        self.function = function
        self.name = function.__name__
        self.arguments = create_model(self.name, __config__=ConfigDict(extra="forbid"), **fields)
        self.definition = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": inspect.getdoc(function),
                "parameters": self.arguments.model_json_schema(),
            },
        }

    async def __call__(self, context: RunContext[Any], arguments: str) -> str:
        try:
            values = dict(self.arguments.model_validate_json(arguments or "{}"))
        except ValidationError as error:
            return f"Correct the arguments: {error}"
        result = self.function(context, **values)
        return json.dumps(await result if inspect.isawaitable(result) else result, default=str)


@dataclass
class Assistant(Generic[Deps]):
    model: str
    instructions: Callable[[Deps], str]
    tools: dict[str, Tool] = field(default_factory=dict)
    max_requests: int = 6

    def tool(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.tools[function.__name__] = Tool(function)
        return function

    async def run(self, deps: Deps, messages: list[dict[str, Any]]) -> AsyncIterator[Event]:
        messages = [{"role": "system", "content": self.instructions(deps)}, *messages]
        context = RunContext(deps, messages)
        async with AsyncOpenAI() as client:
            for left in reversed(range(self.max_requests)):
                message: dict[str, Any] = {"role": "assistant", "content": None}
                async for event in self.request(client, messages, message, may_call=left > 0):
                    yield event
                messages.append(message)
                calls = message.get("tool_calls", [])
                if not calls:
                    return
                outputs = await asyncio.gather(*(self.call(context, one) for one in calls))
                for call, output in zip(calls, outputs, strict=True):
                    name, arguments = call["function"]["name"], call["function"]["arguments"]
                    item = AGENT.create_function_call_item(
                        new_id("fc"), call["id"], name, arguments
                    )
                    yield done(item)
                    yield done(AGENT.create_function_call_output_item(call["id"], output))
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})

    async def request(
        self,
        client: AsyncOpenAI,
        messages: list[dict[str, Any]],
        message: dict[str, Any],
        *,
        may_call: bool,
    ) -> AsyncIterator[Event]:
        """Yield the text of a completion, and fill in the message."""
        options: dict[str, Any] = {
            "tools": [tool.definition for tool in self.tools.values()],
            "tool_choice": "auto" if may_call else "none",
        }
        item_id, text, reason = new_id("msg"), "", None
        calls: dict[int, dict[str, Any]] = {}
        stream = await client.chat.completions.create(
            model=self.model, messages=messages, stream=True, **options
        )
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
                    if choice.delta.content:
                        text += choice.delta.content
                        yield Event(**AGENT.create_text_delta(choice.delta.content, item_id))
                    for part in choice.delta.tool_calls or []:
                        call = calls.setdefault(part.index, {"type": "function", "function": {}})
                        call["id"] = part.id or call["id"]
                        for name in ("name", "arguments"):
                            piece = getattr(part.function, name) or ""
                            call["function"][name] = call["function"].get(name, "") + piece
        if reason not in ("stop", "tool_calls"):
            raise RuntimeError(f"The LLM stopped because of {reason}.")
        if text:
            message["content"] = text
            yield done(AGENT.create_text_output_item(text, item_id))
        if calls:
            message["tool_calls"] = list(calls.values())

    async def call(self, context: RunContext[Deps], call: dict[str, Any]) -> str:
        tool = self.tools.get(call["function"]["name"])
        if tool is None:
            return f"There is no such tool; the tools are {', '.join(self.tools)}."
        with mlflow.start_span(tool.name, span_type="TOOL") as span:
            span.set_inputs(call["function"]["arguments"])
            output = await tool(context, call["function"]["arguments"])
            span.set_outputs(output)
            return output


@dataclass(frozen=True)
class Customer:
    name: str = "the customer"
    points: int = 100


assistant = Assistant[Customer](
    "gpt-5-mini", lambda customer: f"You help {customer.name} of the shop. Be brief."
)


@assistant.tool
async def points(context: RunContext[Customer], bonus: bool = False) -> int:
    """Count the points of the customer."""
    await asyncio.sleep(0)
    return context.deps.points + (10 if bonus else 0)


@assistant.tool
def order(context: RunContext[Customer], articles: list[str]) -> dict[str, Any]:
    """Order articles."""
    return {"for": context.deps.name, "articles": sorted(set(articles))}


class ShopAgent(ResponsesAgent):
    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        events = list(self.predict_stream(request))
        items = [event.item for event in events if event.type == "response.output_item.done"]
        return ResponsesAgentResponse(output=items)

    def predict_stream(self, request: ResponsesAgentRequest):
        name = str((request.custom_inputs or {}).get("customer", "the customer"))
        items = [with_texts(item.model_dump(exclude_none=True)) for item in request.input]
        events = assistant.run(Customer(name), plain(self.prep_msgs_for_cc_llm(items)))
        yield from in_new_loop(events)


def in_new_loop(events: AsyncIterator[Event]):
    """Yield the events of an asynchronous generator, which runs in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        while True:
            try:
                yield asyncio.run_coroutine_threadsafe(anext(events), loop).result()
            except StopAsyncIteration:
                return
    finally:
        asyncio.run_coroutine_threadsafe(events.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def with_texts(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item whose parts have texts."""
    if not isinstance(item.get("content"), list):
        return item
    parts = [{"text": part.get("refusal") or part["type"], **part} for part in item["content"]]
    return item | {"content": parts}


def plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with texts in place of parts."""
    found: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = " ".join(part.get("text") or str(part) for part in content)
        empty = None if message.get("tool_calls") else "(nothing)"
        found.append(message | {"content": content or empty})
    return found


def new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def done(item: dict[str, Any]) -> Event:
    return Event(type="response.output_item.done", item=item)


AGENT = ShopAgent()
mlflow.models.set_model(AGENT)
