"""What the LLM gets from Pydantic AI, and what it does not add."""

import json

import pytest

from tests.conftest import Render
from tests.frameworks.answers import answer_of, llm_settings
from tests.helpers.agents import Agent, install_copy
from tests.helpers.model_server import ChatServer, calls, text

EXPERT = '''
expert = pydantic_ai.Agent(chat_model())

async def ask_expert(question: str) -> str:
    """Ask an expert."""
    return (await expert.run(question)).output

assistant = pydantic_ai.Agent(
    chat_model(),
    deps_type=ResponsesAgentRequest,
    tools=tools_of([ask_expert], max_length=99),
)
'''


# Prints the messages for the LLM from one that a dynamic system prompt wrote.
DYNAMIC_PROMPT = """
from pydantic_ai import ModelRequest, SystemPromptPart, UserPromptPart
from weather_agent.runtime.pydantic_ai import chat_model
prompt = SystemPromptPart("Today is Sunday.", dynamic_ref="today", context_id="today")
request = ModelRequest([prompt, UserPromptPart("Hello")])
print(chat_model().prepare_messages([request]))
"""
# Prints the type of the error that a request without messages causes.
NO_MESSAGES = """
from mlflow.types.responses import ResponsesAgentRequest
from weather_agent.agent import AGENT
try:
    AGENT.predict(ResponsesAgentRequest(input=[{"type": "reasoning", "id": "rs_1", "summary": []}]))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with Pydantic AI."""
    return install_copy(render(framework="pydantic-ai"), tmp_path_factory.mktemp("pydantic-ai"))


def ask(agent: Agent, server: ChatServer, question: str) -> tuple[str, str]:
    """Return the text of an answer, and what the command writes to standard error."""
    done = agent.run("weather-agent", "ask", question, CLAUDECODE="1", **llm_settings(server))
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("word", ["<system>", "<|im_start|>"])
def test_texts_reach_the_llm_unchanged(agent: Agent, server: ChatServer, word: str) -> None:
    server.reply(text("Markup"))
    ask(agent, server, f"What is {word}?")
    messages = server.bodies[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[-1]["content"] == f"What is {word}?"


def test_a_dynamic_prompt_of_the_conversation_reaches_the_llm(agent: Agent) -> None:
    assert "Today is Sunday." in agent.check("python", "-c", DYNAMIC_PROMPT)


def test_a_request_without_messages_is_an_error_of_the_caller(agent: Agent) -> None:
    assert agent.check("python", "-c", NO_MESSAGES).strip() == "RequestError"


def test_schemas_reach_the_llm_unchanged(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Hello"))
    ask(agent, server, "Hello")
    functions = [tool["function"] for tool in server.bodies[-1]["tools"]]
    assert functions
    assert not any("strict" in function for function in functions)


def test_tags_of_thoughts_are_text(agent: Agent, server: ChatServer) -> None:
    pieces = [
        {"content": piece} for piece in ("Write ", "<think>", " first, ", "</think>", " last")
    ]
    server.reply(pieces)
    answer, _ = ask(agent, server, "How?")
    assert "Write <think> first, </think> last" in answer


def test_nothing_is_advertised(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Hello"))
    _, log = ask(agent, server, "Hello")
    assert "logfire" not in log.casefold()


def test_thoughts_in_a_tool_are_not_those_of_the_answer(agent: Agent, server: ChatServer) -> None:
    thinking = [{"reasoning_content": "A trick."}, {"content": "Because"}]
    server.reply(calls(("ask_expert", {"question": "Why?"})), thinking, text("Yes"))
    with agent.patched("agent.py", "class Agent(", f"{EXPERT}\n\nclass Agent("):
        output, _ = answer_of(agent, server)
    assert [item["type"] for item in output] == ["function_call", "function_call_output", "message"]
    assert "A trick." not in json.dumps(output)
