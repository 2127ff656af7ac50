"""Graphs, middleware and tools of LangGraph that owners write."""

from typing import Any

import pytest

from tests.conftest import Render
from tests.frameworks.answers import answer_of, answer_to, llm_settings
from tests.helpers.agents import Agent, install_copy
from tests.helpers.model_server import ChatServer, calls, text

HISTORY = [
    {"role": "user", "content": "My address is ada@example.com."},
    {"role": "assistant", "content": "I noted it."},
    {"role": "user", "content": "Hello"},
]
ONE_NODE = """
from langgraph.graph import START, MessagesState, StateGraph

async def answer(state: MessagesState) -> Any:
    {body}

builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
GRAPH = builder.compile()
"""
EXPERT = '''
async def expert(question: str) -> str:
    """Ask an expert."""
    return str((await chat_model().ainvoke(question)).text)

GRAPH = create_agent(chat_model(), tools=tools_of([expert], max_length=99))
'''
FIRST_CALL = """
from langchain.agents.middleware import after_model
from langchain.messages import AIMessage

@after_model
def keep_the_first_call(state: Any, runtime: Any) -> Any:
    last = state["messages"][-1]
    if len(last.tool_calls) > 1:
        kept = AIMessage(last.content, tool_calls=last.tool_calls[:1], id=last.id)
        return {"messages": [kept]}

GRAPH = create_agent(
    chat_model(), tools=tools_of(TOOLS, max_length=99), middleware=[keep_the_first_call]
)
"""
REDACTED = """
from langchain.agents.middleware import after_model

@after_model
def redact(state, runtime):
    answer = state["messages"][-1]
    return {"messages": [answer.model_copy(update={"content": "Call (number)"})]}

GRAPH = create_agent(chat_model(), middleware=[redact])
"""
FORECAST = """
from langchain.agents.structured_output import ToolStrategy
from pydantic import BaseModel

class Forecast(BaseModel):
    degrees: int

GRAPH = create_agent(
    chat_model(),
    tools=tools_of(TOOLS, max_length=99),
    middleware=[RoundLimit(1)],
    response_format=ToolStrategy(Forecast),
)
"""
TREE = '''
from pydantic import BaseModel

class Node(BaseModel):
    title: str
    children: list["Node"] = []

def count(root: Node) -> int:
    """Count the children."""
    return len(root.children)

GRAPH = create_agent(chat_model(), tools=tools_of([count], max_length=99))
'''


@pytest.fixture(scope="module")
def agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with LangGraph."""
    return install_copy(render(framework="langgraph"), tmp_path_factory.mktemp("langgraph"))


def answer(agent: Agent, server: ChatServer, code: str, items: Any = "Hello") -> list[Any]:
    """Return the items of an answer of the agent with other code before its class."""
    messages = [{"role": "user", "content": items}] if isinstance(items, str) else items
    with agent.patched("agent.py", "class Agent(", f"{code}\n\nclass Agent("):
        return answer_to(agent, server, messages)


def kinds(items: list[Any]) -> list[str]:
    """Return the types of items."""
    return [item["type"] for item in items]


def test_messages_of_the_request_are_not_answers(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Welcome"))
    code = (
        "from langchain.agents.middleware import PIIMiddleware\n"
        'GRAPH = create_agent(chat_model(), middleware=[PIIMiddleware("email")])'
    )
    items = answer(agent, server, code, HISTORY)
    assert [item["content"][0]["text"] for item in items] == ["Welcome"]


@pytest.mark.parametrize("messages", ["reply", '[{"role": "assistant", "content": reply.text}]'])
def test_a_node_may_return_a_message_alone_or_as_a_dictionary(
    agent: Agent, server: ChatServer, messages: str
) -> None:
    server.reply(text("Welcome"))
    body = (
        'reply = await chat_model().ainvoke(state["messages"])\n'
        f'    return {{"messages": {messages}}}'
    )
    items = answer(agent, server, ONE_NODE.format(body=body))
    assert [item["content"][0]["text"] for item in items] == ["Welcome"]


def test_a_graph_that_waits_for_a_person_is_an_error(agent: Agent, server: ChatServer) -> None:
    body = 'from langgraph.types import interrupt\n    return interrupt("Shall I?")'
    code = ONE_NODE.format(body=body)
    with agent.patched("agent.py", "class Agent(", f"{code}\n\nclass Agent("):
        done = agent.run("weather-agent", "ask", "Hello")
    assert done.returncode != 0
    assert "The graph waits for a person" in done.stderr


def test_what_a_tool_asks_the_llm_is_not_the_answer(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("expert", {"question": "Why?"})), text("Because"), text("Yes"))
    items = answer(agent, server, EXPERT)
    assert kinds(items) == ["function_call", "function_call_output", "message"]
    assert items[-1]["content"][0]["text"] == "Yes"


def test_a_middleware_may_remove_calls(agent: Agent, server: ChatServer) -> None:
    one = ("current_time", {"place": "Tokyo"}), ("current_time", {"place": "Oslo"})
    server.reply(calls(*one), text("Nine"))
    answer(agent, server, FIRST_CALL)
    sent = server.bodies[-1]["messages"]
    made = [call["id"] for message in sent for call in message.get("tool_calls", [])]
    assert made == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert len(made) == 1


def test_the_llm_gets_the_schema_of_the_toolbox(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Hello"))
    answer(agent, server, TREE)
    function = server.bodies[-1]["tools"][0]["function"]
    assert function["parameters"]["$defs"]["Node"]["properties"]["children"]["items"] == {
        "$ref": "#/$defs/Node"
    }


def test_half_of_a_surrogate_pair_in_arguments(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("current_time", {"place": "\ud83d"})), text("Nine"))
    output, _ = answer_of(agent, server)
    assert kinds(output) == ["function_call", "function_call_output", "message"]


def test_an_argument_named_self_is_unknown(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("current_time", {"self": "Tokyo"})), text("Nine"))
    output, _ = answer_of(agent, server)
    assert "self: Unexpected" in output[1]["output"]


def test_no_proxy_is_read(agent: Agent) -> None:
    proxy = {"ALL_PROXY": "socks5://127.0.0.1:1"}
    agent.check("python", "-c", "import weather_agent.agent", **proxy)


def test_a_changed_answer_is_an_error(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Call 555-0100"))
    with agent.patched("agent.py", "class Agent(", f"{REDACTED}\n\nclass Agent("):
        done = agent.run("weather-agent", "ask", "Hello", **llm_settings(server))
    assert done.returncode == 1
    assert "A node or middleware changes a text that the caller already has." in done.stderr


def test_the_last_round_allows_a_structured_answer(agent: Agent, server: ChatServer) -> None:
    server.reply(calls(("Forecast", {"degrees": 21})))
    answer(agent, server, FORECAST)
    assert server.bodies[-1]["tool_choice"] == "required"
