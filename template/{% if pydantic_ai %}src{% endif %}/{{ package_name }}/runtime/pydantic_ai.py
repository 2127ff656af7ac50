"""Connects Pydantic AI with the LLM, the tools and the Responses API."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby
from types import FunctionType
from typing import Any

import pydantic_ai
from mlflow.types.responses import (
    Message,
    OutputItem,
    ResponsesAgentRequest,
    ResponsesAgentStreamEvent,
)
from pydantic_ai import (
    Agent,
    AgentRunResult,
    BinaryContent,
    FunctionToolResultEvent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestContext,
    ModelRequestPart,
    ModelResponse,
    ModelSettings,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    RunContext,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    Tool,
    ToolCallPart,
    ToolReturnPart,
    UsageLimitExceeded,
    UsageLimits,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.capabilities import (
    AbstractCapability,
    WrapModelRequestHandler,
    WrapRunHandler,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from .framework import adapt_events, function_call, message, too_many_rounds
from .items import Item, RequestError, delta_event, function_call_output, unique_id
from .llm import LLM
from .llm.transport import openai_client, select_llm, separate_answer
from .messages import ChatMessage, to_messages
from .toolbox import Toolbox

AUDIO_TYPES = ("audio/mpeg", "audio/wav")
Part = SystemPromptPart | UserPromptPart | TextPart | ToolCallPart | ToolReturnPart


# `LLM.stream` handles what providers do not accept, so texts and schemas stay as they are.
PROFILE = OpenAIModelProfile(
    json_schema_transformer=None,
    openai_supports_strict_tool_definition=False,
    may_tokenize_special_tokens_in_content=False,
    thinking_tags=("\0", "\0"),  # never in a text
)

pydantic_ai.BANNER_ENABLED = False  # ty: ignore[invalid-assignment]


class ChatModel(OpenAIChatModel):
    """A model that gets the system messages of the agent and the request, and no others.

    Pydantic AI adds some if a text contains tags such as `<system>`. Some servers refuse a system
    message that is not the first one.
    """

    def prepare_messages(
        self,
        messages: list[ModelMessage],
        model_request_parameters: ModelRequestParameters | None = None,
    ) -> list[ModelMessage]:
        prepared = super().prepare_messages(messages, model_request_parameters)
        return [_without_notes(one) for one in prepared]


def _without_notes(one: ModelMessage) -> ModelMessage:
    """Return a message without the notes of Pydantic AI, which have a class of their own."""
    if not isinstance(one, ModelRequest):
        return one
    return replace(one, parts=[part for part in one.parts if not _is_note(part)])


def _is_note(part: ModelRequestPart) -> bool:
    return isinstance(part, SystemPromptPart) and type(part) is not SystemPromptPart


def chat_model() -> ChatModel:
    """Return the LLM of each request as one model of Pydantic AI."""
    provider = OpenAIProvider(openai_client=openai_client())
    return ChatModel("llm", provider=provider, profile=PROFILE)


def tools_of(functions: Sequence[FunctionType], *, max_length: int) -> list[Tool[Any]]:
    """Return functions as tools of Pydantic AI. An error becomes an output, which the LLM reads."""
    toolbox = Toolbox(functions)
    return [_tool(toolbox, one["function"], max_length) for one in toolbox.specifications]


def _tool(toolbox: Toolbox, function: Any, max_length: int) -> Tool[Any]:
    async def run(**arguments: Any) -> str:
        text = json.dumps(arguments)
        with separate_answer():
            return await toolbox.run(function["name"], text, max_length=max_length)

    return Tool.from_schema(run, function["name"], function["description"], function["parameters"])


class RunLimits(AbstractCapability[Any]):
    """Ends the tasks of a run with it, and lets the LLM call no tools in the last round.

    Pydantic AI forgets a task if the run is cancelled between the start of the task and its first
    result. The task would wait forever, with its connection to the LLM open.
    """

    def __init__(self, max_rounds: int) -> None:
        self.max_rounds = max_rounds
        self.tasks: set[asyncio.Task[Any]] = set()
        self.is_closed = False

    def close(self) -> None:
        """Cancel all tasks. Tasks that start later end at once."""
        self.is_closed = True
        for task in self.tasks:
            task.cancel()

    def add_current_task(self) -> None:
        """Cancel the current task when the scope closes, or now if it is closed."""
        if self.is_closed:
            raise asyncio.CancelledError
        if task := asyncio.current_task():
            self.tasks.add(task)

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        self.add_current_task()
        return await handler()

    async def wrap_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        handler: WrapModelRequestHandler,
    ) -> ModelResponse:
        self.add_current_task()
        if ctx.usage.requests + 1 >= self.max_rounds:
            settings = request_context.model_settings or ModelSettings()
            settings = ModelSettings(**settings | {"tool_choice": "none"})
            request_context = replace(request_context, model_settings=settings)
        return await handler(request_context)


def stream(
    agent: Agent[ResponsesAgentRequest, str],
    request: ResponsesAgentRequest,
    llm: LLM,
    max_rounds: int,
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Answer a request with an agent, which has `instructions` but no `system_prompt`.

    A request contains the whole conversation, and Pydantic AI sends the system prompt of an agent
    only without one.

    Raises:
        LLMError: The LLM fails, or calls tools until the limit of Pydantic AI.
        RequestError: There is no message, or a content part cannot be sent to the LLM.
    """

    async def run() -> AsyncGenerator[ResponsesAgentStreamEvent]:
        select_llm(llm)
        limits = RunLimits(max_rounds)
        try:
            running = agent.run_stream_events(
                message_history=to_history(request.input),
                deps=request,
                usage_limits=UsageLimits(request_limit=max_rounds),
                capabilities=[limits],
            )
            async with running as events, aclosing(to_events(events)) as converted:
                async for event in converted:
                    yield event
        except UsageLimitExceeded as error:
            raise too_many_rounds(llm.uri) from error
        finally:
            limits.close()

    return adapt_events(run())


