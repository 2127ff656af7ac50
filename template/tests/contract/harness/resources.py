"""Which resources of Databricks an agent names, in its settings or in its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .syntax import syntax_tree

Resource = tuple[str, str]  # kind and name, as MLflow writes them

# Keys of settings, and arguments of calls, whose value is the name of a resource.
KINDS = {
    "serving_endpoint": r"(llm_|serving_|model_|embedding_)?endpoint(_name)?s?",
    "vector_search_index": r"(vector_search_)?index(_name)?s?",
    "function": r"(uc_)?function_names?|uc_functions?",
    "sql_warehouse": r"(sql_)?warehouse(_id)?s?",
    "genie_space": r"(genie_)?space_ids?|genie_spaces?",
    "table": r"tables?|table_names?",
    "uc_connection": r"(uc_)?connection_name",
}
# The foundation models that every workspace serves.
FOUNDATION_MODEL = re.compile(
    r"databricks-(bge|claude|dbrx|deepseek|gemini|gemma|gpt|gte|llama|meta|mistral|mixtral|qwen)\S*"
)
NAME = re.compile(r"[\w.-]*\w")
THREE_LEVELS = re.compile(r"\w+\.\w+\.\w+")
TABLE_IN_SQL = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+`?(\w+\.\w+\.\w+)\b")
CATALOGUED = {"vector_search_index", "function", "table"}


def resources_in_settings(settings: dict[str, Any]) -> set[Resource]:
    """The resources that settings name: under `resources`, by their keys, or as a model."""
    listed = settings.get("resources") or {}
    named = {(kind, name) for kind, names in listed.items() for name in names}
    for key, value in _leaves(settings):
        named.update(_named(key, value))
    return named


def resources_in_source(file: Path) -> set[Resource]:
    """The resources that a file of Python names: in arguments, in constants, or as a model."""
    tree = syntax_tree(file)
    constants: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = node.value
    named: set[Resource] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            value = node.value
            if isinstance(value, ast.Name):
                value = constants.get(value.id, value)
            for text in _texts(value):
                named.update(_named(node.arg, text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.update(_models(node.value))
            named.update(("table", name) for name in TABLE_IN_SQL.findall(node.value))
    return named


def _named(key: str, value: str) -> Iterator[Resource]:
    """What a key with its value names."""
    yield from _models(value)
    for kind, keys in KINDS.items():
        whole = kind not in CATALOGUED or THREE_LEVELS.fullmatch(value)
        if re.fullmatch(keys, key.casefold()) and whole and NAME.fullmatch(value):
            yield kind, value


def _models(value: str) -> Iterator[Resource]:
    """The endpoint of a model that a text consists of."""
    endpoint = value.removeprefix("databricks:/")
    if FOUNDATION_MODEL.fullmatch(value) or (endpoint != value and NAME.fullmatch(endpoint)):
        yield "serving_endpoint", endpoint


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text of nested settings with the key it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    elif isinstance(value, str):
        yield key, value


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression is or lists."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, (ast.List, ast.Tuple)):
        for element in node.elts:
            yield from _texts(element)
