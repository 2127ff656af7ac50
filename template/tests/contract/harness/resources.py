"""Finds the Databricks resources that an agent uses, in its settings and its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.models.resources import ResourceType

from .syntax import syntax_tree

Resource = tuple[str, str]  # type and name

# Settings and arguments whose value is the name of a resource.
KEYS = {
    ResourceType.SERVING_ENDPOINT.value: r"(llm_|serving_|model_|embedding_)?endpoint(_name)?s?",
    ResourceType.VECTOR_SEARCH_INDEX.value: r"(vector_search_)?index(_name)?s?",
    ResourceType.FUNCTION.value: r"(uc_)?function_names?|uc_functions?",
    ResourceType.SQL_WAREHOUSE.value: r"(sql_)?warehouse(_id)?s?",
    ResourceType.GENIE_SPACE.value: r"(genie_)?space_ids?|genie_spaces?",
    ResourceType.TABLE.value: r"tables?|table_names?",
    ResourceType.UC_CONNECTION.value: r"(uc_)?connection_name",
}
# The parameters of methods that get such names by position, the most specific method first.
PARAMETERS = {
    "serving_endpoints.query": ("endpoint",),
    "genie.start_conversation": ("space_id",),
    "genie.start_conversation_and_wait": ("space_id",),
    "vector_search_indexes.query_index": ("index_name",),
    "vector_search_indexes.get_index": ("index_name",),
    ".get_index": ("", "index_name"),
    ".execute_function": ("function_name",),
    "statement_execution.execute_statement": ("", "warehouse_id"),
}
# The foundation models of every workspace.
FOUNDATION_MODEL = re.compile(
    r"databricks-(bge|claude|dbrx|deepseek|gemini|gemma|gpt|gte|llama|meta|mistral|mixtral|qwen)\S*"
)
NAME = re.compile(r"[\w.-]*\w")
THREE_LEVELS = re.compile(r"\w+\.\w+\.\w+")
TABLE_IN_SQL = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+`?(\w+\.\w+\.\w+)\b")
IN_CATALOG = ("vector_search_index", "function", "table")


def resources_in_settings(settings: dict[str, Any]) -> set[Resource]:
    """Return the resources in settings: under `resources`, by their keys, or as a model."""
    listed = settings.get("resources") or {}
    named = {(kind, name) for kind, names in listed.items() for name in names}
    for key, value in _leaves(settings):
        named.update(_named(key, value))
    return named


def resources_in_source(file: Path) -> set[Resource]:
    """Return the resources in a Python file: in arguments, in SQL, or as a model."""
    tree = syntax_tree(file)
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = node.value
    named: set[Resource] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for key, value in _arguments(node):
                if isinstance(value, ast.Name):
                    value = constants.get(value.id, value)
                for text in _texts(value):
                    named.update(_named(key, text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.update(_models(node.value))
            named.update(("table", name) for name in TABLE_IN_SQL.findall(node.value))
    return named


def _arguments(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield the arguments of a call with the names of their parameters, as far as known."""
    path = ast.unparse(call.func) if isinstance(call.func, ast.Attribute) else ""
    names = next((PARAMETERS[end] for end in PARAMETERS if path.endswith(end)), ())
    yield from zip(names, call.args, strict=False)
    for keyword in call.keywords:
        is_first = keyword.arg == "name" and names
        yield names[0] if is_first else keyword.arg or "", keyword.value


def _named(key: str, value: str) -> Iterator[Resource]:
    """Yield the resources that a setting or an argument names."""
    yield from _models(value)
    for kind, keys in KEYS.items():
        matches = kind not in IN_CATALOG or THREE_LEVELS.fullmatch(value)
        if re.fullmatch(keys, key.casefold()) and matches and NAME.fullmatch(value):
            yield kind, value


def _models(value: str) -> Iterator[Resource]:
    """Yield the endpoint of a model, if the text is its name or URI."""
    endpoint = value.removeprefix("databricks:/")
    if FOUNDATION_MODEL.fullmatch(value) or (endpoint != value and NAME.fullmatch(endpoint)):
        yield "serving_endpoint", endpoint


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


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the strings of a literal string, list or tuple."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, (ast.List, ast.Tuple)):
        for element in node.elts:
            yield from _texts(element)
