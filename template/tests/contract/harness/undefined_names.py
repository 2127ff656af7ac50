"""Finds names that a model's code uses but does not define, even in code that no test runs."""

import ast
import builtins
import dis
import re
import symtable
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

from .modules import imported_files


def undefined_names(model: Path) -> list[str]:
    """Describe the global names that functions of a model use, but its modules do not define.

    Args:
        model: The folder of the model.
    """
    return [
        f"{file.name}, line {line}: {undefined!r} is not defined"
        for name, file in imported_files().items()
        if file.is_relative_to(model) and file.suffix == ".py"
        for undefined, line in sorted(_undefined_in(file, set(vars(sys.modules[name]))))
    ]


def _undefined_in(file: Path, names: set[str]) -> set[tuple[str, int]]:
    """Return the names that are not among those of the module, with their lines."""
    with tokenize.open(file) as opened:  # in the encoding that the file declares
        source = opened.read()
    known = names | vars(builtins).keys() | set(re.findall(r"\bglobal (\w+)", source))
    used = set(_global_names(symtable.symtable(source, str(file), "exec")))
    if used <= known:
        return set()
    # The annotations of local variables are never evaluated.
    loaded = {one for one in _loaded_names(compile(source, file, "exec")) if one[0] not in known}
    return loaded - set(_expected_to_be_undefined(ast.parse(source)))


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for inner in table.get_children():
        yield from (one.get_name() for one in inner.get_symbols() if one.is_global())
        yield from _global_names(inner)


def _expected_to_be_undefined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names in blocks that catch NameError, such as `get_ipython`, with their lines."""
    for node in ast.walk(tree):
        caught: list[ast.expr | None] = []
        if isinstance(node, ast.Try | ast.TryStar):
            caught = [handler.type for handler in node.handlers]
        elif isinstance(node, ast.With | ast.AsyncWith):  # `suppress(NameError)`
            caught = [item.context_expr for item in node.items]
        else:
            continue
        if "NameError" in {name for one in caught if one for name, _ in _names_in(one)}:
            yield from (name for statement in node.body for name in _names_in(statement))


def _names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    return ((one.id, one.lineno) for one in ast.walk(tree) if isinstance(one, ast.Name))


def _loaded_names(code: CodeType) -> Iterator[tuple[str, int]]:
    """Yield the global names that functions load, with their lines."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL" and instruction.positions:
            yield instruction.argval, instruction.positions.lineno or 0
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name != "__annotate__":
            yield from _loaded_names(constant)
