"""Connects LangChain and LangGraph with the LLM, the tools and the Responses API."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from types import FunctionType
from typing import Any, NoReturn

from langchain.agents.middleware import ModelCallLimitMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
from langchain.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain.tools import BaseTool
from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent
from pydantic import SecretStr

from .framework import adapt_events, function_call, message, too_many_rounds
from .items import delta_event, function_call_output, unique_id
from .llm import LLM
from .llm.transport import openai_client, select_llm, separate_answer
from .messages import to_messages
from .toolbox import Toolbox


class ChatModel(ChatOpenAI):
    """A chat model without synchronous calls; LangChain would send them with another client."""

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Offer tools to the LLM, those of a toolbox as it describes them."""
        tools = [one.specification if isinstance(one, ToolboxTool) else one for one in tools]
        return super().bind_tools(tools, **options)

    def _generate(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise TypeError("Call the LLM with `await model.ainvoke(…)`, in an `async def` node.")

    _stream = _generate


def chat_model() -> ChatModel:
    """Return the LLM of each request as one chat model of LangChain."""
    client = openai_client()
    return ChatModel(
        model="llm",
        # What is missing here, LangChain reads from the environment.
        api_key=SecretStr("none"),
        base_url=str(client.base_url),
        async_client=client.chat.completions,
        root_async_client=client,
        client=client.chat.completions,
        root_client=client,
        streaming=True,
        # `LLM.stream` has a timeout. No chunk arrives while the LLM thinks.
        stream_chunk_timeout=None,
    )


def tools_of(functions: Sequence[FunctionType], *, max_length: int) -> list[BaseTool]:
    """Return functions as tools of LangChain. An error becomes an output, which the LLM reads."""
    toolbox = Toolbox(functions)
    return [_tool(toolbox, one, max_length) for one in toolbox.specifications]


class ToolboxTool(BaseTool):
    """A function of a toolbox. LangChain's own classes of tools reserve some names of arguments."""

    toolbox: Toolbox
    specification: Any
    max_length: int

    def _run(self, /, **_arguments: Any) -> NoReturn:
        raise TypeError("Call the tool with `await tool.ainvoke(…)`.")

    async def _arun(self, /, **arguments: Any) -> str:
        text = json.dumps(arguments)
        with separate_answer():
            return await self.toolbox.run(self.name, text, max_length=self.max_length)


def _tool(toolbox: Toolbox, specification: Any, max_length: int) -> BaseTool:
    function = specification["function"]
    return ToolboxTool(
        name=function["name"],
        description=function["description"],
        args_schema=function["parameters"],
        toolbox=toolbox,
        specification=specification,
        max_length=max_length,
    )


class RoundLimit(ModelCallLimitMiddleware[Any, Any]):
    """Limits the LLM calls of an agent. In the last one, the LLM must answer without tools."""

    def __init__(self, max_rounds: int) -> None:
        super().__init__(run_limit=max_rounds, exit_behavior="error")

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Call the LLM; a structured answer may be a tool call, also in the last round."""
        rounds = request.state.get("run_model_call_count", 0) + 1
        if rounds == self.run_limit and request.response_format is None:
            request = request.override(tool_choice="none")
        return await handler(request)


def stream(
    graph: CompiledStateGraph[Any, Any, Any, Any], request: ResponsesAgentRequest, llm: LLM
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Answer a request with a graph whose nodes add to the list `messages` of its state.

    Raises:
        LLMError: The LLM fails, or calls tools until the limit of the graph.
        NotImplementedError: The graph interrupts itself to ask a person, or changes a text that
            the caller already has.
    """

    async def run() -> AsyncGenerator[ResponsesAgentStreamEvent]:
        select_llm(llm)
        messages = convert_to_messages(to_messages(request.input))
        for one in messages:
            one.id = unique_id("msg")
        updates: Any = graph.astream(
            {"messages": messages},
            context=request,
            stream_mode=["messages", "updates"],
        )
        try:
            async with aclosing(updates), aclosing(to_events(updates, messages)) as converted:
                async for event in converted:
                    yield event
        except (ModelCallLimitExceededError, GraphRecursionError) as error:
            raise too_many_rounds(llm.uri) from error

    # LangGraph leaves its tasks behind if a cancel scope of anyio cancels it repeatedly.
    return adapt_events(run())


async def to_events(
    updates: AsyncIterator[Any], messages: Sequence[BaseMessage]
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert what a graph streams in the modes `messages` and `updates` to events.

    Args:
        updates: What it streams.
        messages: The messages of the request. Nodes and middleware may return them again.
    """
    texts: dict[str | None, str | None] = dict.fromkeys(one.id for one in messages)
    message_id = unique_id("msg")
    async for mode, data in updates:
        if mode == "messages":
            chunk, metadata = data
            # A tool may call the LLM, too; its text is not the answer.
            is_answer = metadata.get("langgraph_node") != "tools"
            if is_answer and isinstance(chunk, AIMessageChunk) and chunk.text:
                yield delta_event(chunk.text, message_id)
            continue
        for new in _messages(data):
            if new.id in texts:
                _check_same_text(new, texts[new.id])
                continue
            if new.id:
                texts[new.id] = str(new.text)
            if isinstance(new, AIMessage):
                for done in _items(new, message_id):
                    yield done
                message_id = unique_id("msg")
            elif isinstance(new, ToolMessage):
                yield function_call_output(new.tool_call_id, str(new.text))


def _check_same_text(new: BaseMessage, text: str | None) -> None:
    """Check that a message has the text of the answer; None if it is not part of the answer."""
    if text is not None and isinstance(new, AIMessage) and new.text != text:
        raise NotImplementedError(
            "A node or middleware changes a text that the caller already has. Change what the LLM "
            "receives, or return a new message."
        )


def _messages(update: dict[str, Any]) -> Iterator[BaseMessage]:
    """Yield the messages that nodes return, as a list or alone, perhaps in several updates."""
    if "__interrupt__" in update:
        raise NotImplementedError(
            "The graph waits for a person, but a request contains the whole conversation. Ask in "
            "the answer instead of calling `interrupt`."
        )
    for states in update.values():
        for state in states if isinstance(states, list) else [states]:
            new = state.get("messages", []) if isinstance(state, dict) else []
            yield from convert_to_messages(new if isinstance(new, list) else [new])


def _items(new: AIMessage, message_id: str) -> Iterator[ResponsesAgentStreamEvent]:
    """Yield the events that complete the text and the calls of a message."""
    if new.text:
        yield message(str(new.text), message_id)
    for call in new.tool_calls:
        yield function_call(str(call["id"]), call["name"], call["args"])
