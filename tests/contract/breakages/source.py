"""Mistakes in the source, which the rules of ast-grep find before anything runs."""

from tests.contract.breakages.changes import (
    APOLOGY,
    SET_MODEL,
    at_import,
    breaks,
    in_agent,
    in_answer,
    in_log_model,
    in_tools,
    instead_of_set_model,
    method,
    new_file,
)

NAME = '            name="agent",\n'

SOURCE = {
    "an explicit signature": breaks(
        "signature-by-hand",
        "log_model.py:[0-9]+: signature=None",
        in_log_model(NAME, NAME + "            signature=None,\n"),
    ),
    "a script that sets a signature": breaks(
        "signature-set-later",
        "set_signature",
        new_file(
            "src/weather_agent/set_it.py",
            "import mlflow\n\nmlflow.models.set_signature('models:/agent/1', None)\n",
        ),
    ),
    "a script that sets a signature under another name": breaks(
        "signature-set-later",
        "set_signature as update",
        new_file(
            "src/weather_agent/set_it.py",
            "from mlflow.models import set_signature as update\n\nupdate('models:/m/1', None)\n",
        ),
    ),
    "a ChatAgent in the same file": breaks(
        "another-base", "ChatAgent", at_import("class Old(mlflow.pyfunc.ChatAgent):\n    pass\n")
    ),
    "a decorator on predict_stream": breaks(
        "traced-by-hand",
        "agent.py:[0-9]+: @mlflow.trace",
        method("""
@mlflow.trace
def predict_stream(self, request):
    yield from super().predict_stream(request)
"""),
    ),
    "an artifact path instead of a name": breaks(
        "artifact-path", "artifact_path", in_log_model('name="agent",', 'artifact_path="agent",')
    ),
    "a printed request": breaks("print-call", r"print\(request\)", in_answer("print(request)")),
    "a client created at import": breaks(
        "work-at-import",
        "OpenAI",
        at_import('import openai\n\nCLIENT = openai.OpenAI(api_key="none")'),
    ),
    "a tracking URI set in agent.py": breaks(
        "work-at-import",
        "set_tracking_uri",
        at_import('mlflow.set_tracking_uri("sqlite:///mlflow.db")'),
    ),
    "a model logged at import": breaks(
        "work-at-import",
        "log_model",
        instead_of_set_model(
            SET_MODEL + 'mlflow.pyfunc.log_model(name="agent", python_model=__file__)'
        ),
    ),
    "a package installed at import": breaks(
        "work-at-import",
        "pip",
        at_import("""
import subprocess
import sys

subprocess.run([sys.executable, "-m", "pip", "install", "humanize"], check=False)
"""),
    ),
    "a client created in __init__": breaks(
        "work-at-import",
        "WorkspaceClient",
        in_agent(
            "        self.toolbox = toolbox\n",
            """        self.toolbox = toolbox
        if config.resources:
            from databricks.sdk import WorkspaceClient

            self.workspace = WorkspaceClient()
""",
        ),
    ),
    "a call of asyncio.run": breaks(
        "asyncio-run", "asyncio.run", in_answer("import asyncio\n\nasyncio.run(asyncio.sleep(0))")
    ),
    "the request assigned to self": breaks(
        "state-on-self", "self.request = request", in_answer("self.request = request")
    ),
    "a list on the class": breaks("state-on-class", "items: list", method("items: list[Any] = []")),
    "a predict that is a coroutine": breaks(
        "async-predict",
        "async def predict",
        method("""
async def predict(self, request):
    return super().predict(request)
"""),
    ),
    "an environment variable read at import": breaks(
        "environ-at-import",
        "AGENT_TOKEN",
        at_import('import os\n\nTOKEN = os.environ.get("AGENT_TOKEN", "")'),
    ),
    "a call of sys.exit": breaks(
        "exit-call",
        "sys.exit",
        in_answer("""
if len(request.input) > 100:
    import sys

    sys.exit("Too many messages.")
"""),
    ),
    "a conditional set_model call": breaks(
        "set-model-in-main",
        "set_model",
        instead_of_set_model(f'if __name__ == "__main__":\n    {SET_MODEL}'),
    ),
    "a path on the developer's machine": breaks(
        "local-path", "/home/ada", in_tools('CITIES = "/home/ada/cities.csv"')
    ),
    "a file opened by a relative path": breaks(
        "relative-file", "prompt.txt", in_answer('open("prompt.txt").close()')
    ),
    "a conversation in a global variable": breaks(
        "module-state",
        "HISTORY",
        at_import("HISTORY = []"),
        in_answer("HISTORY.extend(request.input)"),
    ),
    "the user's key in the environment": breaks(
        "module-state",
        "environ",
        at_import("import os"),
        in_answer("""
if request.custom_inputs:
    os.environ["OPENAI_API_KEY"] = request.custom_inputs["key"]
"""),
    ),
    "an instance passed to log_model": breaks(
        "pickled-agent",
        "python_model=AGENT",
        in_log_model("from ..runtime.llm", "from ..agent import AGENT\nfrom ..runtime.llm"),
        in_log_model(
            '            python_model=PACKAGE / "agent.py",\n', "            python_model=AGENT,\n"
        ),
    ),
    "a resource passed as a string": breaks(
        "resource-names",
        "an-endpoint",
        in_log_model(
            "            **permissions(config),\n",
            '            resources=["an-endpoint"],\n',
        ),
    ),
    "an apology in predict": breaks(
        "swallowed-errors",
        "except Exception",
        APOLOGY,
    ),
}
