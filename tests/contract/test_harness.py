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

fresh_process.PATIENCE, fresh_process.STEP = 0.1, 0.01
folder = Path(tempfile.mkdtemp(), "elsewhere")
folder.mkdir()
process = fresh_process.FreshProcess(folder, folder, folder, print)
print([process.observations().error for _ in range(2)])
"""
SLOW_PROCESS = """
import subprocess
import sys
import tempfile
from pathlib import Path
from tests.contract.harness import fresh_process
from tests.contract.harness.observations import progress_file

PROGRAM = (
    "import pathlib, sys, time\\n"
    "for _ in range(5):\\n"
    "    time.sleep(0.3)\\n"
    "    with pathlib.Path(sys.argv[1]).open('ab') as file:\\n"
    "        file.write(b'.')\\n"
    "time.sleep(0.3)\\n"
    "pathlib.Path(sys.argv[2]).write_text('{}')\\n"
)
fresh_process.PATIENCE, fresh_process.STEP = 1, 0.01
folder = Path(tempfile.mkdtemp(), "elsewhere")
folder.mkdir()
process = fresh_process.FreshProcess(folder, folder, folder, lambda: print("progress ", end=""))
process.end()
program = [sys.executable, "-c", PROGRAM, progress_file(folder), folder / "observations.json"]
process._process = subprocess.Popen(program)
print(type(process.observations()).__name__)
"""
IDLE_CONNECTIONS = """
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tests.contract.harness.agents import ServedAgent

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = []

    def do_POST(self):
        self.connections.append(self.client_address)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
served = ServedAgent(f"http://127.0.0.1:{server.server_port}", {}, None)
served.post(b"{}")
served.post(b"{}")
time.sleep(1.5)
served.post(b"{}")
print([Handler.connections.index(one) for one in Handler.connections])
"""
FIXES = """
import asyncio
import importlib.util
import pathlib
import tempfile
from tests.contract.harness.fixes import fix_for

CODE = (
    "import subprocess\\n"
    "def convert():\\n"
    "    subprocess.run(['no-such-program'])\\n"
    "def read():\\n"
    "    context = None[0]\\n"
)
file = pathlib.Path(tempfile.mkdtemp(), "my_tools.py")
file.write_text(CODE)
spec = importlib.util.spec_from_file_location("my_tools", file)
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)

class AnswerTimeoutError(Exception):
    pass

timeout = AnswerTimeoutError("It did not finish within 5 s.")
timeout.__cause__ = asyncio.CancelledError()  # has no message
errors = [
    timeout,
    KeyError("messages"),
    NameError("name 'ResponsesAgentStreamEvent' is not defined"),
    ImportError("cannot import name 'ResponsesAgentResponse' from 'mlflow'"),
]
for call in (tools.convert, tools.read):
    try:
        call()
    except Exception as error:
        errors.append(error)
for error in errors:
    print(fix_for(error))
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
    assert printed.count("It made no progress for 0.1 s.") == 2


def test_a_slow_process_that_makes_progress_is_awaited(agent: Agent) -> None:
    assert agent.check("python", "-c", SLOW_PROCESS) == f"{'progress ' * 5}Observations\n"


def test_idle_connections_are_not_reused(agent: Agent) -> None:
    # The server may close them at the same moment, which would fail a rule.
    assert agent.check("python", "-c", IDLE_CONNECTIONS).splitlines()[-1] == "[0, 0, 2]"


def test_fixes_belong_to_their_errors(agent: Agent) -> None:
    printed = agent.check("python", "-c", FIXES).splitlines()
    assert [line.partition(":")[0].partition(" instead")[0] for line in printed] == [
        "Let the tool finish",
        "None",
        "None",
        "None",
        "Use a Python package",
        "None",
    ]


def test_models_without_the_replies_of_the_offline_llm(agent: Agent) -> None:
    printed = agent.check("python", "-c", MISSING_REPLIES)
    assert printed == "the model was logged with a template before v0.5.0\n"
