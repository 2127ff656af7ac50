"""The OpenAI Agents SDK with `OpenAIResponsesModel`."""

from functools import partial
from typing import Any

from agents import (
    Agent,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from situations import FOLLOW_UP, QUESTION, URL, run

set_tracing_disabled(True)
CLIENT = AsyncOpenAI(base_url=URL, api_key="none", max_retries=0)
MODEL = OpenAIResponsesModel("weather-agent", CLIENT)
AGENT = Agent("Client", model=MODEL)
# The SDK calls the tools of a response itself; by default it raises if it does not have them.
CONFIG = RunConfig(tool_not_found_behavior="return_error_to_model")


class Answer(BaseModel):
    city: str
    days: int


@function_tool
def tool(place: str) -> str:
    """Tell something about a place."""
    return place


async def ask(stream: bool, question: Any, agent: Agent = AGENT) -> Any:
    """Return the result of a run."""
    if not stream:
        return await Runner.run(agent, question, run_config=CONFIG)
    result = Runner.run_streamed(agent, question, run_config=CONFIG)
    async for _ in result.stream_events():
        pass
    return result


async def turns(stream: bool) -> list[str]:
    first = await ask(stream, QUESTION)
    history = [*first.to_input_list(), {"role": "user", "content": FOLLOW_UP}]
    second = await ask(stream, history)
    return [first.final_output, second.final_output]


async def failing(stream: bool, question: str, agent: Agent = AGENT) -> str:
    return (await ask(stream, question, agent)).final_output


async def structured() -> Any:
    result = await ask(False, QUESTION, Agent("Client", model=MODEL, output_type=Answer))
    return result.final_output.model_dump()


async def disconnect() -> str:
    result = Runner.run_streamed(AGENT, "Talk")
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            result.cancel()
            return event.data.delta
    return ""


with_tools = Agent("Client", model=MODEL, tools=[tool])
situations: dict[str, Any] = {
    "disconnect": disconnect,
    "turns": partial(turns, False),
    "turns_streamed": partial(turns, True),
    "structured": structured,
    "invalid": partial(failing, False, "Hello", with_tools),
    "invalid_streamed": partial(failing, True, "Hello", with_tools),
}
run(situations, failing)
