"""The `custom_inputs` of two users that an agent accepts."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from .agents import HELLO_MESSAGE, Agent, Request
from .errors import AGENT_ERRORS
from .project import PACKAGE
from .sample_requests import ANSWER, EARLIER_USER, USER_DATA, user
from .syntax import syntax_tree

ANY_USER = "{user}"
METHODS = ("get", "pop", "setdefault")


def request_of(name: str, text: str, custom_inputs: dict[str, Any]) -> Request:
    """Return the request of a user; every value that belongs to the user starts with the name.

    Args:
        name: The name of the user.
        text: The last message of the user.
        custom_inputs: Those of any user, from `accepted_inputs`.
    """
    context = {"user_id": f"{name}-user", "conversation_id": f"{name}-conversation"}
    request = {"input": [HELLO_MESSAGE, ANSWER, user(text)], "context": context}
    inputs = {
        key: value.replace(ANY_USER, name) if isinstance(value, str) else value
        for key, value in custom_inputs.items()
    }
    return request | {"custom_inputs": inputs} if inputs else request


def accepted_inputs(agent: Agent) -> dict[str, Any]:
    """Return the `custom_inputs` of the example, with data of `ANY_USER` that the agent accepts."""
    inputs = agent.example.get("custom_inputs") or {}
    read = keys_of_inputs(Path(str(files(PACKAGE))).glob("*.py"))
    for keys in (USER_DATA, *((key,) for key in read if key not in USER_DATA)):
        more = inputs | {key: f"{ANY_USER}-{key}" for key in keys}
        with suppress(*AGENT_ERRORS):
            agent.predict(request_of(EARLIER_USER, "Hello.", more))
            inputs = more
    return inputs


def keys_of_inputs(modules: Iterable[Path]) -> list[str]:
    """Return the keys of `custom_inputs` that the code of some modules reads."""
    nodes = [node for module in modules for node in ast.walk(syntax_tree(module))]
    names = {"custom_inputs", *_variables(nodes)}
    return list(dict.fromkeys(_keys(nodes, names)))


def _variables(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the variables to which `custom_inputs` are assigned."""
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(name)], value=value)
                | ast.AnnAssign(target=ast.Name(name), value=ast.expr() as value)
                | ast.NamedExpr(target=ast.Name(name), value=value)
            ) if _is_inputs(value, {"custom_inputs"}):
                yield name


def _keys(nodes: list[ast.AST], names: set[str]) -> Iterator[str]:
    """Yield the constant keys of subscripts and methods of the variables."""
    for node in nodes:
        match node:
            case ast.Subscript(value, ast.Constant(str(key))) if _is_inputs(value, names):
                yield key
            case ast.Call(ast.Attribute(value, method), [ast.Constant(str(key)), *_]) if (
                method in METHODS and _is_inputs(value, names)
            ):
                yield key


def _is_inputs(node: ast.expr, names: set[str]) -> bool:
    """Return whether an expression has the value of one of the names, or a copy of it."""
    match node:
        case ast.Name(name) | ast.Attribute(_, name):
            return name in names
        case (
            ast.Subscript(_, ast.Constant("custom_inputs"))
            | ast.Call(ast.Attribute(_, "get"), [ast.Constant("custom_inputs"), *_])
            | ast.Call(ast.Name("getattr"), [_, ast.Constant("custom_inputs"), *_])
        ):
            return True
        case (
            ast.Call(ast.Name("dict"), [value])
            | ast.Dict([None], [value])
            | ast.BoolOp(ast.Or(), [value, *_])
            | ast.IfExp(body=value)
        ):
            return _is_inputs(value, names)
    return False
