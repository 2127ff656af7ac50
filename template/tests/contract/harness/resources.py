"""Finds the Databricks resources that an agent uses, in its settings and its source."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .names import UNKNOWN, Names
from .syntax import syntax_tree

Resource = tuple[str, str]  # kind and name, as in `resources` of config.yml

# Settings and arguments whose value is the name of a resource.
KEYS = {
    "serving_endpoint": r"(llm_|serving_|model_|embedding_)?endpoint(_name)?s?",
    "vector_search_index": r"(vector_search_)?index(_name)?s?",
    "function": r"(uc_)?function_names?|uc_functions?",
    "sql_warehouse": r"(sql_)?warehouse(_id)?s?",
    "genie_space": r"(genie_)?space_ids?|genie_spaces?",
    "table": r"tables?|table_names?",
    "uc_connection": r"(uc_)?connection_name",
    "lakebase": r"(lakebase|database)_instance(_name)?s?",
}
# Arguments with these names may be for other services, so only the calls below count.
AMBIGUOUS = re.compile(r"endpoint(_name)?s?|warehouses?|space_ids?|connection_name")
# Calls, each with the kind of an argument, its name and its position.
OPENAI_CLIENT_PATH = r"\w*(get_open_ai_client|DatabricksOpenAI|OpenAI\(.*/serving-endpoints).*"
OPENAI_CALL = rf"{OPENAI_CLIENT_PATH}\.(completions|responses|embeddings)\.(create|parse|stream)"
CALLS = (
    (r"serving_endpoints\.query", "serving_endpoint", "name", 0),
    (r"get_langchain_chat_open_ai_client", "serving_endpoint", "model", 0),
    (OPENAI_CALL, "serving_endpoint", "model", None),
    (OPENAI_CALL, "app", "model", None),
    (r"ChatDatabricks|DatabricksEmbeddings", "serving_endpoint", "model|endpoint", None),
    (r"get_deploy_client\(databricks\)\.predict\w*", "serving_endpoint", "endpoint", None),
    (r"serving_endpoints\.http_request", "uc_connection", "conn|connection_name", 0),
    (r"http_request", "uc_connection", "conn", None),
    (r"genie\.(start_conversation|create_message|get_space)\w*", "genie_space", "space_id", 0),
    (r"Genie|GenieAgent", "genie_space", "(genie_)?space_id", 0),
    (r"vector_search_indexes\.\w+", "vector_search_index", "index_name", 0),
    (r"VectorSearchRetrieverTool", "vector_search_index", "index_name", 0),
    (r"DatabricksVectorSearch", "vector_search_index", "index_name", 0),
    (r"get_index", "vector_search_index", "index_name", 1),
    (r"execute_function(_async)?", "function", "function_name", 0),
    (r"UCFunctionToolkit", "function", "function_names", 0),
    (r"statement_execution\.execute_statement", "sql_warehouse", "warehouse_id", 1),
    (r"\w*([sS]park|DatabricksSession).*\.table", "table", "tableName", 0),
    (r"generate_database_credential", "lakebase", "instance_names", None),
    (r"get_database_instance", "lakebase", "name", 0),
    (r"\w*(CheckpointSaver|DatabricksStore)", "lakebase", "instance_name", None),
    (r"\w*(Lakebase\w+|AsyncDatabricksSession)", "lakebase", "instance_name", None),
)
NAME = r"([\w.-]*\w)"
THREE_LEVELS = r"([\w-]+\.[\w-]+\.[\w-]+)"
# The names of these kinds. Resources with two levels are ignored, as their catalog is not known.
FORMS = {
    "vector_search_index": THREE_LEVELS,
    "function": r"([\w-]+\.[\w-]+\.(?:[\w-]+|\*))",
    "table": THREE_LEVELS,
    "app": r"apps/([\w-]+)",
}
# The foundation models of every workspace.
FOUNDATION_MODEL = re.compile(
    r"databricks-(bge|claude|dbrx|deepseek|gemini|gemma|gpt|gte|llama|meta|mistral|mixtral|qwen)\S*"
)
# Resources in URLs and SQL. The URL of an MCP server may name a schema instead of its functions.
MCP = r"/api/2\.0/mcp"
TEXTS = (
    ("serving_endpoint", r"/serving-endpoints/([\w.-]+)/invocations"),
    ("serving_endpoint", r"\bai_query\(\s*(?:endpoint\s*=>\s*)?['\"]([\w.-]+)['\"]"),
    ("function", rf"{MCP}/functions/([\w-]+)/([\w-]+)(?:/([\w-]+))?"),
    ("vector_search_index", rf"{MCP}/vector-search/([\w-]+)/([\w-]+)(?:/([\w-]+))?"),
    ("vector_search_index", rf"\bvector_search\(\s*index\s*=>\s*['\"]{THREE_LEVELS}"),
    ("genie_space", rf"{MCP}/genie/([\w-]+)"),
    ("uc_connection", rf"{MCP}/external/([\w-]+)"),
    ("uc_connection", r"\bhttp_request\(\s*conn\s*=>\s*['\"]([\w.-]+)"),
    ("sql_warehouse", r"/sql/1\.0/(?:warehouses|endpoints)/(\w+)"),
    ("table", rf"\b(?-i:FROM|JOIN|INTO|UPDATE)\s+{THREE_LEVELS}"),
)
USER_CREDENTIALS = re.compile("ModelServingUserCredentials|MODEL_SERVING_USER_CREDENTIALS")


def resources_in_settings(settings: dict[str, Any]) -> set[Resource]:
    """Return the resources in settings: under `resources`, by their keys, or in their texts."""
    listed = settings.get("resources") or {}
    named = {(kind, name) for kind, names in listed.items() for name in names}
    for key, value in _leaves(settings):
        named.update(_mentioned(value))
        named.update(_named(key, value))
    return named


def resources_in_source(files: Iterable[Path]) -> set[Resource]:
    """Return the resources in Python files: in arguments of calls, and in texts."""
    names = Names(files)
    named: set[Resource] = set()
    for node, scopes in names.nodes:
        for text in names.texts(node, scopes):
            named.update(_mentioned(text))
        # The user, not the agent, needs access to what is called with the user's credentials.
        if isinstance(node, ast.Call) and not USER_CREDENTIALS.search(names.path(node, scopes)):
            path = names.path(node.func, scopes)
            for position, key, value in _arguments(node):
                for text in names.texts(value, scopes):
                    named.update(_passed(path, position, key, text))
    return named


def uses_user_credentials(file: Path) -> bool:
    """Return whether a Python file uses the credentials of the user who calls the agent."""
    return any(
        USER_CREDENTIALS.fullmatch(str(getattr(node, field, "")))
        for node in ast.walk(syntax_tree(file))
        for field in ("id", "attr", "name")
    )


def _arguments(call: ast.Call) -> Iterator[tuple[int | None, str, ast.expr]]:
    """Yield each argument of a call with its position or its name."""
    yield from ((position, "", value) for position, value in enumerate(call.args))
    yield from ((None, keyword.arg or "", keyword.value) for keyword in call.keywords)


def _passed(path: str, position: int | None, key: str, value: str) -> Iterator[Resource]:
    """Yield the resources that an argument of a call names."""
    calls = [call for call in CALLS if re.fullmatch(rf"(.*\.)?({call[0]})", path, re.DOTALL)]
    for _, kind, names, expected_position in calls:
        if re.fullmatch(names, key) or (position is not None and position == expected_position):
            yield from _of_kind(kind, value)
    if not calls and not AMBIGUOUS.fullmatch(key):
        yield from _named(key, value)


def _named(key: str, value: str) -> Iterator[Resource]:
    """Yield the resources that a setting or an argument names."""
    for kind, keys in KEYS.items():
        if re.fullmatch(keys, key.casefold()):
            yield from _of_kind(kind, value)


def _of_kind(kind: str, value: str) -> Iterator[Resource]:
    if found := re.fullmatch(FORMS.get(kind, NAME), value):
        yield kind, found[1]


def _mentioned(text: str) -> Iterator[Resource]:
    """Yield the endpoint if the text is a model, and the resources in it if it is a URL or SQL."""
    endpoint = text.removeprefix("databricks:/")
    if FOUNDATION_MODEL.fullmatch(text) or (endpoint != text and re.fullmatch(NAME, endpoint)):
        yield "serving_endpoint", endpoint
    for kind, pattern in TEXTS:
        # A name that continues with something unknown is incomplete.
        for found in re.finditer(rf"(?i:{pattern})(?![\w{UNKNOWN}-])", text.replace("`", "")):
            yield kind, ".".join(part or "*" for part in found.groups())


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each string of nested settings with its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    elif isinstance(value, str):
        yield key, value
