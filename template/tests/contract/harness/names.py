"""Resolves names in Python code to what is assigned to them."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from .syntax import syntax_tree

# The module, the classes and the functions around some code, the innermost last.
Scopes = tuple[str, ...]
Value = TypeVar("Value")
# Stands for the unknown part of a string.
UNKNOWN = "…"


class Names:
    """The code of a package, and the values of the names that it assigns once.

    Attributes:
        nodes: The nodes of the syntax trees, each with its scopes; without docstrings.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.nodes: list[tuple[ast.AST, Scopes]] = []
        # The values of names such as `settings.INDEX` and `Agent.client`; None if unknown.
        self._values: dict[str, tuple[ast.AST, Scopes] | None] = {}
        for file in files:
            module = file.parent.name if file.stem == "__init__" else file.stem
            self._read(syntax_tree(file), (module,), {})

    def texts(self, node: ast.AST, scopes: Scopes) -> list[str]:
        """Return the strings that an expression can be or contain, as far as known."""
        match node:
            case ast.Constant(str(text)):
                return [text]
            case ast.List(parts) | ast.Tuple(parts) | ast.Set(parts) | ast.BoolOp(_, parts):
                return [text for part in parts for text in self.texts(part, scopes)]
            case ast.JoinedStr(parts):
                return [self._joined(parts, scopes)]
            case ast.BinOp(left, ast.Add(), right):
                return [self._joined([left, right], scopes)]
            case ast.FormattedValue(value):
                return self.texts(value, scopes)
            case ast.Name() | ast.Attribute():
                return self._follow(self._key(node, scopes), self.texts) or []
        return []

    def path(self, node: ast.AST, scopes: Scopes) -> str:
        """Return an expression such as `openai.OpenAI(KEY).responses`, with variables replaced."""
        match node:
            case ast.Name(name):
                return self._follow(self._key(node, scopes), self.path) or name
            case ast.Attribute(owner, name):
                value = self._follow(self._key(node, scopes), self.path)
                return value or f"{self.path(owner, scopes)}.{name}"
            case ast.Call(function, arguments, keywords):
                values = [*arguments, *(keyword.value for keyword in keywords)]
                texts = (
                    "".join(self.texts(one, scopes)) or self.path(one, scopes) for one in values
                )
                return f"{self.path(function, scopes)}({', '.join(texts)})"
            case ast.Await(value):
                return self.path(value, scopes)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                returns = [one for one in ast.walk(node) if isinstance(one, ast.Return)]
                if len(returns) == 1 and returns[0].value:
                    return self.path(returns[0].value, _inner(node, scopes))
        return ""

    def _joined(self, parts: list[ast.expr], scopes: Scopes) -> str:
        texts = [self.texts(part, scopes) for part in parts]
        return "".join(one[0] if len(one) == 1 else UNKNOWN for one in texts)

    def _key(self, node: ast.Name | ast.Attribute, scopes: Scopes) -> str:
        if isinstance(node, ast.Name):
            keys = (f"{scope}.{node.id}" for scope in reversed(scopes))
            return next((key for key in keys if key in self._values), node.id)
        # The owner is `settings` of `package.settings`, or `Settings` of `Settings(…)`.
        owner = re.search(r"(\w*)(\(.*\))?$", self.path(node.value, scopes), re.DOTALL)
        return f"{owner and owner[1]}.{node.attr}"

    def _follow(self, key: str, read: Callable[[ast.AST, Scopes], Value]) -> Value | None:
        """Read the value of a name. Meanwhile the name has none, because it may refer to itself."""
        if (value := self._values.get(key)) is None:
            return None
        self._values[key] = None
        try:
            return read(*value)
        finally:
            self._values[key] = value

    def _read(self, node: ast.AST, scopes: Scopes, values: dict[ast.AST, ast.AST | None]) -> None:
        """Record the nodes below a node, and what is assigned there."""
        values.update(_assignments(node, scopes))
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Constant() if isinstance(node, (ast.Expr, ast.JoinedStr)):
                    continue  # a docstring, or a part of a string
                case ast.Name(name, ast.Store()) | ast.arg(name):
                    self._assign(f"{scopes[-1]}.{name}", values.get(child), scopes)
                case ast.Attribute(ctx=ast.Store()):
                    self._assign(self._key(child, scopes), values.get(child), scopes)
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                    self._assign(f"{scopes[-1]}.{name}", child, scopes)
                case ast.alias(name, alias):
                    self._assign(f"{scopes[-1]}.{alias or name}", values.get(child), ())
            self.nodes.append((child, scopes))
            self._read(child, _inner(child, scopes), values)

    def _assign(self, key: str, value: ast.AST | None, scopes: Scopes) -> None:
        is_new = key not in self._values
        self._values[key] = (value, scopes) if is_new and value else None


def _inner(node: ast.AST, scopes: Scopes) -> Scopes:
    """Return the scopes of the code below a node."""
    match node:
        case ast.ClassDef(name):
            return (*scopes, name)
        case ast.FunctionDef(lineno=line) | ast.AsyncFunctionDef(lineno=line):
            return (*scopes, f"{scopes[0]}:{line}")
    return scopes


def _assignments(node: ast.AST, scopes: Scopes) -> Iterator[tuple[ast.AST, ast.AST | None]]:
    """Yield each variable, parameter or import of a node with its value."""
    match node:
        case ast.Assign(targets, value):
            yield from ((target, value) for target in targets)
        case (
            ast.AnnAssign(target, _, value)
            | ast.NamedExpr(target, value)
            | ast.withitem(value, ast.AST() as target)
            | ast.For(target, value)
            | ast.comprehension(target, value)
        ):
            yield target, value
        case ast.arguments(positional_only, positional):
            parameters = [*positional_only, *positional]
            if len(scopes) > 2 and scopes[-2].isidentifier():
                yield from ((self, ast.Name(scopes[-2])) for self in parameters[:1])
            yield from zip(reversed(parameters), reversed(node.defaults), strict=False)
            yield from zip(node.kwonlyargs, node.kw_defaults, strict=True)
        case ast.ImportFrom(module, names):
            owner = ast.Name((module or "").rpartition(".")[2])
            yield from ((alias, ast.Attribute(owner, alias.name)) for alias in names)
        case ast.Import(names):
            yield from ((alias, ast.Name(alias.name)) for alias in names if alias.asname)
