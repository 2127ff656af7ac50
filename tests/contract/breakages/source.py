"""Breakages that the rules about the source notice before anything runs."""

from tests.contract.breakages.changes import (
    SET_MODEL,
    Patch,
    another_agent,
    at_import,
    breaks,
    in_agent,
    in_log_model,
    new_file,
    while_answering,
)

ARGUMENTS = '            name="agent",\n'
EVENTS = "        events = list(self.predict_stream(request))\n"

SOURCE = {
    "a signature by hand, even none": breaks(
        "signature-by-hand",
        "log_model.py:[0-9]+: signature=None",
        in_log_model(ARGUMENTS, ARGUMENTS + "            signature=None,\n"),
    ),
    "a script that sets a signature later": breaks(
        "signature-set-later",
        "set_signature",
        new_file(
            "src/weather_agent/set_it.py",
            "import mlflow\n\nmlflow.models.set_signature('models:/agent/1', None)\n",
        ),
    ),
    "an old ChatAgent beside the agent": breaks(
        "another-base",
        "ChatAgent",
        in_agent(
            "AGENT = Agent(", "class Old(mlflow.pyfunc.ChatAgent):\n    pass\n\n\nAGENT = Agent("
        ),
    ),
    "a decorator on predict_stream": breaks(
        "traced-by-hand",
        "agent.py:[0-9]+: @mlflow.trace",
        in_agent("    def predict_stream(\n", "    @mlflow.trace\n    def predict_stream(\n"),
    ),
    "the path of an artifact instead of a name": breaks(
        "artifact-path", "artifact_path", in_log_model('name="agent",', 'artifact_path="agent",')
    ),
    "a request printed": breaks(
        "print-call", r"print\(request\)", while_answering("        print(request)\n")
    ),
    "a client built at import": breaks(
        "work-at-import",
        "OpenAI",
        at_import('import openai\n\nCLIENT = openai.OpenAI(api_key="none")\n'),
    ),
    "MLflow's store set at import": breaks(
        "work-at-import",
        "set_tracking_uri",
        at_import('mlflow.set_tracking_uri("sqlite:///mlflow.db")\n'),
    ),
    "the agent logged again when it is imported": breaks(
        "work-at-import",
        "log_model",
        another_agent(SET_MODEL + 'mlflow.pyfunc.log_model(name="agent", python_model=__file__)\n'),
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
    "a client built when the agent is made": breaks(
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
    "a loop run to its end": breaks(
        "asyncio-run",
        "asyncio.run",
        while_answering("        import asyncio\n\n        asyncio.run(asyncio.sleep(0))\n"),
    ),
    "the request on self": breaks(
        "state-on-self",
        "self.request = request",
        while_answering("        self.request = request\n"),
    ),
    "a list on the class": breaks(
        "state-on-class",
        "items: list",
        in_agent(
            "    def __init__(self, config: Config",
            "    items: list[Any] = []\n\n    def __init__(self, config: Config",
        ),
    ),
    "a coroutine for an answer": breaks(
        "async-predict",
        "async def predict",
        in_agent("    def predict(self, request", "    async def predict(self, request"),
    ),
    "a variable read at import": breaks(
        "environ-at-import",
        "AGENT_TOKEN",
        at_import('TOKEN = os.environ.get("AGENT_TOKEN", "")\n'),
    ),
    "a condition that ends the process": breaks(
        "exit-call",
        "sys.exit",
        while_answering(
            """        if len(request.input) > 100:
            import sys

            sys.exit("Too many messages.")
"""
        ),
    ),
    "an agent given only to a script's MLflow": breaks(
        "set-model-in-main",
        "set_model",
        another_agent(f'if __name__ == "__main__":\n    {SET_MODEL}'),
    ),
    "a path of the developer's machine": breaks(
        "local-path",
        "/home/ada",
        Patch("tools.py", "TOOLS = [", 'CITIES = "/home/ada/cities.csv"\nTOOLS = ['),
    ),
    "a file opened by a relative path": breaks(
        "relative-file",
        "prompt.txt",
        while_answering('        open("prompt.txt").close()\n'),
    ),
    "a conversation in a global variable": breaks(
        "module-state",
        "HISTORY",
        at_import("HISTORY = []\n"),
        while_answering("        HISTORY.extend(request.input)\n"),
    ),
    "the user's key put into the environment": breaks(
        "module-state",
        "environ",
        while_answering(
            """        if request.custom_inputs:
            os.environ["OPENAI_API_KEY"] = request.custom_inputs["key"]
"""
        ),
    ),
    "the agent itself passed to log_model": breaks(
        "pickled-agent",
        "python_model=AGENT",
        in_log_model(
            "from .config import Config", "from .agent import AGENT\nfrom .config import Config"
        ),
        in_log_model(
            '            python_model=PACKAGE / "agent.py",\n', "            python_model=AGENT,\n"
        ),
    ),
    "a resource by its name": breaks(
        "resource-names",
        "an-endpoint",
        in_log_model(
            "            resources=declared_resources(config),\n",
            '            resources=["an-endpoint"],\n',
        ),
    ),
    "an apology in predict": breaks(
        "swallowed-errors",
        "except Exception",
        in_agent(
            EVENTS,
            """        try:
            events = list(self.predict_stream(request))
        except Exception as error:
            sorry = self.create_text_output_item(f"Sorry: {error}", f"msg_{time.time_ns()}")
            return ResponsesAgentResponse(output=[sorry])
""",
        ),
    ),
}
