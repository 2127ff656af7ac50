"""Breakages of the logged model: what Databricks reads of it before it runs anything."""

from tests.contract.breakages.changes import (
    Patch,
    another_agent,
    breaks,
    in_agent,
    in_example,
    in_log_model,
    new_file,
)

# In two pieces, so that no scanner takes them for real ones.
DATABRICKS_TOKEN = "dapi" + "0123456789abcdef" * 2
OPENAI_KEY = "sk-" + "proj-" + "Ab3dEf6hIj9k" * 4
GITHUB_TOKEN = "ghp_" + "aB3dE6gH9j" * 4

ARGUMENTS = '            name="agent",\n'
PYTHON_MODEL = '            python_model=PACKAGE / "agent.py",\n'
CODE = "            code_paths=[str(PACKAGE)],\n"
CONFIG = "            model_config=config.model_dump(),\n"
EXAMPLE = "            input_example=example,\n"
REQUIREMENTS = "            pip_requirements=requirements,\n"
RESOURCES = "            resources=declared_resources(config),\n"

MODEL = {
    # Bases
    "a PythonModel that answers with messages": breaks(
        "base-class",
        "derived from PythonModel",
        another_agent("""
class Chat(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {"messages": [{"role": "assistant", "content": "Hello"}]}


mlflow.models.set_model(Chat())
"""),
    ),
    "a ChatAgent": breaks(
        "accepted",
        "ChatAgent|messages",
        another_agent("""
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse


class Chat(mlflow.pyfunc.ChatAgent):
    def predict(self, messages, context=None, custom_inputs=None):
        answer = ChatAgentMessage(role="assistant", content="Hello", id="1")
        return ChatAgentResponse(messages=[answer])


mlflow.models.set_model(Chat())
"""),
    ),
    "a ChatModel with an example of its own": breaks(
        "base-class",
        "derived from ChatModel",
        another_agent("""
from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage


class Chat(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        answer = ChatMessage(role="assistant", content="Hello")
        return ChatCompletionResponse(choices=[ChatChoice(message=answer)])


mlflow.models.set_model(Chat())
"""),
        in_log_model(
            EXAMPLE,
            '            input_example={"messages": [{"role": "user", "content": "Hello"}]},\n',
        ),
    ),
    "a function for an agent": breaks(
        "base-class",
        "_FunctionPythonModel",
        another_agent("""
def predict(model_input: list[str]) -> list[str]:
    return model_input


mlflow.models.set_model(predict)
"""),
    ),
    "a class that looks like a ResponsesAgent but is none": breaks(
        "accepted",
        "PythonModel|callable|set_model",
        in_agent("class Agent(ResponsesAgent):", "class Agent:"),
    ),
    # Giving the agent to MLflow
    "the class given to MLflow, not an instance": breaks(
        "accepted",
        "instance|callable|class|self|set_model",
        another_agent("mlflow.models.set_model(Agent)\n"),
    ),
    "an agent that is given to MLflow only by a script": breaks(
        "accepted",
        "set_model",
        another_agent('if __name__ == "__main__":\n    mlflow.models.set_model(AGENT)\n'),
    ),
    "an agent that is never given to MLflow": breaks("accepted", "set_model", another_agent("\n")),
    "an instance of a notebook's class, which MLflow pickles": breaks(
        "models-from-code",
        "python_model.pkl",
        in_log_model(
            PYTHON_MODEL,
            """            python_model=type(
                "Pickled",
                (mlflow.pyfunc.ResponsesAgent,),
                {"predict": lambda _, __: {"output": [{"type": "message", "id": "1", "content": [
                    {"type": "output_text", "text": "Hello"}]}]}},
            )(),
""",
        ),
    ),
    "an instance of a module beside the package, pickled by its name": breaks(
        "models-from-code",
        "python_model.pkl",
        new_file(
            "src/greeter.py",
            """
import mlflow


class Greeter(mlflow.pyfunc.ResponsesAgent):
    def predict(self, request):
        item = self.create_text_output_item("Hello", "msg_1")
        return {"output": [item]}

    def predict_stream(self, request):
        item = self.create_text_output_item("Hello", "msg_1")
        yield {"type": "response.output_item.done", "item": item}
""",
        ),
        in_log_model(
            "from .config import Config",
            "from greeter import Greeter\n\nfrom .config import Config",
        ),
        in_log_model(PYTHON_MODEL, "            python_model=Greeter(),\n"),
    ),
    # Metadata and signature
    "another task in the metadata": breaks(
        "task",
        "llm/v1/chat",
        in_log_model(ARGUMENTS, ARGUMENTS + '            metadata={"task": "llm/v1/chat"},\n'),
    ),
    "a signature passed to log_model": breaks(
        "accepted",
        "signature",
        in_log_model(
            ARGUMENTS,
            ARGUMENTS + "            signature=mlflow.models.infer_signature(example),\n",
        ),
    ),
    "a signature set on the logged model": breaks(
        "signature",
        "messages",
        in_log_model(
            "def log_agent(",
            """def log_agent() -> ModelInfo:
    from mlflow.models import ModelSignature, set_signature
    from mlflow.types.schema import ColSpec, Schema

    columns = Schema([ColSpec("string", "messages")])
    uri = _log_agent().model_uri
    set_signature(uri, ModelSignature(columns, columns))
    return mlflow.models.get_model_info(uri)


def _log_agent(""",
        ),
    ),
    "only the output of a signature set anew": breaks(
        "signature",
        "output schema is",
        in_log_model(
            "def log_agent(",
            """def log_agent() -> ModelInfo:
    from mlflow.models import ModelSignature, set_signature
    from mlflow.types.schema import ColSpec, Schema

    logged = _log_agent()
    outputs = Schema([ColSpec("string")])
    set_signature(logged.model_uri, ModelSignature(logged.signature.inputs, outputs))
    return mlflow.models.get_model_info(logged.model_uri)


def _log_agent(""",
        ),
    ),
    # The input example
    "an example with messages instead of input": breaks(
        "accepted", "messages|input", in_example('"input": [', '"messages": [')
    ),
    "messages beside the input in the example": breaks(
        "input-example", "messages", in_example('"input": [', '"messages": [], "input": [')
    ),
    "an example with the role of a human": breaks(
        "accepted", "role|human", in_example('"user"', '"human"')
    ),
    "a part of chat completions in the example": breaks(
        "input-example",
        "'text'",
        in_example(
            '"What time is it in Tokyo?"', '[{"type": "text", "text": "What time is it in Tokyo?"}]'
        ),
    ),
    "an example that is a text": breaks(
        "accepted", "example|str", in_log_model(EXAMPLE, '            input_example="Hello",\n')
    ),
    "an example that is no JSON": breaks(
        "accepted", "input_example.json holds no JSON", in_example('"input": [', "'input': [")
    ),
    "no example at all": breaks("input-example", "example", in_log_model(EXAMPLE, "")),
    "another example than the repository's": breaks(
        "input-example",
        "not the example of the repository",
        in_log_model(
            EXAMPLE,
            '            input_example={"input": [{"role": "user", "content": "Hello"}]},\n',
        ),
    ),
    "an example without a user": breaks(
        "input-example", "no message with the role user", in_example('"user"', '"system"')
    ),
    "an example in which the user says nothing": breaks(
        "input-example", "says nothing", in_example("What time is it in Tokyo?", " ")
    ),
    # Secrets
    "a token in the source": breaks(
        "no-secrets",
        "tools.py:[0-9]+ holds a token of Databricks",
        Patch("tools.py", "TOOLS = [", f'TOKEN = "{DATABRICKS_TOKEN}"\nTOOLS = ['),
    ),
    "a token in the example's custom_inputs": breaks(
        "no-secrets",
        "input_example.json:[0-9]+ holds a token of Databricks",
        in_example('"input": [', f'"custom_inputs": {{"key": "{DATABRICKS_TOKEN}"}}, "input": ['),
    ),
    "a key in the settings that are logged": breaks(
        "no-secrets",
        "holds a key of OpenAI",
        in_log_model(
            CONFIG,
            f'            model_config=config.model_dump() | {{"openai_key": "{OPENAI_KEY}"}},\n',
        ),
        Patch("config.py", "    llm: str\n", '    llm: str\n    openai_key: str = ""\n'),
    ),
    "a password in config.yml's database URL": breaks(
        "no-secrets",
        "holds a password in a URL",
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources: {}\n# postgresql://agent:hunter2secret@db.example.com/prod\n",
        ),
    ),
    "a file of variables in the package": breaks(
        "no-secrets",
        r"\.env is a file for credentials",
        new_file("src/weather_agent/.env", f"OPENAI_API_KEY={OPENAI_KEY}\n"),
    ),
    "a password in a constant": breaks(
        "no-secrets",
        "tools.py:[0-9]+ holds a password",
        Patch("tools.py", "TOOLS = [", 'DATABASE_PASSWORD = "Summer2026!"\nTOOLS = ['),
    ),
    # Requirements
    "requirements without a version": breaks(
        "pinned-requirements",
        "mlflow is not pinned",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow"],\n'),
    ),
    "a lower bound instead of a version": breaks(
        "pinned-requirements",
        "mlflow>=3.0.0 is not pinned",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow>=3.0.0"],\n'),
    ),
    "a conda environment written by hand": breaks(
        "pinned-requirements",
        "mlflow is not pinned",
        in_log_model(
            REQUIREMENTS,
            """            conda_env={"dependencies": ["python=3.11", "pip", {"pip": ["mlflow"]}]},
""",
        ),
    ),
    "another version than is installed": breaks(
        "pinned-requirements",
        "mlflow==3.0.0, but 3",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow==3.0.0"],\n'),
    ),
    "requirements from a branch of a repository": breaks(
        "pinned-requirements",
        "no released version",
        in_log_model(
            REQUIREMENTS,
            """            pip_requirements=[
                *requirements, "humanize @ git+https://github.com/python-humanize/humanize@main"
            ],
""",
        ),
    ),
    "requirements from a file that was written by hand": breaks(
        "covered-imports",
        "imports docstring_parser",
        in_log_model(
            REQUIREMENTS,
            '            pip_requirements=[f"mlflow=={mlflow.__version__}"],\n',
        ),
    ),
    "a package of the developer's machine, imported late": breaks(
        "covered-imports",
        "tools.py imports pytest",
        Patch(
            "tools.py",
            "    return (end - start).days",
            "    import pytest\n\n    return pytest.approx((end - start).days).expected",
        ),
    ),
    "a package of the developer's machine, imported by its name": breaks(
        "covered-imports",
        "tools.py imports pytest",
        Patch(
            "tools.py",
            "    return (end - start).days",
            """    from importlib import import_module

    return import_module("pytest").approx((end - start).days).expected""",
        ),
    ),
    # Resources
    "resources as names": breaks(
        "declared-resources",
        "an-endpoint",
        Patch("config.yml", "resources: {}\n", "resources:\n  serving_endpoint: [an-endpoint]\n"),
        in_log_model(RESOURCES, '            resources=["an-endpoint"],\n'),
    ),
    "a table that is not declared": breaks(
        "declared-resources",
        "table a.b.c",
        in_log_model(
            CONFIG,
            """            model_config=config.model_dump() | {"resources": {"table": ["a.b.c"]}},
""",
        ),
    ),
    "an endpoint that is not declared": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        in_log_model(
            CONFIG,
            """            model_config=config.model_dump() | {"llm": "databricks:/an-endpoint"},
""",
        ),
    ),
    "the resources left out": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  vector_search_index: [main.docs.pages]\n",
        ),
        in_log_model(RESOURCES, ""),
    ),
    "an index that only a tool names": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        Patch(
            "tools.py",
            "def days_between",
            '''def search(text: str) -> str:
    """Search the handbook."""
    from databricks.vector_search.client import VectorSearchClient

    index = VectorSearchClient().get_index(index_name="main.docs.pages")
    return str(index.similarity_search(text))


def days_between''',
        ),
    ),
    "a foundation model that only a tool names": breaks(
        "declared-resources",
        "serving_endpoint databricks-claude",
        Patch(
            "tools.py",
            "def days_between",
            """SUMMARIZER = "databricks-claude-sonnet-4-5"


def days_between""",
        ),
    ),
    "a function of Unity Catalog that only a tool names": breaks(
        "declared-resources",
        "function main.tools.lookup",
        Patch(
            "tools.py",
            "def days_between",
            '''def lookup(key: str) -> str:
    """Look a key up."""
    from databricks_openai import UCFunctionToolkit

    return str(UCFunctionToolkit(function_names=["main.tools.lookup"]).tools)


def days_between''',
        ),
    ),
    "a resource of the wrong kind": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  vector_search_index: [main.docs.pages]\n",
        ),
        in_log_model(
            RESOURCES,
            """            resources=[mlflow_resources.DatabricksTable("main.docs.pages")],
""",
        ),
    ),
    # Before there is a model
    "a file that does not compile": breaks(
        "accepted", ":", in_agent("class Agent(ResponsesAgent):", "class Agent(ResponsesAgent)")
    ),
    "config.yml with a setting that is misspelt": breaks(
        "accepted", "max_round:|max_rounds", Patch("config.yml", "max_rounds: 8", "max_round: 8")
    ),
    "a lock file that does not fit": breaks(
        "accepted",
        "uv could not export uv.lock",
        Patch("pyproject.toml", '    "click>=8.1.7",\n', '    "click>=8.1.7",\n    "humanize",\n'),
    ),
}
