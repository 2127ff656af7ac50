"""Mistakes in the logged model: what Databricks reads before it runs anything."""

from tests.contract.breakages.changes import (
    AGENT_CLASS,
    PRIVATE_PACKAGE,
    Patch,
    breaks,
    in_agent,
    in_example,
    in_log_model,
    in_tools,
    instead_of_set_model,
    new_file,
)

# In two parts, so that secret scanners do not report them.
DATABRICKS_TOKEN = "dapi" + "0123456789abcdef" * 2
OPENAI_KEY = "sk-" + "proj-" + "Ab3dEf6hIj9k" * 4

ARGUMENTS = '            name="agent",\n'
PYTHON_MODEL = '            python_model=PACKAGE / "agent.py",\n'
CODE = "            code_paths=[str(PACKAGE)],\n"
CONFIG = '            model_config=config.model_dump(mode="json"),\n'
EXAMPLE = "            input_example=input_example,\n"
REQUIREMENTS = "            pip_requirements=requirements,\n"
PERMISSIONS = "            **permissions(config),\n"
# A function that uses the credentials of the user.
USER_CLIENT = '''
def warehouses() -> str:
    """List the warehouses that the user may use."""
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.credentials_provider import ModelServingUserCredentials

    client = WorkspaceClient(credentials_strategy=ModelServingUserCredentials())
    return ", ".join(str(one.name) for one in client.warehouses.list())
'''


def settings_with(addition: str) -> Patch:
    """Log other settings than those of config.yml."""
    return in_log_model(CONFIG, CONFIG.replace(",\n", f" | {addition},\n"))


def resource_list(kind: str, name: str) -> Patch:
    """List a resource in config.yml."""
    return Patch("config.yml", "resources: {}\n", f"resources:\n  {kind}: [{name}]\n")


