"""The harness of the contract: how it replaces the LLM, and what it sends."""

from tests.helpers.agents import Agent

SYNCHRONOUS_TRANSPORT = """
import httpx
import pytest
from tests.contract.harness import offline
from tests.contract.harness.observations import Observations

class Transport:
    def handle_request(self, request):
        return httpx.Response(200)

offline._transport = lambda: Transport
llm = offline.OfflineLLM(pytest.MonkeyPatch(), Observations)
llm.refusal, llm.refused_from = 429, 2
request = httpx.Request("POST", "https://example.com", json={"model": "demo"})
print([Transport().handle_request(request).status_code for _ in range(2)])
"""
NO_VALID_EXAMPLE = """
from tests.contract.harness.tool_calls import with_data_of_user, with_many_arguments, with_one_call

parameters = {
    "type": "object",
    "properties": {"number": {"type": "string", "pattern": "^ICE [0-9]+$"}},
    "required": ["number"],
}
tools = [{"name": "train", "parameters": parameters}, {"name": "now", "parameters": {}}]
print([with_one_call([], tools), with_many_arguments([], tools), with_data_of_user([], [], tools)])
"""
UNFINISHED_PROCESS = """
import tempfile
from pathlib import Path
from tests.contract.harness import fresh_process

fresh_process.LOAD_PATIENCE = 0.1
folder = Path(tempfile.mkdtemp(), "elsewhere")
folder.mkdir()
process = fresh_process.FreshProcess(folder, folder, folder)
print([process.observations().error for _ in range(2)])
"""
MISSING_REPLIES = """
import sys

sys.modules["weather_agent.runtime.llm.offline.replies"] = None
import pytest
from tests.contract.harness.tool_calls import use_replies, with_one_call

try:
    use_replies("a-model", with_one_call)
except pytest.skip.Exception as skipped:
    print(skipped)
"""


def test_a_synchronous_llm_refuses_requests(agent: Agent) -> None:
    assert agent.check("python", "-c", SYNCHRONOUS_TRANSPORT) == "[200, 429]\n"


def test_tools_without_a_valid_example_are_not_called(agent: Agent) -> None:
    call = (("now", "{}"),)
    assert agent.check("python", "-c", NO_VALID_EXAMPLE) == f"{[call, call, call]}\n"


def test_a_process_that_does_not_finish(agent: Agent) -> None:
    printed = agent.check("python", "-c", UNFINISHED_PROCESS)
    assert printed.count("It did not finish within 0.1 s.") == 2


def test_models_without_the_replies_of_the_offline_llm(agent: Agent) -> None:
    printed = agent.check("python", "-c", MISSING_REPLIES)
    assert printed == "the model was logged with a template before v0.5.0\n"
