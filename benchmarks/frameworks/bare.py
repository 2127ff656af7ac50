"""A server around nothing but a framework, as its documentation shows it.

Run in the environment of a generated agent of the framework:

    OPENAI_BASE_URL=… python bare.py FRAMEWORK PORT
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

INSTRUCTIONS = "You are a helpful assistant."
Answer = Callable[[str], AsyncIterator[str]]


def current_time(place: str) -> str:
    """Return the current time at a place."""
    return f"It is noon in {place}."


def openai_agents() -> Answer:
    """Return the answers of the OpenAI Agents SDK."""
    import agents

    agents.set_tracing_disabled(True)
    agents.set_default_openai_api("chat_completions")
    tools: list[Any] = [agents.function_tool(current_time)]
    assistant = agents.Agent("assistant", instructions=INSTRUCTIONS, model="m", tools=tools)

    async def answer(question: str) -> AsyncIterator[str]:
        result = agents.Runner.run_streamed(assistant, question)
        async for event in result.stream_events():
            data = getattr(event, "data", None)
            if data and data.type == "response.output_text.delta":
                yield data.delta

    return answer


def langgraph() -> Answer:
    """Return the answers of LangChain and LangGraph."""
    from langchain.agents import create_agent
    from langchain.messages import AIMessageChunk
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="m", streaming=True)
    graph = create_agent(model, tools=[current_time], system_prompt=INSTRUCTIONS)

    async def answer(question: str) -> AsyncIterator[str]:
        messages: Any = {"messages": [{"role": "user", "content": question}]}
        async for chunk, _ in graph.astream(messages, stream_mode="messages"):
            if isinstance(chunk, AIMessageChunk) and chunk.text:
                yield str(chunk.text)

    return answer


def pydantic_ai() -> Answer:
    """Return the answers of Pydantic AI."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel

    model = OpenAIChatModel("m")
    assistant = Agent(model, instructions=INSTRUCTIONS, tools=[current_time])

    async def answer(question: str) -> AsyncIterator[str]:
        async with assistant.run_stream(question) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                yield text

    return answer


def dspy() -> Answer:
    """Return the answers of DSPy, without tools: its modules for tools stream no text."""
    import dspy

    # This engine does not read OPENAI_BASE_URL.
    url = os.environ["OPENAI_BASE_URL"]
    dspy.configure(lm=dspy.LM("openai/m", api_base=url, cache=False, engine="lm15"))
    predict = dspy.Predict(dspy.Signature("question -> answer", INSTRUCTIONS))
    program: Any = dspy.streamify(predict)

    async def answer(question: str) -> AsyncIterator[str]:
        # The model writes no fields, which ends in an error after the last piece.
        try:
            async for value in program(question=question):
                if not isinstance(value, dspy.Prediction):
                    yield value.choices[0].delta.content or ""
        except dspy.AdapterParseError:
            return

    return answer


FRAMEWORKS: dict[str, Callable[[], Answer]] = {
    "openai-agents": openai_agents,
    "langgraph": langgraph,
    "pydantic-ai": pydantic_ai,
    "dspy": dspy,
}


def message(text: str) -> dict[str, Any]:
    """Return an output item."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


async def events(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield an answer as server-sent events."""
    words = []
    async for text in texts:
        words.append(text)
        event = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text}
        yield f"data: {json.dumps(event)}\n\n"
    done = {"type": "response.output_item.done", "item": message("".join(words))}
    yield f"data: {json.dumps(done)}\n\ndata: [DONE]\n\n"


def application(answer: Answer) -> Starlette:
    """Return the server's application."""

    async def respond(request: Request) -> Response:
        body = await request.json()
        texts = answer(body["input"][-1]["content"])
        if body.get("stream"):
            return StreamingResponse(events(texts), media_type="text/event-stream")
        text = "".join([text async for text in texts])
        return JSONResponse({"object": "response", "output": [message(text)]})

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    routes = [Route("/invocations", respond, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes)


if __name__ == "__main__":
    framework, port = sys.argv[1:]
    uvicorn.run(
        application(FRAMEWORKS[framework]()),
        host="127.0.0.1",
        port=int(port),
        http="h11",  # as in the agent, so that both parse HTTP in the same way
        log_level="warning",
    )