MODEL = {
    # Base classes
    "a PythonModel that returns messages": breaks(
        "base-class",
        "derived from PythonModel",
        instead_of_set_model("""
class Chat(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {"messages": [{"role": "assistant", "content": "Hello"}]}


mlflow.models.set_model(Chat())
"""),
    ),
    "a ChatAgent": breaks(
        "accepted",
        "ChatAgent|messages",
        instead_of_set_model("""
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
        instead_of_set_model("""
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
    "a function instead of an agent": breaks(
        "base-class",
        "_FunctionPythonModel",
        instead_of_set_model("""
def predict(model_input: list[str]) -> list[str]:
    return model_input


mlflow.models.set_model(predict)
"""),
    ),
    "a class without the ResponsesAgent base": breaks(
        "accepted",
        "PythonModel|callable|set_model",
        instead_of_set_model("""
class Lookalike:
    def predict(self, request):
        return AGENT.predict(request)

    def predict_stream(self, request):
        return AGENT.predict_stream(request)


mlflow.models.set_model(Lookalike())
"""),
    ),
    # set_model
    "the class passed to set_model instead of an instance": breaks(
        "accepted",
        "instance|callable|class|self|set_model",
        instead_of_set_model("mlflow.models.set_model(Agent)\n"),
    ),
    "a set_model call that only a script runs": breaks(
        "accepted",
        "set_model",
        instead_of_set_model('if __name__ == "__main__":\n    mlflow.models.set_model(AGENT)\n'),
    ),
    "no set_model call": breaks("accepted", "set_model", instead_of_set_model("\n")),
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
    "an instance of a class outside the package, which MLflow pickles": breaks(
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
        in_log_model("import mlflow\n", "import mlflow\nfrom greeter import Greeter\n"),
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
            ARGUMENTS + "            signature=mlflow.models.infer_signature(input_example),\n",
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
    "an output schema set on the logged model": breaks(
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
    "an example that requests a stream": breaks(
        "input-example", "requests a stream", in_example('"input": [', '"stream": true, "input": [')
    ),
    "an example with an unknown role": breaks(
        "accepted", "role|human", in_example('"user"', '"human"')
    ),
    "a content part of the chat-completions API in the example": breaks(
        "input-example",
        "'text'",
        in_example(
            '"What time is it in Tokyo?"', '[{"type": "text", "text": "What time is it in Tokyo?"}]'
        ),
    ),
    "an example that is a string": breaks(
        "accepted", "example|str", in_log_model(EXAMPLE, '            input_example="Hello",\n')
    ),
    "an example that is not valid JSON": breaks(
        "accepted", "input_example.json is not valid JSON", in_example('"input": [', "'input': [")
    ),
    "an example with a key twice": breaks(
        "accepted",
        "input_example.json is not valid JSON: the key 'input' occurs twice",
        in_example('"input": [', '"input": [], "input": ['),
    ),
    "an image that upgrades its packages": breaks(
        "pinned-requirements",
        "The Dockerfile installs other versions than those of uv.lock: `uv sync --upgrade`",
        Patch(
            "Dockerfile",
            "    uv sync --locked --no-default-groups --no-editable\n",
            "    uv sync --upgrade --no-default-groups --no-editable\n",
        ),
    ),
    "an image without a lock file": breaks(
        "pinned-requirements",
        "The Dockerfile installs other versions than those of uv.lock: `rm uv.lock`",
        Patch("Dockerfile", "COPY . .\n", "COPY . .\nRUN rm uv.lock\n"),
    ),
    "an image that installs the project with pip": breaks(
        "pinned-requirements",
        "The Dockerfile installs other versions than those of uv.lock: `pip install .`",
        Patch("Dockerfile", "COPY . .\n", "COPY . .\nRUN uv pip install .\n"),
    ),
    "an image with the offline LLM": breaks(
        "sensible-settings",
        "because of `ENV AGENT_LLM=offline:/demo`",
        Patch("Dockerfile", "COPY . .\n", "COPY . .\nENV AGENT_LLM=offline:/demo\n"),
    ),
    "other settings logged than configured": breaks(
        "sensible-settings",
        "The model is logged with max_rounds 3, not 8 of config.yml",
        in_log_model(
            'model_config=config.model_dump(mode="json")',
            'model_config=config.model_dump(mode="json") | {"max_rounds": 3}',
        ),
    ),
    "no example": breaks("input-example", "example", in_log_model(EXAMPLE, "")),
    "an example that differs from the repository's": breaks(
        "input-example",
        "differs from the one in the repository",
        in_log_model(
            EXAMPLE,
            '            input_example={"input": [{"role": "user", "content": "Hello"}]},\n',
        ),
    ),
    "an example without a user message": breaks(
        "input-example", "no message with the role user", in_example('"user"', '"system"')
    ),
    "an example with an empty user message": breaks(
        "input-example",
        "user message in the example is empty",
        in_example("What time is it in Tokyo?", " "),
    ),
    # Secrets
    "a token in the source": breaks(
        "no-secrets",
        "tools.py:[0-9]+ contains a token of Databricks",
        in_tools(f'TOKEN = "{DATABRICKS_TOKEN}"'),
    ),
    "a token in the example's custom_inputs": breaks(
        "no-secrets",
        "input_example.json:[0-9]+ contains a token of Databricks",
        in_example('"input": [', f'"custom_inputs": {{"key": "{DATABRICKS_TOKEN}"}}, "input": ['),
    ),
    "a key in the logged settings": breaks(
        "no-secrets",
        "contains a key of OpenAI",
        settings_with(f'{{"openai_key": "{OPENAI_KEY}"}}'),
        Patch("runtime/config.py", "    llm: str\n", '    llm: str\n    openai_key: str = ""\n'),
    ),
    "a database URL with a password in config.yml": breaks(
        "no-secrets",
        "contains a password in a URL",
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources: {}\n# postgresql://agent:hunter2secret@db.example.com/prod\n",
        ),
    ),
    "a .env file in the package": breaks(
        "no-secrets",
        r"\.env is a credentials file",
        new_file("src/weather_agent/.env", f"OPENAI_API_KEY={OPENAI_KEY}\n"),
    ),
    "a password in a constant": breaks(
        "no-secrets",
        "tools.py:[0-9]+ contains a password",
        in_tools('DATABASE_PASSWORD = "Summer2026!"'),
    ),
    "the environment in the metadata": breaks(
        "no-secrets",
        "MLmodel contains the variables ",
        in_log_model(
            ARGUMENTS, ARGUMENTS + '            metadata={"environment": dict(os.environ)},\n'
        ),
    ),
    # Requirements
    "requirements without a version": breaks(
        "pinned-requirements",
        "mlflow is not pinned",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow"],\n'),
    ),
    "a lower bound instead of a pinned version": breaks(
        "pinned-requirements",
        "mlflow>=3.0.0 is not pinned",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow>=3.0.0"],\n'),
    ),
    "a handwritten conda environment": breaks(
        "pinned-requirements",
        "mlflow is not pinned",
        in_log_model(
            REQUIREMENTS,
            """            conda_env={"dependencies": ["python=3.11", "pip", {"pip": ["mlflow"]}]},
""",
        ),
    ),
    "a pinned version that is not installed": breaks(
        "pinned-requirements",
        "mlflow==3.0.0 is required, but 3",
        in_log_model(REQUIREMENTS, '            pip_requirements=["mlflow==3.0.0"],\n'),
    ),
    "a requirement from a Git branch": breaks(
        "pinned-requirements",
        "not a released version",
        in_log_model(
            REQUIREMENTS,
            """            pip_requirements=[
                *requirements, "humanize @ git+https://github.com/python-humanize/humanize@main"
            ],
""",
        ),
    ),
    "requirements without the project's package index": breaks(
        "package-indexes",
        "acme-prices comes from https://packages.example.com/simple, which is missing",
        *PRIVATE_PACKAGE,
        in_log_model(
            REQUIREMENTS,
            "            pip_requirements=[line for line in requirements if line[0] != '-'],\n",
        ),
    ),
    "another package index than the project's": breaks(
        "package-indexes",
        "acme-prices comes from https://packages.example.com/simple, which is missing",
        *PRIVATE_PACKAGE,
        in_log_model(
            REQUIREMENTS,
            """            pip_requirements=[
                line.replace("packages.example.com", "pypi.org") for line in requirements
            ],
""",
        ),
    ),
    "a handwritten list of requirements": breaks(
        "covered-imports",
        "imports docstring_parser",
        in_log_model(
            REQUIREMENTS,
            '            pip_requirements=[f"mlflow=={mlflow.__version__}"],\n',
        ),
    ),
    "a development dependency, imported by a tool": breaks(
        "covered-imports",
        "tools.py imports pytest",
        in_tools("""
def measure(length: float) -> float:
    import pytest

    return pytest.approx(length).expected
"""),
    ),
    "a development dependency, imported by name": breaks(
        "covered-imports",
        "tools.py imports pytest",
        in_tools("""
def measure(length: float) -> float:
    from importlib import import_module

    return import_module("pytest").approx(length).expected
"""),
    ),
    # Resources
    "resources as strings": breaks(
        "declared-resources",
        "an-endpoint",
        resource_list("serving_endpoint", "an-endpoint"),
        in_log_model(PERMISSIONS, '            resources=["an-endpoint"],\n'),
    ),
    "an undeclared table": breaks(
        "declared-resources",
        "table a.b.c",
        settings_with('{"resources": {"table": ["a.b.c"]}}'),
    ),
    "an undeclared endpoint": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        settings_with('{"llm": "databricks:/an-endpoint"}'),
    ),
    "resources missing from the model": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        resource_list("vector_search_index", "main.docs.pages"),
        in_log_model(PERMISSIONS, ""),
    ),
    "an undeclared index in a tool": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        in_tools('''
def search(text: str) -> str:
    """Search the handbook."""
    from databricks.vector_search.client import VectorSearchClient

    index = VectorSearchClient().get_index(index_name="main.docs.pages")
    return str(index.similarity_search(text))
'''),
    ),
    "an undeclared endpoint in a tool": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        in_tools('''
def ask(question: str) -> str:
    """Ask another model."""
    from databricks.sdk import WorkspaceClient

    return str(WorkspaceClient().serving_endpoints.query(name="an-endpoint", prompt=question))
'''),
    ),
    "an undeclared Genie space in a tool": breaks(
        "declared-resources",
        "genie_space 01ef0123456789ab",
        in_tools('''
def ask(question: str) -> str:
    """Ask about sales."""
    from databricks.sdk import WorkspaceClient

    return str(WorkspaceClient().genie.start_conversation("01ef0123456789ab", question))
'''),
    ),
    "an undeclared index in a tool, by position": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        in_tools('''
def search(text: str) -> str:
    """Search the handbook."""
    from databricks.vector_search.client import VectorSearchClient

    index = VectorSearchClient().get_index("main", "main.docs.pages")
    return str(index.similarity_search(text))
'''),
    ),
    "an undeclared foundation model in a tool": breaks(
        "declared-resources",
        "serving_endpoint databricks-claude",
        in_tools('SUMMARIZER = "databricks-claude-sonnet-4-5"'),
    ),
    "an undeclared Unity Catalog function in a tool": breaks(
        "declared-resources",
        "function main.tools.lookup",
        in_tools('''
def look_up(key: str) -> str:
    """Look up a key."""
    from databricks_openai import UCFunctionToolkit

    return str(UCFunctionToolkit(function_names=["main.tools.lookup"]).tools)
'''),
    ),
    "an undeclared endpoint of a client, from another module": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        new_file("src/weather_agent/names.py", 'SUMMARIZER: str = "an-endpoint"\n'),
        in_tools('''
from weather_agent import names


def summarize(text: str) -> str:
    """Summarize a text."""
    from databricks.sdk import WorkspaceClient

    client = WorkspaceClient().serving_endpoints.get_open_ai_client()
    return client.responses.create(model=names.SUMMARIZER, input=text).output_text
'''),
    ),
    "an undeclared endpoint of a client that a function returns": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        in_tools('''
@functools.cache
def client():
    from databricks_openai import DatabricksOpenAI

    return DatabricksOpenAI()


def embed(text: str, model: str = "an-endpoint") -> str:
    """Embed a text."""
    return str(client().embeddings.create(model=model, input=text))
'''),
        Patch("tools.py", "from datetime", "import functools\nfrom datetime"),
    ),
    "an undeclared endpoint in SQL": breaks(
        "declared-resources",
        "serving_endpoint an-endpoint",
        in_tools("""SQL = "SELECT ai_query('an-endpoint', body) FROM mails\""""),
    ),
    "an undeclared app, called as a model": breaks(
        "declared-resources",
        "app another-agent",
        in_tools('''
def ask(question: str) -> str:
    """Ask another agent."""
    from databricks_openai import DatabricksOpenAI

    return str(DatabricksOpenAI().responses.create(model="apps/another-agent", input=question))
'''),
    ),
    "an undeclared connection in a tool": breaks(
        "declared-resources",
        "uc_connection tickets",
        in_tools('''
CONNECTION: Final = "tickets"


def tickets() -> str:
    """List the tickets."""
    from databricks.sdk import WorkspaceClient

    return str(WorkspaceClient().serving_endpoints.http_request(conn=CONNECTION, path="/"))
'''),
        Patch("tools.py", "from zoneinfo", "from typing import Final\nfrom zoneinfo"),
    ),
    "undeclared functions of an MCP server": breaks(
        "declared-resources",
        r"function main.tools.\*",
        in_tools('''
SCHEMA = "main/tools"


def server(host: str) -> str:
    """Return the URL of the server with the functions."""
    return f"{host}/api/2.0/mcp/functions/{SCHEMA}"
'''),
    ),
    "an undeclared Genie space in a class": breaks(
        "declared-resources",
        "genie_space 01ef0123456789ab",
        in_tools('''
class Analyst:
    """Answers questions about sales."""

    SPACE = "01ef0123456789ab"

    def ask(self, question: str) -> str:
        from databricks_langchain.genie import GenieAgent

        return str(GenieAgent(self.SPACE).invoke(question))
'''),
    ),
    "an undeclared SQL warehouse in a path": breaks(
        "declared-resources",
        "sql_warehouse 0123456789abcdef",
        in_tools('HTTP_PATH = "/sql/1.0/warehouses/0123456789abcdef"'),
    ),
    "an undeclared table, read with Spark": breaks(
        "declared-resources",
        "table main.sales.orders",
        in_tools('''
def count_orders() -> int:
    """Count the orders."""
    from databricks.connect import DatabricksSession

    spark = DatabricksSession.builder.getOrCreate()
    return spark.table("main.sales.orders").count()
'''),
    ),
    "an undeclared Lakebase instance": breaks(
        "declared-resources",
        "lakebase memory",
        in_tools('''
def token() -> str:
    """Return a token of the database."""
    from databricks.sdk import WorkspaceClient

    instances = ["memory"]
    database = WorkspaceClient().database
    return database.generate_database_credential(instance_names=instances).token
'''),
    ),
    "a resource of the wrong kind": breaks(
        "declared-resources",
        "vector_search_index main.docs.pages",
        resource_list("vector_search_index", "main.docs.pages"),
        in_log_model(
            PERMISSIONS,
            """            resources=[mlflow.models.resources.DatabricksTable("main.docs.pages")],
""",
        ),
    ),
    # Access with the user's credentials
    "user credentials without scopes": breaks(
        "user-scopes",
        "tools.py uses",
        in_tools(USER_CLIENT),
    ),
    "user credentials of a vector search without scopes": breaks(
        "user-scopes",
        "tools.py uses",
        in_tools('''
def search(text: str) -> str:
    """Search the handbook as its reader."""
    from databricks.vector_search import client, utils

    strategy = utils.CredentialStrategy.MODEL_SERVING_USER_CREDENTIALS
    search = client.VectorSearchClient(credential_strategy=strategy)
    return str(search.get_index("the-endpoint", "main.docs.pages").similarity_search(text))
'''),
    ),
    "user scopes missing from the model": breaks(
        "user-scopes",
        "tools.py uses",
        in_tools(USER_CLIENT),
        Patch(
            "config.yml", "resources: {}\n", "user_api_scopes: [sql.warehouses]\nresources: {}\n"
        ),
        in_log_model(PERMISSIONS, "            resources=declared_resources(config),\n"),
    ),
    # Before the model is logged
    "a file that does not compile": breaks(
        "accepted", "expected ':'", in_agent(AGENT_CLASS, "class Agent(AsyncResponsesAgent)\n")
    ),
    "a misspelled setting in config.yml": breaks(
        "accepted", "max_round:|max_rounds", Patch("config.yml", "max_rounds: 8", "max_round: 8")
    ),
    "an outdated lock file": breaks(
        "accepted",
        "uv cannot export uv.lock",
        Patch("pyproject.toml", '    "click>=8.1.7",\n', '    "click>=8.1.7",\n    "humanize",\n'),
    ),
    # Settings
    "a table without its schema": breaks(
        "sensible-settings",
        "The table is named 'orders'",
        Patch("config.yml", "resources: {}\n", "resources:\n  table: [orders]\n"),
    ),
    "a function without its catalog": breaks(
        "sensible-settings",
        "The function is named 'sales.total'",
        Patch("config.yml", "resources: {}\n", "resources:\n  function: [sales.total]\n"),
    ),
    "an index with a path": breaks(
        "sensible-settings",
        "The vector_search_index is named 'docs/pages'",
        Patch("config.yml", "resources: {}\n", "resources:\n  vector_search_index: [docs/pages]\n"),
    ),
    "a number that YAML reads as a text": breaks(
        "sensible-settings",
        "llm_options.min_p is the text '5e-2': .* Write 0.05",
        Patch("config.yml", "llm_options: {}\n", "llm_options: {min_p: 5e-2}\n"),
    ),
    "a key that a file of the package has twice": breaks(
        "sensible-settings",
        "offices.yml has the key 'portland' twice",
        new_file(
            "src/weather_agent/offices.yml",
            "portland: America/New_York\nparis: Europe/Paris\nportland: America/Los_Angeles\n",
        ),
    ),
    "a time that YAML reads as a number": breaks(
        "sensible-settings",
        "stations.yml has 10:30, which is the number 630",
        new_file("src/weather_agent/stations.yml", "zugspitze: 09:00\nbrocken: 10:30\n"),
    ),
    "a table as in SQL": breaks(
        "sensible-settings",
        "The table is named '`main`.`sales`.`orders`', not CATALOG.SCHEMA.TABLE",
        resource_list("table", '"`main`.`sales`.`orders`"'),
    ),
    "a function as in a call": breaks(
        "sensible-settings",
        r"The function is named 'main.sales.total\(\)'",
        resource_list("function", "main.sales.total()"),
    ),
    "a catalog that a variable should set": breaks(
        "sensible-settings",
        r"The table is named '\$\{catalog\}.sales.orders'",
        resource_list("table", '"${catalog}.sales.orders"'),
    ),
    "a model as an endpoint": breaks(
        "sensible-settings",
        "The serving_endpoint is named 'main.search.reranker', not the name of an endpoint",
        resource_list("serving_endpoint", "main.search.reranker"),
    ),
    "a model by its URI": breaks(
        "sensible-settings",
        "model_name is 'models:/main.default.weather_agent'",
        Patch("config.yml", "model_name: main", "model_name: models:/main"),
    ),
    "a registered model without its catalog": breaks(
        "sensible-settings",
        "model_name is 'default.weather_agent'",
        Patch("config.yml", "model_name: main.default", "model_name: default"),
    ),
    "a judge without its provider": breaks(
        "sensible-settings",
        "judge is 'gpt-5-mini', not openai:/MODEL or databricks:/MODEL",
        Patch("config.yml", "judge:\n", "judge: gpt-5-mini\n"),
    ),
    "a service of this machine for the endpoint": breaks(
        "sensible-settings",
        "serving.environment sets PRICES_URL to 'http://localhost:9000/prices'",
        Patch(
            "config.yml",
            "  environment: {}",
            "  environment:\n    PRICES_URL: http://localhost:9000/prices",
        ),
    ),
    "several choices of the LLM": breaks(
        "accepted",
        "The agent sets n itself; remove it",
        Patch("config.yml", "llm_options: {}", "llm_options: {n: 3}"),
    ),
    "a stop sequence that ends each sentence": breaks(
        "sensible-settings",
        "An answer ends before its first '.', because llm_options sets `stop`",
        Patch("config.yml", "llm_options: {}", 'llm_options: {stop: ["."]}'),
    ),
    "an argument of the LLM's client as an option": breaks(
        "accepted",
        "Remove extra_body: it is for OpenAI's Python client",
        Patch("config.yml", "llm_options: {}", "llm_options: {extra_body: {top_k: 5}}"),
    ),
    "an option of the Responses API": breaks(
        "accepted",
        "Unknown parameter: 'max_output_tokens', which is one of the Responses API",
        Patch("config.yml", "llm_options: {}", "llm_options: {max_output_tokens: 800}"),
    ),
    "another LLM for the endpoint": breaks(
        "sensible-settings",
        "serving.environment sets AGENT_LLM to 'openai:/gpt-5-nano'",
        Patch(
            "config.yml",
            "  environment: {}",
            "  environment:\n    AGENT_LLM: openai:/gpt-5-nano",
        ),
    ),
    "a kind of resource listed twice": breaks(
        "accepted",
        "config.yml sets resources.table more than once",
        Patch(
            "config.yml",
            "resources: {}\n",
            "resources:\n  table: [main.sales.orders]\n  table: [main.sales.customers]\n",
        ),
    ),
    "a threshold in milliseconds": breaks(
        "sensible-settings",
        "No answer exceeds the threshold of latency_seconds, 30000",
        Patch("config.yml", "latency_seconds: {p90: 30}", "latency_seconds: {p90: 30000}"),
    ),
    "the threshold of a misspelled scorer": breaks(
        "sensible-settings",
        "latency_second judges nothing, because the scorer is named latency_seconds",
        Patch("config.yml", "latency_seconds: {p90: 30}", "latency_second: {p90: 30}"),
    ),
    "a threshold that every agent passes": breaks(
        "sensible-settings",
        "The threshold of expected_facts is 0, so every agent passes",
        Patch("config.yml", "expected_facts: 0.9", "expected_facts: 0"),
    ),
    "a threshold that no agent passes": breaks(
        "sensible-settings",
        "The threshold of latency_seconds is 0 for p90, so no agent passes",
        Patch("config.yml", "latency_seconds: {p90: 30}", "latency_seconds: {p90: 0}"),
    ),
    "answers of ten tokens": breaks(
        "sensible-settings",
        "max_tokens is 10, not between 16 and 1000000",
        Patch("config.yml", "llm_options: {}", "llm_options: {max_tokens: 10}"),
    ),
    "a growth in percent": breaks(
        "sensible-settings",
        "The threshold of total_tokens allows a growth of 2500%",
        Patch("config.yml", "growth: 0.25", "growth: 25"),
    ),
    "a connection with a catalog": breaks(
        "sensible-settings",
        "The uc_connection is named",
        Patch(
            "config.yml", "resources: {}\n", "resources:\n  uc_connection: [main.default.slack]\n"
        ),
    ),
    "a warehouse by its name": breaks(
        "sensible-settings",
        "The sql_warehouse is named 'Shared Warehouse'",
        Patch("config.yml", "resources: {}\n", "resources:\n  sql_warehouse: [Shared Warehouse]\n"),
    ),
    "an endpoint by its URI": breaks(
        "sensible-settings",
        "The serving_endpoint is named 'databricks:/embedder'",
        Patch(
            "config.yml",
            "resources: {}\n",
            'resources:\n  serving_endpoint: ["databricks:/embedder"]\n',
        ),
    ),
    "a Genie space by its title": breaks(
        "sensible-settings",
        "The genie_space is named 'Sales'",
        Patch("config.yml", "resources: {}\n", "resources:\n  genie_space: [Sales]\n"),
    ),
    "a timeout in milliseconds": breaks(
        "sensible-settings",
        "answer_timeout_seconds is 180000",
        Patch("config.yml", "answer_timeout_seconds: 180\n", "answer_timeout_seconds: 180000\n"),
    ),
    "an LLM that may take longer than the answer": breaks(
        "sensible-settings",
        "llm_timeout_seconds is 600",
        Patch("config.yml", "llm_timeout_seconds: 60\n", "llm_timeout_seconds: 600\n"),
    ),
    "an answer that ends before the LLM": breaks(
        "sensible-settings",
        "llm_timeout_seconds is 60",
        Patch("config.yml", "answer_timeout_seconds: 180\n", "answer_timeout_seconds: 30\n"),
    ),
    "a timeout that no LLM meets": breaks(
        "sensible-settings",
        "llm_timeout_seconds is 0.06",
        Patch("config.yml", "llm_timeout_seconds: 60\n", "llm_timeout_seconds: 0.06\n"),
    ),
    "rounds without a limit": breaks(
        "sensible-settings",
        "max_rounds is 1000000",
        Patch("config.yml", "max_rounds: 8\n", "max_rounds: 1000000\n"),
    ),
    "tool outputs of a few characters": breaks(
        "sensible-settings",
        "tool_max_characters is 10",
        Patch("config.yml", "tool_max_characters: 100000\n", "tool_max_characters: 10\n"),
    ),
    "retries without an end": breaks(
        "sensible-settings",
        "llm_max_retries is 50",
        Patch("config.yml", "llm_max_retries: 1\n", "llm_max_retries: 50\n"),
    ),
    "the LLM of the environment, logged": breaks(
        "sensible-settings",
        "logged with the LLM 'offline:/demo@vllm', not 'offline:/demo'",
        in_log_model(
            'config.model_dump(mode="json")',
            'config.model_dump(mode="json") | {"llm": config.llm_uri()}',
        ),
    ),
    "another LLM, logged": breaks(
        "sensible-settings",
        "logged with the LLM 'openai:/gpt-5-mini'",
        in_log_model(
            'config.model_dump(mode="json")',
            'config.model_dump(mode="json") | {"llm": "openai:/gpt-5-mini"}',
        ),
    ),
}
