"""Connects LangChain and LangGraph with the LLM, the tools and the Responses API."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from types import FunctionType
from typing import Any, NoReturn

import mlflow
from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
from langchain.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.errors import GraphRecursionError
from langgraph.graph.state import CompiledStateGraph
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentStreamEvent

from .framework import adapt_events, too_many_rounds
from .items import delta_event, done_event, function_call_output, unique_id
from .llm import LLM
from .llm.transport import openai_client, select_llm
from .messages import to_messages
from .toolbox import Toolbox

# The LLM and the tools have spans. MLflow's evaluation would add those of LangChain beside them.
mlflow.langchain.autolog(disable=True)


class ChatModel(ChatOpenAI):
    """A chat model without synchronous calls, for which LangChain has another client."""

    def _generate(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise TypeError("Call the LLM with `await model.ainvoke(…)`, in an `async def` node.")

    _stream = _generate


def chat_model() -> ChatModel:
    """Return the LLM of each request as one chat model of LangChain."""
    client = openai_client()
    return ChatModel(
        model="llm", async_client=client.chat.completions, root_async_client=client, streaming=True
    )


def tools_of(functions: Sequence[FunctionType], *, max_length: int) -> list[BaseTool]:
    """Return functions as tools of LangChain. An error becomes an output, which the LLM reads."""
    toolbox = Toolbox(functions)
    return [_tool(toolbox, one["function"], max_length) for one in toolbox.specifications]


def _tool(toolbox: Toolbox, function: Any, max_length: int) -> BaseTool:
    async def run(**arguments: Any) -> str:
        return await toolbox.run(function["name"], json.dumps(arguments), max_length=max_length)

    as_tool = tool(
        function["name"],
        description=function["description"],
        args_schema=function["parameters"],
    )
    return as_tool(run)


def stream(
    graph: CompiledStateGraph[Any, Any, Any, Any], request: ResponsesAgentRequest, llm: LLM
) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Answer a request with a graph that has a list of `messages`."""

    async def run() -> AsyncGenerator[ResponsesAgentStreamEvent]:
        select_llm(llm)
        updates: Any = graph.astream(
            {"messages": to_messages(request.input)},
            context=request,
            stream_mode=["messages", "updates"],
        )
        try:
            async with aclosing(updates), aclosing(to_events(updates)) as converted:
                async for event in converted:
                    yield event
        except (ModelCallLimitExceededError, GraphRecursionError) as error:
            raise too_many_rounds(llm.uri) from error

    # LangGraph leaves its tasks behind if a cancel scope of anyio cancels it repeatedly.
    return adapt_events(run())


async def to_events(updates: AsyncIterator[Any]) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert what a graph streams in the modes `messages` and `updates` to events."""
    message_id = unique_id("msg")
    async for mode, data in updates:
        if mode == "messages":
            chunk, _ = data
            if isinstance(chunk, AIMessageChunk) and chunk.text:
                yield delta_event(chunk.text, message_id)
            continue
        for message in _messages(data):
            if isinstance(message, AIMessage):
                for item in _items(message, message_id):
                    yield done_event(item)
                message_id = unique_id("msg")
            elif isinstance(message, ToolMessage):
                yield function_call_output(message.tool_call_id, str(message.text))


def _messages(update: dict[str, Any]) -> Iterator[Any]:
    for state in update.values():
        yield from (state or {}).get("messages", [])


def _items(message: AIMessage, message_id: str) -> Iterator[dict[str, Any]]:
    """Yield the items of a message: its text, and its calls."""
    if message.text:
        content = [{"type": "output_text", "text": str(message.text), "annotations": []}]
        fields = {"id": message_id, "role": "assistant", "content": content}
        yield {"type": "message", "status": "completed", **fields}
    for call in message.tool_calls:
        fields = {"call_id": call["id"], "name": call["name"], "status": "completed"}
        arguments = json.dumps(call["args"], ensure_ascii=False)
        yield {"type": "function_call", "id": unique_id("fc"), "arguments": arguments, **fields}