def to_history(items: Iterable[Message | OutputItem]) -> list[ModelMessage]:
    """Convert the items of a request to messages; consecutive parts of one side become one message.

    Raises:
        RequestError: There is no message, or a content part cannot be sent to the LLM.
    """
    history: list[ModelMessage] = []
    for is_answer, group in groupby(_parts(to_messages(items)), key=_is_of_llm):
        parts: Any = list(group)
        history.append(ModelResponse(parts) if is_answer else ModelRequest(parts))
    if not history:
        raise RequestError("The request contains no message. Send one.", "input")
    if isinstance(history[-1], ModelResponse):
        history.append(ModelRequest(parts=[]))  # the LLM continues its answer
    return history


def _is_of_llm(part: Part) -> bool:
    return isinstance(part, TextPart | ToolCallPart)


def _parts(messages: Iterable[ChatMessage]) -> Iterator[Part]:
    names: dict[str, str] = {}  # of tools, by the ids of their calls
    for one in messages:
        match one:
            case {"role": "user", "content": content}:
                yield UserPromptPart(content if isinstance(content, str) else _user(content))
            case {"role": "system", "content": content}:
                yield SystemPromptPart(content)
            case {"role": "assistant", "content": str(text)}:
                yield TextPart(text)
            case {"role": "tool", "tool_call_id": call_id, "content": output}:
                yield ToolReturnPart(names.get(call_id, "tool"), output, call_id)
        for call in one.get("tool_calls", []):
            function = call["function"]
            names[call["id"]] = function["name"]
            yield ToolCallPart(function["name"], function["arguments"], call["id"])


def _user(parts: list[Item]) -> list[UserContent]:
    return [_user_part(part) for part in parts]


def _user_part(part: Item) -> UserContent:
    match part:
        case {"text": str(text)}:
            return text
        case {"image_url": {"url": url, "detail": detail}}:
            return ImageUrl(url, vendor_metadata={"detail": detail})
        case {"file": {"file_data": data}}:
            return _file(data)
    raise RequestError(
        "A file without `file_data` cannot be sent to the LLM. Send its content as `file_data`.",
        "input",
    )


def _file(uri: str) -> BinaryContent:
    try:
        file = BinaryContent.from_data_uri(uri)
        is_text = not (file.is_image or file.is_audio or file.is_video or file.is_document)
        is_text |= file.media_type.startswith("text/") or file.media_type.endswith("+xml")
        if is_text:  # it becomes a part of the message
            file.data.decode()
            return BinaryContent(file.data, media_type="text/plain")
    except ValueError as error:
        raise RequestError(
            "`file_data` must be a data URI with Base64, and a text must be UTF-8.", "input"
        ) from error
    if file.is_video or (file.is_audio and file.media_type not in AUDIO_TYPES):
        raise RequestError(
            f"A file of type {file.media_type} cannot be sent to the LLM. Send an image, a "
            "document, a text, or audio as audio/wav or audio/mpeg.",
            "input",
        )
    return file


async def to_events(events: AsyncIterator[Any]) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert the events of a run."""
    message_id = ""
    async for event in events:
        match event:
            case PartStartEvent(part=TextPart(content=text)):
                message_id = unique_id("msg")
                if text:
                    yield delta_event(text, message_id)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                yield delta_event(text, message_id)
            case PartEndEvent(part=TextPart(content=text)) if text:
                yield message(text, message_id)
            case PartEndEvent(part=ToolCallPart() as call):
                yield function_call(call.tool_call_id, call.tool_name, call.args_as_json_str())
            case FunctionToolResultEvent(part=part):
                yield function_call_output(part.tool_call_id, part.model_response_str())
