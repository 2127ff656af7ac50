"""Finds names that a model's code uses but does not define, even in code that no test runs."""

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
    return {one for one in _loaded_names(compile(source, file, "exec")) if one[0] not in known}


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    for inner in table.get_children():
        yield from (one.get_name() for one in inner.get_symbols() if one.is_global())
        yield from _global_names(inner)


def _loaded_names(code: CodeType) -> Iterator[tuple[str, int]]:
    """Yield the global names that functions load, with their lines."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_GLOBAL" and instruction.positions:
            yield instruction.argval, instruction.positions.lineno or 0
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name != "__annotate__":
            yield from _loaded_names(constant)
