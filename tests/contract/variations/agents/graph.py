"""A graph of nodes and edges, with the chat completions of OpenAI and a memory of the client."""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import mlflow
import openai
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)
from pydantic import BaseModel, Field

logging.getLogger("weather_agent").addHandler(logging.NullHandler())
logger = logging.getLogger("weather_agent.graph")

SYSTEM_PROMPT = "You are a travel guide. Use the tools."
MAX_STEPS = 12
END = "end"


class Search(BaseModel):
    """Search for sights."""

    city: str = Field(description="The city.")
    kind: Literal["museum", "park"] = "museum"
    limit: int = Field(default=3, ge=1, le=10)


class Rate(BaseModel):
    """Rate a sight."""

    sight: str


def search(arguments: Search) -> list[str]:
    return [f"{arguments.kind} {number} of {arguments.city}" for number in range(arguments.limit)]


def rate(arguments: Rate) -> float:
    return len(arguments.sight) % 5


TOOLS: dict[str, tuple[type[BaseModel], Callable[[Any], Any]]] = {
    "Search": (Search, search),
    "Rate": (Rate, rate),
}


@dataclass
class State:
    messages: list[dict[str, Any]]
    memory: list[str] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    text: str = ""
    steps: int = 0


Events = Generator[ResponsesAgentStreamEvent, None, str]


class GraphAgent(ResponsesAgent):
    def __init__(self, model: str = "gpt-5-mini"):
        self.model = model
        self.tools = [openai.pydantic_function_tool(cls) for cls, _ in TOOLS.values()]
        self.nodes = {"llm": self.call_llm, "tools": self.call_tools}
        self._client: openai.OpenAI | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                self._client = openai.OpenAI(max_retries=0, timeout=60)
            return self._client

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        events = list(self.predict_stream(request))
        return ResponsesAgentResponse(
            output=[event.item for event in events if event.type == "response.output_item.done"],
            custom_outputs=next((e.custom_outputs for e in events if e.custom_outputs), None),
        )

    def predict_stream(self, request: ResponsesAgentRequest):
        memory = list((request.custom_inputs or {}).get("memory", []))
        system = SYSTEM_PROMPT + "".join(f"\nRemember: {one}" for one in memory)
        items = [item.model_dump(exclude_none=True) for item in request.input]
        messages = self.prep_msgs_for_cc_llm(items)
        state = State([{"role": "system", "content": system}, *fix(messages)], memory)
        node = "llm"
        while node != END:
            state.steps += 1
            if state.steps > MAX_STEPS:
                raise RuntimeError("The graph did not end.")
            logger.info("Step %d: %s", state.steps, node)
            node = yield from self.nodes[node](state)

    def call_llm(self, state: State) -> Events:
        item_id = f"msg_{uuid4().hex}"
        text, calls = "", {}
        with self.complete(state.messages) as stream:
            for delta in (choice.delta for chunk in stream for choice in chunk.choices):
                if delta.content:
                    text += delta.content
                    yield ResponsesAgentStreamEvent(
                        **self.create_text_delta(delta.content, item_id)
                    )
                for part in delta.tool_calls or []:
                    call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                    call["id"] = part.id or call["id"]
                    call["name"] = part.function.name or call["name"]
                    call["arguments"] += part.function.arguments or ""
        if text:
            yield self.done(
                self.create_text_output_item(text, item_id),
                {"memory": [*state.memory, f"{len(state.messages)} messages"]},
            )
            state.messages.append({"role": "assistant", "content": text})
        state.calls = list(calls.values())
        return "tools" if calls else END

    def call_tools(self, state: State) -> Events:
        functions = [
            {
                "id": c["id"],
                "type": "function",
                "function": {k: c[k] for k in ("name", "arguments")},
            }
            for c in state.calls
        ]
        state.messages.append({"role": "assistant", "content": None, "tool_calls": functions})
        for call in state.calls:
            yield self.done(
                self.create_function_call_item(
                    f"fc_{uuid4().hex}", call["id"], call["name"], call["arguments"]
                )
            )
            output = run_tool(call["name"], call["arguments"])
            yield self.done(self.create_function_call_output_item(call["id"], output))
            state.messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
        return "llm"

    def complete(self, messages: list[dict[str, Any]]):
        """Start a completion; repeat it twice if the API is busy."""
        for attempt in range(3):
            try:
                return self.client.chat.completions.create(
                    model=self.model, messages=messages, tools=self.tools, stream=True
                )
            except (openai.RateLimitError, openai.InternalServerError):
                if attempt == 2:
                    raise
                time.sleep(0.01 * 2**attempt + random.random() / 100)
        raise AssertionError

    def done(self, item: dict[str, Any], custom_outputs: dict[str, Any] | None = None):
        return ResponsesAgentStreamEvent(
            type="response.output_item.done", item=item, custom_outputs=custom_outputs
        )


def run_tool(name: str, arguments: str) -> str:
    try:
        cls, function = TOOLS[name]
        return json.dumps(function(cls.model_validate_json(arguments)))
    except (KeyError, ValueError) as error:
        return f"Error: {error}"


def fix(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge calls of one turn, and convert parts that chat completions name differently."""
    fixed: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(part.get("text") or json.dumps(part) for part in content)
        if message.get("tool_calls"):
            message = message | {"content": None}
        elif not content:
            continue
        else:
            message = message | {"content": content}
        fixed.append(message)
    return fixed


mlflow.models.set_model(GraphAgent())
