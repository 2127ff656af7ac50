import os
from collections.abc import AsyncGenerator
from pathlib import Path

import mlflow
from agents import Agent, ModelSettings, Runner, set_default_openai_api, set_default_openai_client
from agents.tracing import set_trace_processors
from databricks_openai import AsyncDatabricksOpenAI
from mlflow.genai.agent_server import invoke, stream
from mlflow.types.responses import (
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)

from tide_desk.tools import TOOLS

set_default_openai_client(AsyncDatabricksOpenAI())
set_default_openai_api('chat_completions')
set_trace_processors([])
mlflow.openai.autolog()

MODEL = os.environ.get('MODEL', 'databricks-claude-sonnet-4')
PROMPT = Path(__file__).with_name('prompt.md').read_text()


def assistant() -> Agent:
    return Agent(
        name='Tide desk',
        instructions=PROMPT,
        model=MODEL,
        model_settings=ModelSettings(temperature=0.2, max_tokens=600),
        tools=TOOLS,
    )


def messages(request: ResponsesAgentRequest) -> list[dict]:
    return [item.model_dump(exclude_none=True) for item in request.input]


@invoke()
async def answer(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    result = await Runner.run(assistant(), messages(request), max_turns=6)
    return ResponsesAgentResponse(output=[item.to_input_item() for item in result.new_items])


@stream()
async def answer_in_pieces(
    request: ResponsesAgentRequest,
) -> AsyncGenerator[ResponsesAgentStreamEvent, None]:
    result = Runner.run_streamed(assistant(), messages(request), max_turns=6)
    async for event in result.stream_events():
        if event.type == 'raw_response_event':
            yield event.data.model_dump()
        elif event.type == 'run_item_stream_event' and event.item.type == 'tool_call_output_item':
            print('tool output:', event.item.output)
            yield ResponsesAgentStreamEvent(
                type='response.output_item.done', item=event.item.to_input_item()
            )
