"""Mistakes that show where a server loads the model: elsewhere, without this repository."""

from tests.contract.breakages.changes import (
    Patch,
    at_import,
    breaks,
    in_agent,
    in_answer,
    in_log_model,
    in_tools,
    instead_of_set_model,
    method,
    new_answer,
    new_file,
    tool,
    tools_file,
)

CODE = "            code_paths=[str(PACKAGE)],\n"
CONFIG = '            model_config=config.model_dump(mode="json"),\n'

DAYS = "    return (end - start).days\n"

LOADING = {
    # Code
    "a model without the package": breaks(
        "packaged-code", "weather_agent.runtime", in_log_model(CODE, "")
    ),
    "the files of the package instead of its folder": breaks(
        "packaged-code",
        "weather_agent",
        in_log_model(
            CODE, '            code_paths=[str(path) for path in PACKAGE.glob("*.py")],\n'
        ),
    ),
    "a program that the image lacks": breaks(
        "installed-programs",
        "The agent starts programs that the image lacks: git",
        *tool(
            "release",
            "def release() -> str:\n    import subprocess\n\n"
            '    return subprocess.check_output(["git", "--version"], text=True)',
        ),
    ),
    "a program that the image lacks, in a shell": breaks(
        "installed-programs",
        "The agent starts programs that the image lacks: git",
        *tool(
            "release",
            "def release() -> str:\n    import subprocess\n\n"
            '    return subprocess.getoutput("LC_ALL=C git --version | head -1")',
        ),
    ),
    "a module outside the package, imported by a tool": breaks(
        "packaged-code",
        "helpers",
        new_file("src/helpers.py", "def polite(text):\n    return text\n"),
        tools_file('''
"""The tools."""

from datetime import date


def days_between(start: date, end: date) -> int:
    """Count the days from one date to another."""
    from helpers import polite

    return polite((end - start).days)


TOOLS = [days_between]
'''),
    ),
    "a folder added to sys.path": breaks(
        "packaged-code",
        "agent.py imports helpers",
        new_file("tests/helpers.py", "def polite(text):\n    return text\n"),
        at_import("""
import sys

sys.path.append("tests")
from helpers import polite
"""),
    ),
    # Files
    "instructions read from the current directory at import": breaks(
        "fresh-process",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        at_import('PROMPT = open("prompt.txt").read()'),
    ),
    "a file read from the current directory for each answer": breaks(
        "fresh-process",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        in_answer('open("prompt.txt").close()'),
    ),
    "a file read from the repository for each answer": breaks(
        "fresh-process",
        "README.md",
        in_answer("""
from weather_agent.ops.project import ROOT

(ROOT / "README.md").read_text()
"""),
    ),
    "a file read from the current directory by a tool": breaks(
        "packaged-files",
        "not contain: holidays.csv",
        new_file("holidays.csv", "2026-01-01\n"),
        Patch("tools.py", DAYS, f'    path = "holidays.csv"\n    open(path).close()\n{DAYS}'),
    ),
    "a file read from the repository by a tool": breaks(
        "packaged-files",
        "not contain: .*README.md",
        Patch(
            "tools.py", DAYS, f"    (Path(__file__).parents[2] / 'README.md').read_text()\n{DAYS}"
        ),
        Patch("tools.py", "from zoneinfo", "from pathlib import Path\nfrom zoneinfo"),
    ),
    "an error that cannot be described": breaks(
        "fresh-process",
        r"The model failed: IndexError: tuple index out of range \(agent\.py, line \d+",
        at_import("""
import os

class Unprintable(Exception):
    def __str__(self) -> str:
        return self.args[0]
"""),
        in_answer("""
if not os.path.isdir(os.path.join(os.getcwd(), "src")):
    raise Unprintable
"""),
    ),
    "an optional file outside the package": breaks(
        "packaged-files",
        "not contain: evaluation/cases.jsonl",
        at_import("""
from pathlib import Path

CASES = Path(__file__).parents[2] / "evaluation" / "cases.jsonl"
EXAMPLES = CASES.read_text() if CASES.is_file() else ""
"""),
    ),
    "an optional file in the current directory": breaks(
        "packaged-files",
        "not contain: README.md",
        in_answer("""
from pathlib import Path

readme = Path("README.md").read_text() if Path("README.md").exists() else ""
"""),
    ),
    "an optional folder outside the package": breaks(
        "packaged-files",
        "not contain: evaluation",
        in_answer("""
from pathlib import Path

cases = [path.name for path in (Path(__file__).parents[2] / "evaluation").glob("*.jsonl")]
"""),
    ),
    "a database in the developer's directory": breaks(
        "fresh-process",
        "cities.db",
        new_file("cities.db", ""),
        in_answer("""
import sqlite3

with sqlite3.connect("file:cities.db?mode=ro", uri=True) as database:
    database.execute("SELECT 1")
"""),
    ),
    # Settings, variables, logins
    "settings that are not logged with the model": breaks(
        "accepted",
        "config",
        in_log_model(CONFIG, ""),
        Patch(
            "runtime/config.py",
            """    with as_file(_PACKAGE / "config.yml") as path:
        settings = ModelConfig(development_config=str(path)).to_dict()
""",
            """    path = "src/weather_agent/config.yml"
    settings = ModelConfig(development_config=path).to_dict()
""",
        ),
    ),
    "an environment variable required at import": breaks(
        "accepted", "'AGENT_REGION'", at_import('import os\n\nREGION = os.environ["AGENT_REGION"]')
    ),
    "a client without a key, created at import": breaks(
        "fresh-process",
        "OPENAI_API_KEY|api_key",
        at_import("import openai\n\nCLIENT = openai.OpenAI()"),
    ),
    "an environment variable set only while logging": breaks(
        "fresh-process",
        "AGENT_REGION",
        at_import('import os\n\nREGION = os.environ["AGENT_REGION"]'),
        in_log_model(
            "    require_checkout()\n",
            '    require_checkout()\n    os.environ["AGENT_REGION"] = "eu"\n',
        ),
    ),
    "an environment variable set only in the developer's .env": breaks(
        "fresh-process",
        "AGENT_REGION",
        new_file(".env", "AGENT_REGION=eu\n"),
        at_import("""
import os

from dotenv import load_dotenv

load_dotenv()
REGION = os.environ["AGENT_REGION"]
"""),
    ),
    "artifacts that are not logged": breaks(
        "accepted",
        "prompt|artifacts",
        method("""
def load_context(self, context) -> None:
    self.prompt = context.artifacts["prompt"]
"""),
    ),
    "the path of a local file in the settings": breaks(
        "packaged-files",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        method("""
def load_context(self, context) -> None:
    self.prompt = open(context.model_config["prompt"]).read()
"""),
        in_log_model(
            CONFIG,
            '            model_config=config.model_dump(mode="json")\n'
            '            | {"prompt": str(PACKAGE.parents[1] / "prompt.txt")},\n',
        ),
        Patch(
            "runtime/config.py",
            'extra="forbid", frozen=True)\n\n    llm: str',
            'extra="ignore", frozen=True)\n\n    llm: str',
        ),
    ),
    # Side effects of the import
    "a tracking URI set at import": breaks(
        "accepted",
        "Run with id=.* not found",
        at_import('mlflow.set_tracking_uri("sqlite:///dev.db")'),
    ),
    "an experiment set at import": breaks(
        "quiet-import", "experiment", at_import('mlflow.set_experiment("weather")')
    ),
    "a patched function of the standard library": breaks(
        "quiet-import",
        "json.JSONEncoder.default is another function",
        at_import("import json\n\njson.JSONEncoder.default = lambda self, value: str(value)"),
    ),
    "another current directory": breaks(
        "quiet-import",
        "the working directory changes to /",
        at_import('import os\n\nos.chdir("/")'),
    ),
    "an HTTP request at import": breaks(
        "quiet-import",
        r"(192\.0\.2\.1|127\.0\.0\.1)",
        at_import("""
import httpx

try:
    httpx.get("http://127.0.0.1:9/models", timeout=1)
except httpx.HTTPError:
    pass
"""),
    ),
    "command-line arguments parsed at import": breaks(
        "accepted",
        "SystemExit",
        at_import("""
import argparse

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--llm", required=True)
OPTIONS = PARSER.parse_args()
"""),
    ),
    "tracing disabled at import": breaks(
        "quiet-import", "tracing is off", at_import("mlflow.tracing.disable()")
    ),
    "logging configured at import": breaks(
        "quiet-import",
        "log",
        at_import("""
import logging

logging.basicConfig(level=logging.DEBUG, force=True)
"""),
    ),
    "a destination of traces set at import": breaks(
        "quiet-import",
        "traces have another destination",
        at_import("""
from mlflow.entities.trace_location import MlflowExperimentLocation

mlflow.tracing.set_destination(MlflowExperimentLocation("0"))
"""),
    ),
    "settings of the process changed at import": breaks(
        "quiet-import",
        "disabled logging is 50; the default timeout of sockets is 5.0; the handler of SIGINT is "
        "<Handlers.SIG_IGN: 1>; the handler of SIGTERM is <Handlers.SIG_IGN: 1>; the recursion "
        "limit is 5000",
        at_import("""
import logging
import signal
import socket
import sys

logging.disable(logging.CRITICAL)
socket.setdefaulttimeout(5)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.setrecursionlimit(5000)
"""),
    ),
    "an environment variable set at import": breaks(
        "quiet-import",
        "OPENAI_API_KEY|environment",
        at_import('import os\n\nos.environ["OPENAI_API_KEY"] = "none"'),
    ),
    # set_model
    "two calls of set_model": breaks(
        "one-model",
        "called 2 times",
        instead_of_set_model("mlflow.models.set_model(AGENT)\nmlflow.models.set_model(AGENT)"),
    ),
    "a second agent in an imported module": breaks(
        "one-model",
        "called 2 times",
        new_file(
            "src/weather_agent/old_agent.py",
            """
import mlflow
from mlflow.pyfunc import ResponsesAgent


class Old(ResponsesAgent):
    def predict(self, request):
        raise NotImplementedError


mlflow.models.set_model(Old())
""",
        ),
        at_import("from weather_agent import old_agent as _"),
    ),
    # Loading
    "an agent that loads only once per process": breaks(
        "loads-again",
        "loaded twice",
        at_import("""
if getattr(mlflow, "weather_agent", False):
    raise RuntimeError("The agent was loaded twice.")
mlflow.weather_agent = True
"""),
    ),
    "an import that reads from the terminal": breaks(
        "accepted", "reading from stdin", at_import('KEY = input("Key: ")')
    ),
    # What answers leave behind
    "a thread per answer": breaks(
        "no-leftovers",
        "there are . more threads, such as refresh",
        in_answer("""
import threading

threading.Thread(target=threading.Event().wait, name="refresh", daemon=True).start()
"""),
    ),
    "rarely switched threads": breaks(
        "no-leftovers",
        "the switch interval of threads is 1.0",
        in_answer("import sys\n\nsys.setswitchinterval(1)"),
    ),
    "a thread pool per answer": breaks(
        "no-leftovers",
        "there are .+ more threads, such as ThreadPoolExecutor",
        at_import("from concurrent.futures import ThreadPoolExecutor\n\nPOOLS = []"),
        in_answer("""
POOLS.append(ThreadPoolExecutor(2))
POOLS[-1].submit(len, "")
"""),
    ),
    "a task per answer": breaks(
        "no-leftovers",
        "there are . more tasks, such as sleep",
        in_answer("""
import asyncio

asyncio.get_running_loop().call_soon(asyncio.create_task, asyncio.sleep(3600))
"""),
    ),
    "a file that an abandoned stream leaves behind": breaks(
        "no-leftovers",
        "there are . more files, such as msg_",
        new_answer(
            """
path = Path(unique_id("msg"))
path.touch()
async for event in super().answer(request, llm):
    yield event
path.unlink()
""",
            "from pathlib import Path\n\nfrom weather_agent.runtime.items import unique_id",
        ),
    ),
    "an exception handler of the event loop": breaks(
        "no-leftovers",
        "an exception handler",
        in_answer("""
import asyncio

asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
"""),
    ),
    "another default executor of the event loop": breaks(
        "no-leftovers",
        "a default executor",
        in_answer("""
import asyncio
from concurrent.futures import ThreadPoolExecutor

asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2, "own"))
"""),
    ),
    "a variable that is set while the agent answers": breaks(
        "no-leftovers",
        "While the agent answers, the variable AGENT_USER is set; .* is removed",
        at_import("import os"),
        new_answer("""
os.environ["AGENT_USER"] = "someone"
try:
    async for event in super().answer(request, llm):
        yield event
finally:
    del os.environ["AGENT_USER"]
"""),
    ),
    "another folder while a tool runs": breaks(
        "no-leftovers",
        "While the agent answers, the working directory changes to /",
        Patch("tools.py", DAYS, f"    with contextlib.chdir('/'):\n    {DAYS}"),
        Patch("tools.py", "from datetime", "import contextlib\nfrom datetime"),
    ),
    "output that is redirected while a tool runs": breaks(
        "no-leftovers",
        "While the agent answers, sys.stdout is redirected",
        Patch(
            "tools.py",
            DAYS,
            f"    with contextlib.redirect_stdout(io.StringIO()):\n    {DAYS}",
        ),
        Patch("tools.py", "from datetime", "import contextlib\nimport io\nfrom datetime"),
    ),
    "a filter of the logger per answer": breaks(
        "no-leftovers",
        "there are . more log filters",
        at_import("import logging\n\nLOGGER = logging.getLogger(__name__)"),
        in_answer("LOGGER.addFilter(logging.Filter(str(id(request))))"),
    ),
    "a temporary file per tool call": breaks(
        "no-leftovers",
        "there are . more files, such as tmp/",
        Patch(
            "tools.py",
            DAYS,
            f"    tempfile.NamedTemporaryFile(delete=False).write(b'0')\n{DAYS}",
        ),
        Patch("tools.py", "from datetime", "import tempfile\nfrom datetime"),
    ),
    "a file in the current directory per answer": breaks(
        "no-leftovers",
        "there are . more files, such as msg_",
        in_answer("""
from pathlib import Path
from weather_agent.runtime.items import unique_id

Path(unique_id("msg")).write_text("Hello")
"""),
    ),
    "a process per tool call": breaks(
        "no-leftovers",
        "there are . more child processes, such as sleep",
        Patch("tools.py", DAYS, f'    subprocess.Popen(["sleep", "100"])\n{DAYS}'),
        Patch("tools.py", "from datetime", "import subprocess\nfrom datetime"),
    ),
    "a file opened per answer": breaks(
        "no-leftovers",
        "there are . more open files and connections, such as /dev/null",
        in_answer('import os\n\nos.open("/dev/null", os.O_RDONLY)'),
    ),
    "a connection per tool call": breaks(
        "no-leftovers",
        "there are . more open files and connections, such as socket",
        Patch("tools.py", DAYS, f"    socket.socket().detach()\n{DAYS}"),
        Patch("tools.py", "from datetime", "import socket\nfrom datetime"),
    ),
    "a log handler per answer": breaks(
        "no-leftovers",
        "there are . more log handlers, such as <StreamHandler",
        in_answer("""
import logging

logging.getLogger("agent").addHandler(logging.StreamHandler())
"""),
    ),
    "a path added per tool call": breaks(
        "no-leftovers",
        "there are . more entries of sys.path, such as /opt/tools",
        Patch("tools.py", DAYS, f'    sys.path.append("/opt/tools")\n{DAYS}'),
        Patch("tools.py", "from datetime", "import sys\nfrom datetime"),
    ),
    "logging configured by an answer": breaks(
        "no-leftovers",
        "the level of the root logger is 10",
        in_answer("import logging\n\nlogging.basicConfig(level=logging.DEBUG, force=True)"),
    ),
    "certificates ignored by a tool": breaks(
        "no-leftovers",
        "the default TLS context is '_create_unverified_context'",
        Patch(
            "tools.py",
            DAYS,
            f"    ssl._create_default_https_context = ssl._create_unverified_context\n{DAYS}",
        ),
        Patch("tools.py", "from datetime", "import ssl\nfrom datetime"),
    ),
    "the current directory changed by a tool": breaks(
        "no-leftovers",
        "the working directory changes to /",
        Patch("tools.py", DAYS, f'    os.chdir("/")\n{DAYS}'),
        Patch("tools.py", "from datetime", "import os\nfrom datetime"),
    ),
    "a variable set by an answer": breaks(
        "no-leftovers",
        "the variable AGENT_USER is set",
        in_answer('import os\n\nos.environ["AGENT_USER"] = "u-1"'),
    ),
    "random numbers of NumPy that start again": breaks(
        "no-leftovers",
        "the random numbers start again",
        Patch("tools.py", DAYS, f"    np.random.seed(0)\n{DAYS}"),
        Patch("tools.py", "from datetime", "import numpy as np\nfrom datetime"),
    ),
    "a function for the end of the process per answer": breaks(
        "no-leftovers",
        "there are . more exit functions",
        in_answer("import atexit\n\natexit.register(len, str(request))"),
    ),
    "a log file that grows with each answer": breaks(
        "no-leftovers",
        "there are .+ more bytes in files, such as tmp/answers.jsonl",
        in_answer("""
import tempfile
from pathlib import Path

with Path(tempfile.gettempdir(), "answers.jsonl").open("a", encoding="utf-8") as file:
    file.write(request.model_dump_json())
"""),
    ),
    "a path added by the first tool call": breaks(
        "no-leftovers",
        "sys.path has .'/opt/tools'. as well",
        Patch(
            "tools.py",
            DAYS,
            f'    if "/opt/tools" not in sys.path:\n        sys.path.append("/opt/tools")\n{DAYS}',
        ),
        Patch("tools.py", "from datetime", "import sys\nfrom datetime"),
    ),
    "warnings ignored by a tool": breaks(
        "no-leftovers",
        "filters that ignore all warnings (is|has) .*'ignore'",
        Patch("tools.py", DAYS, f'    warnings.filterwarnings("ignore")\n{DAYS}'),
        Patch("tools.py", "from datetime", "import warnings\nfrom datetime"),
    ),
    "a standard output that a tool redirects": breaks(
        "no-leftovers",
        "sys.stdout is .*/dev/null",
        Patch("tools.py", DAYS, f'    sys.stdout = open("/dev/null", "w")\n{DAYS}'),
        Patch("tools.py", "from datetime", "import sys\nfrom datetime"),
    ),
    "a method of the standard library that an answer replaces": breaks(
        "no-leftovers",
        "the list of replaced functions is .*json.JSONEncoder.default",
        in_answer("json.JSONEncoder.default = lambda self, value: str(value)"),
    ),
    "a built-in function that an answer replaces": breaks(
        "no-leftovers",
        "builtins.print is <built-in function len>",
        in_answer("import builtins\n\nbuiltins.print = len"),
    ),
    "settings of the interpreter changed by an answer": breaks(
        "no-leftovers",
        "mask for new files is '0o77'.*garbage is collected is False.*processes start is 'spawn'",
        in_answer("""
import gc
import multiprocessing
import os

os.umask(0o077)
gc.disable()
multiprocessing.set_start_method("spawn", force=True)
"""),
    ),
    "a signal that a tool requests": breaks(
        "no-leftovers",
        "whether a timer sends a signal is True",
        Patch("tools.py", DAYS, f"    signal.alarm(900)\n{DAYS}"),
        Patch("tools.py", "from datetime", "import signal\nfrom datetime"),
    ),
    "delayed calls that nobody cancels": breaks(
        "no-leftovers",
        r"there are \d+ more delayed calls, such as print",
        in_answer("import asyncio\n\nasyncio.get_running_loop().call_later(3600, print)"),
    ),
    "requests that a tool makes http.client print": breaks(
        "no-leftovers",
        "http.client.HTTPConnection.debuglevel is 1",
        Patch("tools.py", DAYS, f"    http.client.HTTPConnection.debuglevel = 1\n{DAYS}"),
        Patch("tools.py", "from datetime", "import http.client\nfrom datetime"),
    ),
    "headers that a tool adds to all requests of urllib": breaks(
        "no-leftovers",
        "the default opener of urllib is .*'weather-agent'",
        Patch(
            "tools.py",
            DAYS,
            "    opener = urllib.request.build_opener()\n"
            '    opener.addheaders = [("User-Agent", "weather-agent")]\n'
            f"    urllib.request.install_opener(opener)\n{DAYS}",
        ),
        Patch("tools.py", "from datetime", "import urllib.request\nfrom datetime"),
    ),
    "limits of the standard library that a tool changes": breaks(
        "no-leftovers",
        "csv.field_size_limit is 1000; decimal.DefaultContext is .*prec=4",
        Patch(
            "tools.py",
            DAYS,
            f"    csv.field_size_limit(1000)\n    decimal.DefaultContext.prec = 4\n{DAYS}",
        ),
        Patch("tools.py", "from datetime", "import csv\nimport decimal\nfrom datetime"),
    ),
    "the limit of digits in a number that a tool removes": breaks(
        "no-leftovers",
        "the limit of digits in a number is 0",
        Patch("tools.py", DAYS, f"    sys.set_int_max_str_digits(0)\n{DAYS}"),
        Patch("tools.py", "from datetime", "import sys\nfrom datetime"),
    ),
    "the level of another logger that an answer changes": breaks(
        "no-leftovers",
        "the level of the logger httpx is 50",
        in_answer('import logging\n\nlogging.getLogger("httpx").setLevel("CRITICAL")'),
    ),
    "random numbers that start again with each answer": breaks(
        "no-leftovers",
        "the random numbers start again",
        in_answer("import random\n\nrandom.seed(42)"),
    ),
    "certificates ignored at import": breaks(
        "quiet-import",
        "the default TLS context is '_create_unverified_context'",
        at_import("""
import ssl

ssl._create_default_https_context = ssl._create_unverified_context
"""),
    ),
    # The date
    "the date at import, in the instructions": breaks(
        "current-date",
        "Today is 20",
        at_import("from datetime import date\n\nTODAY = date.today()"),
        in_agent(
            "content = self.instructions\n", 'content = f"{self.instructions}Today is {TODAY}."\n'
        ),
    ),
    "the date at import, in words": breaks(
        "current-date",
        "Today is .*day, August 19",
        at_import("from datetime import datetime"),
        in_agent(
            "Agent(load_config(), load_instructions(), ",
            "Agent(\n    load_config(),\n    load_instructions() + "
            'f"Today is {datetime.now():%A, %B %d, %Y}.",\n    ',
        ),
    ),
    "the date as a default argument of a tool": breaks(
        "current-date",
        "20..-08-19",
        Patch(
            "tools.py",
            "def days_between(start: date, end: date)",
            "def days_between(start: date, end: date = date.today())",
        ),
    ),
    "the date at import, in a tool": breaks(
        "current-date",
        "day in the calendar of 20",
        *tool(
            "holiday",
            "YEAR = date.today().year\n\n\n"
            'def holiday() -> str:\n    return f"The first day in the calendar of {YEAR}"',
        ),
    ),
    "a cached date": breaks(
        "current-date",
        "Today is 20",
        at_import("""
from datetime import date
from functools import cache


@cache
def today() -> date:
    return date.today()
"""),
        in_agent(
            "content = self.instructions\n", 'content = f"{self.instructions}Today is {today()}."\n'
        ),
    ),
    "a cached tool with the date": breaks(
        "current-date",
        "It is 20",
        *tool(
            "this_day",
            "@lru_cache\ndef text_of_day() -> str:\n"
            '    return f"It is {datetime.now():%Y-%m-%d}"\n\n\n'
            "def this_day() -> str:\n    return text_of_day()",
        ),
        Patch("tools.py", "from zoneinfo", "from functools import lru_cache\nfrom zoneinfo"),
    ),
    "the date in the constructor": breaks(
        "current-date",
        "Today is 20",
        in_agent(
            "        self.toolbox = toolbox\n",
            "        self.toolbox = toolbox\n        self.today = date.today()\n",
        ),
        at_import("from datetime import date"),
        in_agent(
            "content = self.instructions\n",
            'content = f"{self.instructions}Today is {self.today}."\n',
        ),
    ),
    "the date as a default argument of a method": breaks(
        "current-date",
        "Today is 19 August 20",
        in_agent(
            "(self, request: ResponsesAgentRequest) -> dict[str, Any]",
            "(self, request, now=time.gmtime()) -> dict[str, Any]",
        ),
        at_import("import time"),
        in_agent(
            "content = self.instructions\n",
            'content = self.instructions + time.strftime("Today is %d %B %Y.", now)\n',
        ),
    ),
    "the weekday at import": breaks(
        "current-date",
        "Today is a Sunday.', but .*day.' if the agent is loaded on that day",
        at_import('from datetime import date\n\nTODAY = f"{date.today():%A}"'),
        in_agent(
            "content = self.instructions\n",
            'content = f"{self.instructions}Today is a {TODAY}."\n',
        ),
    ),
    "the day and the month at import": breaks(
        "current-date",
        "Today is 19 August.', but ",
        at_import('from datetime import date\n\nTODAY = f"{date.today():%d %B}"'),
        in_agent(
            "content = self.instructions\n", 'content = f"{self.instructions}Today is {TODAY}."\n'
        ),
    ),
    "a year of two digits at import": breaks(
        "current-date",
        r"Today is 19\.08\.\d\d\.', but ",
        at_import('from datetime import date\n\nTODAY = f"{date.today():%d.%m.%y}"'),
        in_agent(
            "content = self.instructions\n", 'content = f"{self.instructions}Today is {TODAY}."\n'
        ),
    ),
    "the date in the instructions": breaks(
        "current-date",
        "instructions.md says 'Today is Friday, 27 November 2026', on every day",
        Patch(
            "instructions.md",
            "a few plain sentences.\n",
            "a few plain sentences.\nToday is Friday, 27 November 2026.\n",
        ),
    ),
    "a cache by the hour": breaks(
        "current-date",
        "the LLM or the caller gets the date of loading: '1.08 on Sunday, 19 August",
        *tool(
            "exchange_rate",
            "RATES: dict[int, str] = {}\n\n\ndef exchange_rate() -> str:\n"
            "    now = datetime.now(UTC)\n    if now.hour not in RATES:\n"
            '        RATES[now.hour] = f"1.08 on {now:%A, %d %B %Y}"\n    return RATES[now.hour]',
        ),
        Patch("tools.py", "from datetime import ", "from datetime import UTC, "),
    ),
    "a file of the package that is written at import": breaks(
        "quiet-import",
        "code/weather_agent/zones.json is written",
        new_file("src/weather_agent/zones.json", "[]\n"),
        in_tools("""
import json
from pathlib import Path

ZONES = Path(__file__).with_name("zones.json")
ZONES.write_text(json.dumps(sorted(available_timezones())), encoding="utf-8")
"""),
    ),
    "the season at import": breaks(
        "current-date",
        "It is summer.*', but .*It is not summer.* if the agent is loaded on that day",
        at_import(
            "from datetime import date\n\n"
            'SEASON = "summer" if date.today().month == 8 else "not summer"'
        ),
        in_agent(
            "content = self.instructions\n",
            'content = self.instructions + f"It is {SEASON}."\n',
        ),
    ),
    "an age by the year of loading": breaks(
        "current-date",
        r"gets '-?\d+', but '-?\d+' if the agent is loaded on that day",
        *tool(
            "age",
            "THIS_YEAR = date.today().year\n\n\n"
            "def age(year_of_birth: int) -> int:\n    return THIS_YEAR - year_of_birth",
        ),
    ),
}
