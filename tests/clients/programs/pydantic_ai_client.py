"""Pydantic AI with `OpenAIResponsesModel`."""

from functools import partial
from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from situations import FOLLOW_UP, QUESTION, URL, run

CLIENT = AsyncOpenAI(base_url=URL, api_key="none", max_retries=0)
MODEL = OpenAIResponsesModel("weather-agent", provider=OpenAIProvider(openai_client=CLIENT))
AGENT = Agent(MODEL)


class Answer(BaseModel):
    city: str
    days: int


def tool(place: str) -> str:
    """Tell something about a place."""
    return place


async def ask(stream: bool, question: str, history: Any = None, agent: Agent = AGENT) -> Any:
    """Return the text of an answer, and the history with it."""
    if not stream:
        result = await agent.run(question, message_history=history)
        return result.output, result.all_messages()
    async with agent.run_stream(question, message_history=history) as streamed:
        return await streamed.get_output(), streamed.all_messages()


async def turns() -> list[str]:
    """Use `model_request`; `run` calls the agent's tools itself, and fails."""
    messages: list[Any] = [ModelRequest.user_text_prompt(QUESTION)]
    messages.append(first := await model_request(MODEL, messages))
    messages.append(ModelRequest.user_text_prompt(FOLLOW_UP))
    second = await model_request(MODEL, messages)
    return [text_of(first), text_of(second)]


def text_of(response: Any) -> str:
    return "".join(part.content for part in response.parts if part.part_kind == "text")


async def turns_streamed() -> list[str]:
    first, history = await ask(True, QUESTION)
    second, _ = await ask(True, FOLLOW_UP, history)
    return [first, second]


async def structured() -> Any:
    options: Any = {"output_type": NativeOutput(Answer)}
    async with AGENT.run_stream(QUESTION, **options) as streamed:
        return (await streamed.get_output()).model_dump()


async def disconnect() -> str:
    async with AGENT.run_stream("Talk") as streamed:
        return await anext(streamed.stream_text(delta=True, debounce_by=None))


with_tools = Agent(MODEL, tools=[tool])
situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": turns,
    "turns_streamed": turns_streamed,
    "structured": structured,
    "invalid": partial(ask, False, "Hello", agent=with_tools),
    "invalid_streamed": partial(ask, True, "Hello", agent=with_tools),
}
run(situations, ask)
