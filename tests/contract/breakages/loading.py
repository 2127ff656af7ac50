"""Breakages that show where a server loads the model: elsewhere, with nothing of this machine."""

from tests.contract.breakages.changes import (
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    in_log_model,
    new_file,
    while_answering,
)

CODE = "            code_paths=[str(PACKAGE)],\n"
CONFIG = "            model_config=config.model_dump(),\n"

LOADING = {
    # Code
    "the package left out": breaks("packaged-code", "weather_agent.tools", in_log_model(CODE, "")),
    "the files of the package instead of its folder": breaks(
        "packaged-code",
        "weather_agent",
        in_log_model(
            CODE, '            code_paths=[str(path) for path in PACKAGE.glob("*.py")],\n'
        ),
    ),
    "a module beside the package, imported when a tool runs": breaks(
        "packaged-code",
        "helpers",
        new_file("src/helpers.py", "def polite(text):\n    return text\n"),
        Patch(
            "tools.py",
            "    return (end - start).days",
            "    from helpers import polite\n\n    return polite((end - start).days)",
        ),
    ),
    "a folder put on the search path of imports": breaks(
        "packaged-code",
        "agent.py imports helpers",
        new_file("tests/helpers.py", "def polite(text):\n    return text\n"),
        in_agent(
            "import mlflow\n",
            """import sys

import mlflow

sys.path.append("tests")
from helpers import polite
""",
        ),
    ),
    # Files
    "a prompt read from the current folder at import": breaks(
        "fresh-process",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        at_import('PROMPT = open("prompt.txt").read()\n'),
    ),
    "a file read from the current folder for every answer": breaks(
        "fresh-process",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        while_answering('        open("prompt.txt").close()\n'),
    ),
    "a file read from the repository's root for every answer": breaks(
        "fresh-process",
        "README.md",
        while_answering(
            """        from weather_agent.project import ROOT

        (ROOT / "README.md").read_text()
"""
        ),
    ),
    "a database of the developer's folder": breaks(
        "fresh-process",
        "cities.db",
        new_file("cities.db", ""),
        while_answering(
            """        import sqlite3

        with sqlite3.connect("file:cities.db?mode=ro", uri=True) as database:
            database.execute("SELECT 1")
"""
        ),
    ),
    # Settings, variables, logins
    "settings that are not logged with the model": breaks(
        "accepted",
        "config",
        in_log_model(CONFIG, ""),
        Patch(
            "config.py",
            """    with as_file(_PACKAGE / "config.yml") as path:
        settings = ModelConfig(development_config=str(path)).to_dict()
""",
            """    path = "src/weather_agent/config.yml"
    settings = ModelConfig(development_config=path).to_dict()
""",
        ),
    ),
    "a variable that must be set at import": breaks(
        "accepted", "'AGENT_REGION'", at_import('REGION = os.environ["AGENT_REGION"]\n')
    ),
    "a client built at import without a key": breaks(
        "accepted",
        "OPENAI_API_KEY|api_key",
        at_import("import openai\n\nCLIENT = openai.OpenAI()\n"),
    ),
    "a variable that is set only where the agent is logged": breaks(
        "fresh-process",
        "AGENT_REGION",
        at_import('REGION = os.environ["AGENT_REGION"]\n'),
        in_log_model(
            "    require_checkout()\n",
            '    require_checkout()\n    os.environ["AGENT_REGION"] = "eu"\n',
        ),
    ),
    "a variable that only a file .env of the developer has": breaks(
        "fresh-process",
        "AGENT_REGION",
        new_file(".env", "AGENT_REGION=eu\n"),
        at_import(
            """from dotenv import load_dotenv

load_dotenv()
REGION = os.environ["AGENT_REGION"]
"""
        ),
    ),
    "artifacts that are never logged": breaks(
        "accepted",
        "prompt|artifacts",
        in_agent(
            "    def predict(self, request",
            """    def load_context(self, context) -> None:
        self.prompt = context.artifacts["prompt"]

    def predict(self, request""",
        ),
    ),
    "an artifact that is a path of this machine": breaks(
        "packaged-files",
        "prompt.txt",
        new_file("prompt.txt", "Be brief.\n"),
        in_agent(
            "    def predict(self, request",
            """    def load_context(self, context) -> None:
        self.prompt = open(context.model_config["prompt"]).read()

    def predict(self, request""",
        ),
        in_log_model(
            CONFIG,
            """            model_config=config.model_dump() | {"prompt": str(ROOT / "prompt.txt")},
""",
        ),
        Patch("config.py", 'extra="forbid"', 'extra="ignore"'),
    ),
    # What happens at import
    "MLflow's store set by the agent": breaks(
        "accepted",
        "Run with id=.* not found",
        at_import('mlflow.set_tracking_uri("sqlite:///dev.db")\n'),
    ),
    "the experiment set by the agent": breaks(
        "quiet-import", "experiment", at_import('mlflow.set_experiment("weather")\n')
    ),
    "another working folder": breaks(
        "quiet-import", "working folder", at_import('os.chdir("/")\n')
    ),
    "a server called at import": breaks(
        "quiet-import",
        r"It called .*(192\.0\.2\.1|127\.0\.0\.1)",
        at_import(
            """import httpx

try:
    httpx.get("http://127.0.0.1:9/models", timeout=1)
except httpx.HTTPError:
    pass
"""
        ),
    ),
    "arguments parsed at import": breaks(
        "accepted",
        "SystemExit",
        at_import(
            """import argparse

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--llm", required=True)
OPTIONS = PARSER.parse_args()
"""
        ),
    ),
    "tracing switched off by the agent": breaks(
        "quiet-import", "tracing is off", at_import("mlflow.tracing.disable()\n")
    ),
    "the log of the process set up anew": breaks(
        "quiet-import",
        "log",
        at_import(
            """import logging

logging.basicConfig(level=logging.DEBUG, force=True)
"""
        ),
    ),
    "a variable of the process written at import": breaks(
        "quiet-import",
        "OPENAI_API_KEY|environment",
        at_import('os.environ["OPENAI_API_KEY"] = "none"\n'),
    ),
    # Giving the agent to MLflow
    "two agents given to MLflow": breaks(
        "one-model",
        "called 2 times",
        another_agent("mlflow.models.set_model(AGENT)\nmlflow.models.set_model(AGENT)\n"),
    ),
    "a second agent in a module that the first imports": breaks(
        "one-model",
        "called 2 times",
        new_file(
            "src/weather_agent/old_agent.py",
            """import mlflow
from mlflow.pyfunc import ResponsesAgent


class Old(ResponsesAgent):
    def predict(self, request):
        raise NotImplementedError


mlflow.models.set_model(Old())
""",
        ),
        at_import("from weather_agent import old_agent as _\n"),
    ),
    # Loading
    "an agent that loads only once in a process": breaks(
        "loads-again",
        "loaded twice",
        at_import(
            """if getattr(mlflow, "weather_agent", False):
    raise RuntimeError("The agent was loaded twice.")
mlflow.weather_agent = True
"""
        ),
    ),
    "an import that asks at the terminal": breaks(
        "accepted", "reading from stdin", at_import('KEY = input("Key: ")\n')
    ),
}
