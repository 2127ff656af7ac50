"""Connects the OpenAI Agents SDK with the LLM, the tools and the Responses API."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from types import FunctionType
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    MaxTurnsExceeded,
    Model,
    ModelProvider,
    OpenAIChatCompletionsModel,
    RunConfig,
    RunHooks,
    Runner,
    Tool,
    TResponseInputItem,
)
from agents.tool_context import ToolContext
from mlflow.types.responses import (
    Message,
    OutputItem,
    ResponsesAgentRequest,
    ResponsesAgentStreamEvent,
    create_text_output_item,
)

from .framework import adapt_events, too_many_rounds
from .items import Item, delta_event, done_event, function_call_output, unique_id
from .llm import LLM
from .llm.transport import forbid_calls, openai_client, select_llm, separate_answer
from .messages import texts_only, to_content, to_messages
from .toolbox import Toolbox

# The output of a tool, and of a handoff to another agent; the SDK misspells the second name.
TOOL_OUTPUTS = ("tool_output", "handoff_occured")


def chat_model() -> OpenAIChatCompletionsModel:
    """Return the LLM of each request as one model of the SDK."""
    return OpenAIChatCompletionsModel("llm", openai_client())


class Models(ModelProvider):
    """Gives the LLM of each request to agents without a model."""

    def __init__(self) -> None:
        self._chat_model = chat_model()

    def get_model(self, model_name: str | None) -> Model:
        """Return the LLM.

        Raises:
            ValueError: An agent names another model.
        """
        if model_name:
            raise ValueError(
                f"An agent has the model {model_name!r}. Give it `model=chat_model()`, and set "
                "`llm` in config.yml."
            )
        return self._chat_model


RUN_CONFIG = RunConfig(
    model_provider=Models(),
    # The LLM and the tools have spans of MLflow. The SDK would send its own ones to OpenAI.
    tracing_disabled=True,
    tool_not_found_behavior="return_error_to_model",
)


def tools_of(functions: Sequence[FunctionType], *, max_length: int) -> list[Tool]:
    """Return functions as tools of the SDK. An error becomes an output, which the LLM reads."""
    toolbox = Toolbox(functions)
    return [_tool(toolbox, one["function"], max_length) for one in toolbox.specifications]


def _tool(toolbox: Toolbox, function: Any, max_length: int) -> Tool:
    async def run(_context: ToolContext[Any], arguments: str) -> str:
        with separate_answer():
            return await toolbox.run(function["name"], arguments, max_length=max_length)

    return FunctionTool(
        name=function["name"],
        description=function["description"],
        params_json_schema=function["parameters"],
        on_invoke_tool=run,
        strict_json_schema=False,
    )


class LastTurn(RunHooks[Any]):
    """Lets the LLM call no tools in the last turn."""

    def __init__(self, max_turns: int) -> None:
        self.turns_left = max_turns

    async def on_llm_start(self, *_arguments: Any, **_options: Any) -> None:
        """Count a turn."""
        self.turns_left -= 1
        if self.turns_left == 0:
            forbid_calls()


def stream(
    agent: Agent[ResponsesAgentRequest], request: ResponsesAgentRequest, llm: LLM, max_turns: int
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Answer a request with an agent.

    Raises:
        LLMError: The LLM fails, or calls tools until the limit of the SDK.
        NotImplementedError: A tool needs the approval of a person.
        RequestError: A content part cannot be sent to the LLM.
    """

    async def run() -> AsyncGenerator[ResponsesAgentStreamEvent]:
        select_llm(llm)
        result = Runner.run_streamed(
            agent,
            list(to_input(request.input)),
            context=request,
            max_turns=max_turns,
            hooks=LastTurn(max_turns),
            run_config=RUN_CONFIG,
        )
        events: Any = result.stream_events()
        try:
            async with aclosing(events), aclosing(to_events(events)) as converted:
                async for event in converted:
                    yield event
            if result.interruptions:
                raise NotImplementedError(
                    f"The tool {result.interruptions[0].name} waits for a person, but a request "
                    "contains the whole conversation. Ask in the answer, and remove "
                    "`needs_approval`."
                )
        except MaxTurnsExceeded as error:
            raise too_many_rounds(llm.uri) from error
        finally:
            result.cancel()

    return adapt_events(run())


def to_input(items: Iterable[Message | OutputItem]) -> Iterator[TResponseInputItem]:
    """Yield the items of a request as the SDK accepts them.

    Raises:
        RequestError: A content part cannot be sent to the LLM.
    """
    for message in to_messages(items):
        yield from _input_items(message)


def _input_items(message: Item) -> Iterator[Any]:
    """Yield the items for a message of chat completions, as `to_messages` returns it."""
    content = message["content"]
    if message["role"] == "tool":
        call_id = message["tool_call_id"]
        yield {"type": "function_call_output", "call_id": call_id, "output": content}
    elif message["role"] == "assistant" and content:
        # The SDK joins items of this type with the calls of the same turn.
        item = create_text_output_item(content, unique_id("msg"))
        yield item | {"status": "completed"}
    elif content:
        parts = content if isinstance(content, str) else [_part(part) for part in content]
        yield {"role": message["role"], "content": parts}
    for call in message.get("tool_calls", []):
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _part(part: Item) -> Item:
    match part:
        case {"type": "image_url", "image_url": image}:
            return {"type": "input_image", "image_url": image["url"], "detail": image["detail"]}
        case {"type": "file", "file": file}:
            return {"type": "input_file", **file}
    return {"type": "input_text", "text": part["text"]}


async def to_events(events: AsyncIterator[Any]) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert the events of a run. The SDK gives all items the same id, so each gets a new one."""
    message_id = unique_id("msg")
    async for event in events:
        if event.type == "run_item_stream_event" and event.name in TOOL_OUTPUTS:
            output: Any = event.item.raw_item
            yield function_call_output(output["call_id"], texts_only(to_content(output["output"])))
        elif event.type == "raw_response_event":
            data: Any = event.data
            if data.type == "response.output_text.delta" and data.delta:
                yield delta_event(data.delta, message_id)
            elif data.type == "response.completed":  # its items are in order
                for done in data.response.output:
                    if item := _item(done.model_dump(exclude_none=True), message_id):
                        yield done_event(item)
                message_id = unique_id("msg")


def _item(item: Item, message_id: str) -> Item | None:
    """Return an item with an id of its own; None for a message without content."""
    item.pop("provider_data", None)  # of the SDK
    if item["type"] == "message":
        return item | {"id": message_id, "status": "completed"} if item["content"] else None
    return item | {"id": unique_id("fc"), "status": "completed"}
