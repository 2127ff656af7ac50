"""What the OpenAI Agents SDK sends and returns in unusual conversations."""

import json

import pytest

from tests.conftest import Render
from tests.frameworks.answers import answer_of, answer_to, llm_settings
from tests.helpers.agents import Agent, install_copy
from tests.helpers.model_server import ChatServer, calls, text

# Prints the ids of two calls and of the only output, in the order that callers get.
UNANSWERED_CALL = """
import asyncio
from weather_agent.runtime.framework import function_call, in_call_order
from weather_agent.runtime.items import function_call_output

async def events():
    yield function_call("a", "today", "{}")
    yield function_call("b", "today", "{}")
    yield function_call_output("b", "Sunday")

async def main():
    async for event in in_call_order(events()):
        print(event.item["call_id"])

asyncio.run(main())
"""
MODEL = "    model=chat_model(),\n"
APPROVAL = '''
@agents.function_tool(needs_approval=True)
def erase() -> str:
    """Erase all notes."""
    return "Erased"

ASSISTANT.tools.append(erase)
'''
PICTURE = '''
@agents.function_tool
def draw() -> list[agents.ToolOutputText | agents.ToolOutputImage]:
    """Draw it."""
    image = agents.ToolOutputImage(image_url="https://example.com/map.png")
    return [agents.ToolOutputText(text="A map"), image]

ASSISTANT = ASSISTANT.clone(tools=[draw])
'''


@pytest.fixture(scope="module")
def agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with the OpenAI Agents SDK."""
    return install_copy(render(framework="openai-agents"), tmp_path_factory.mktemp("openai-agents"))


def pairs(server: ChatServer) -> tuple[list[str], list[str]]:
    """Return the ids of the calls in the last request to the LLM, and those of the outputs."""
    messages = server.bodies[-1]["messages"]
    made = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    return made, [one["tool_call_id"] for one in messages if one["role"] == "tool"]


def test_the_llm_may_repeat_ids_of_calls(agent: Agent, server: ChatServer) -> None:
    one, other = (calls(("current_time", {"place": place})) for place in ("Tokyo", "Oslo"))
    server.reply(one, other, text("Nine"))
    output, _ = answer_of(agent, server)
    made, answered = pairs(server)
    assert len({*made}) == 2
    assert made == answered
    assert [item["type"] for item in output].count("function_call_output") == 2


def test_the_conversation_may_repeat_ids_of_calls(agent: Agent, server: ChatServer) -> None:
    call = {"type": "function_call", "call_id": "call_0", "name": "current_time", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_0"}
    question = {"role": "user", "content": "Hello"}
    turns = [
        question,
        call,
        output | {"output": "nine"},
        question,
        call,
        output | {"output": "ten"},
    ]
    server.reply(text("Welcome"))
    answer_to(agent, server, [*turns, question])
    made, answered = pairs(server)
    assert len({*made}) == 2
    assert made == answered
    roles = [message["role"] for message in server.bodies[-1]["messages"]]
    assert roles == ["system", *["user", "assistant", "tool"] * 2, "user"]


def test_tools_have_no_field_that_some_servers_refuse(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Welcome"))
    answer_of(agent, server)
    functions = [tool["function"] for tool in server.bodies[-1]["tools"]]
    assert functions
    assert not any("strict" in function for function in functions)


def test_items_have_no_fields_of_the_sdk(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("current_time", {"place": "Tokyo"})), text("Nine"))
    output, _ = answer_of(agent, server)
    assert "provider_data" not in json.dumps(output)


def test_an_output_of_parts_is_text(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("draw", {})), text("Here"))
    with agent.patched("agent.py", "class Agent(", f"{PICTURE}\n\nclass Agent("):
        output, _ = answer_of(agent, server)
    assert output[1]["output"] == "A map\n(image)"


def test_an_agent_without_a_model_has_the_llm(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Welcome"))
    with agent.patched("agent.py", MODEL, ""):
        output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"] == "Welcome"


def test_the_name_of_a_model_is_an_error(agent: Agent, server: ChatServer) -> None:
    with agent.patched("agent.py", MODEL, '    model="gpt-5",\n'):
        done = agent.run("weather-agent", "ask", "Hello", **llm_settings(server))
    assert done.returncode == 1
    assert "An agent has the model 'gpt-5'. Give it `model=chat_model()`" in done.stderr


def test_an_approval_is_an_error(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("erase", {})))
    with agent.patched("agent.py", "class Agent(", f"{APPROVAL}\n\nclass Agent("):
        done = agent.run("weather-agent", "ask", "Hello", **llm_settings(server))
    assert done.returncode == 1
    assert "The tool erase waits for a person" in done.stderr


def test_outputs_behind_an_unanswered_call_are_kept(agent: Agent) -> None:
    assert agent.check("python", "-c", UNANSWERED_CALL).split() == ["a", "b", "b"]
