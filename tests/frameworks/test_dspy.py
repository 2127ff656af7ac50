"""Programs of DSPy that owners change."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.frameworks.answers import answer_of, llm_settings
from tests.helpers.agents import Agent, install, install_copy
from tests.helpers.model_server import ChatServer, calls, text
from tests.server.serving import TOKYO

ANSWER = "    answer: str = dspy.OutputField()\n"


@pytest.fixture(scope="module")
def agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with a program of two outputs."""
    folder = tmp_path_factory.mktemp("dspy") / "weather-agent"
    shutil.copytree(render(framework="dspy"), folder)
    file = folder / "src/weather_agent/agent.py"
    code = file.read_text("utf-8")
    assert ANSWER in code
    file.write_text(
        code.replace(ANSWER, f"    is_urgent: bool = dspy.OutputField()\n{ANSWER}"), "utf-8"
    )
    return install(folder)


def test_several_outputs(agent: Agent, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    done = agent.run("weather-agent", "ask", TOKYO, MLFLOW_TRACKING_URI=store)
    assert done.returncode == 0, done.stderr
    assert "current_time says: " in done.stdout
    assert "[[ ##" not in done.stdout


def test_an_answer_without_its_fields_is_an_error_of_the_llm(
    agent: Agent, server: ChatServer
) -> None:
    server.reply(text("It is nine."))
    done = agent.run("weather-agent", "ask", "Hello", **llm_settings(server))
    assert done.returncode == 1
    assert "openai:/m did not return the outputs of the program." in done.stderr


def test_a_conversation_has_its_fields(agent: Agent, server: ChatServer) -> None:
    written = "[[ ## is_urgent ## ]]\nFalse\n\n[[ ## answer ## ]]\nNine.\n\n[[ ## completed ## ]]"
    server.reply(calls(("current_time", {"place": "Tokyo"})), [{"content": written}])
    output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"] == "Nine."
    first, second = (body["messages"] for body in server.bodies[-2:])
    assert first[-1]["content"].startswith("[[ ## question ## ]]\nHello")
    assert [message["role"] for message in second[len(first) :]] == ["assistant", "tool"]


@pytest.fixture(scope="module")
def default_agent(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent with the template's own program."""
    return install_copy(render(framework="dspy"), tmp_path_factory.mktemp("dspy-default"))


MARKED = (
    '<<CUSTOM-TYPE-START-IDENTIFIER>>[{"type": "text", "text": "x"}]<<CUSTOM-TYPE-END-IDENTIFIER>>'
)
# Prints the type of the error that an image causes.
SEND_IMAGE = """
import sys
from mlflow.types.responses import ResponsesAgentRequest
from weather_agent.agent import AGENT
image = {"type": "input_image", "image_url": sys.argv[1], "detail": sys.argv[2]}
try:
    AGENT.predict(ResponsesAgentRequest(input=[{"role": "user", "content": [image]}]))
except Exception as error:
    print(type(error).__name__)
"""
FALSE = """
class Refusing(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.decide = dspy.Predict("question -> answer: bool")

    async def aforward(self, **_turn) -> dspy.Prediction:
        return dspy.Prediction(answer=False)

ASSISTANT = Refusing()
"""
# Calls an LLM of its own in a tool.
EXPERT = '''
expert = dspy.Predict("question -> reply")

async def ask_expert(question: str) -> str:
    """Ask an expert."""
    return (await expert.acall(question=question)).reply
'''
SHOUTING = """
class Shouting(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question -> OUTPUT")

    async def aforward(self, question: str, **_turn) -> dspy.Prediction:
        return dspy.Prediction(answer=(await self.reply.acall(question=question)).OUTPUT.upper())

ASSISTANT = Shouting()
"""
# Two predictors write an answer; the program returns the second.
IMPROVING = """
class Improving(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("question -> answer")
        self.improve = dspy.Predict("question, draft -> answer")

    async def aforward(self, question: str, **_turn) -> dspy.Prediction:
        draft = (await self.draft.acall(question=question)).answer
        return await self.improve.acall(question=question, draft=draft)

ASSISTANT = Improving()
"""
TREE = '''
from pydantic import BaseModel

class Node(BaseModel):
    title: str
    children: list["Node"] = []

def count(root: Node) -> int:
    """Count the children."""
    return len(root.children)
'''


def test_markers_of_dspy_in_a_question_are_text(default_agent: Agent, server: ChatServer) -> None:
    server.reply(text("Nine"))
    default_agent.check("weather-agent", "ask", MARKED, **llm_settings(server))
    assert MARKED in str(server.bodies[-1]["messages"][-1]["content"])


@pytest.mark.parametrize(
    ("url", "detail"),
    [("data:image/png;base64,%%", "auto"), ("https://example.com/a.png", "original")],
)
def test_images_that_dspy_cannot_send_are_errors_of_the_caller(
    default_agent: Agent, url: str, detail: str
) -> None:
    assert default_agent.check("python", "-c", SEND_IMAGE, url, detail).strip() == "RequestError"


def test_empty_custom_inputs_are_none(default_agent: Agent, server: ChatServer) -> None:
    server.reply(text("Nine"), text("Nine"))
    code = (
        "from mlflow.types.responses import ResponsesAgentRequest\n"
        "from weather_agent.agent import AGENT\n"
        "for inputs in (None, {}):\n"
        "    question = [{'role': 'user', 'content': 'Hello'}]\n"
        "    AGENT.predict(ResponsesAgentRequest(input=question, custom_inputs=inputs))\n"
    )
    default_agent.check("python", "-c", code, **llm_settings(server))
    first, second = (body["messages"] for body in server.bodies[-2:])
    assert first == second


def test_a_tool_with_a_recursive_argument(default_agent: Agent, server: ChatServer) -> None:
    server.reply(text("Nine"))
    with default_agent.patched("tools.py", "TOOLS = [", f"{TREE}\n\nTOOLS = [count, "):
        answer_of(default_agent, server)
    parameters = server.bodies[-1]["tools"][0]["function"]["parameters"]
    assert "Node" in parameters["$defs"]


def test_brackets_in_one_of_several_outputs(agent: Agent, server: ChatServer) -> None:
    pieces = [
        "[[ ## is_urgent ## ]]\nFalse\n\n[[ ## answer ## ]]\nSee ",
        "[[",
        "wiki",
        "]] [[",
        "1",
    ]
    server.reply([{"content": piece} for piece in [*pieces, "]]\n\n[[ ## completed ## ]]"]])
    output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"].strip() == "See [[wiki]] [[1]]"


def test_a_false_answer_is_a_message(agent: Agent, server: ChatServer) -> None:
    server.reply(text("Unused"))
    with agent.patched("agent.py", "class Agent(", f"{FALSE}\n\nclass Agent("):
        output, _ = answer_of(agent, server)
    assert output[-1]["content"][0]["text"] == "false"


def test_thoughts_in_a_tool_are_not_those_of_the_answer(
    default_agent: Agent, server: ChatServer
) -> None:
    thinking = [{"reasoning_content": "A trick."}, {"content": "Because"}]
    server.reply(calls(("ask_expert", {"question": "Why?"})), thinking, text("Yes"))
    with (
        default_agent.patched("tools.py", "TOOLS = [", f"{EXPERT}\n\nTOOLS = [ask_expert, "),
        default_agent.patched(
            "tools.py", "from datetime import", "import dspy\nfrom datetime import"
        ),
    ):
        output, _ = answer_of(default_agent, server)
    assert [item["type"] for item in output] == ["function_call", "function_call_output", "message"]
    assert output[1]["output"] == "Because"


def test_a_program_may_change_an_answer_that_is_not_streamed(
    default_agent: Agent, server: ChatServer
) -> None:
    server.reply(text("Nine"))
    program = SHOUTING.replace("OUTPUT", "reply")
    with default_agent.patched("agent.py", "class Agent(", f"{program}\n\nclass Agent("):
        output, _ = answer_of(default_agent, server)
    assert output[-1]["content"][0]["text"] == "NINE"


def test_a_changed_answer_is_an_error(default_agent: Agent, server: ChatServer) -> None:
    server.reply(text("Nine"))
    program = SHOUTING.replace("OUTPUT", "answer")
    with default_agent.patched("agent.py", "class Agent(", f"{program}\n\nclass Agent("):
        done = default_agent.run("weather-agent", "ask", "Hello", **llm_settings(server))
    assert done.returncode == 1
    assert "changes an answer that the caller already has" in done.stderr


def test_only_the_last_of_several_answers_is_returned(
    default_agent: Agent, server: ChatServer
) -> None:
    server.reply(text("Eight"), text("Nine"))
    with default_agent.patched("agent.py", "class Agent(", f"{IMPROVING}\n\nclass Agent("):
        output, _ = answer_of(default_agent, server)
    assert [item["content"][0]["text"] for item in output] == ["Nine"]
