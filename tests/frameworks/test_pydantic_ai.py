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
