"""What a model's code imports, found in its source, so that lazy imports count too."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def foreign_imports(entry: Path, code: Path) -> dict[str, str]:
    """Find the packages that an entry file needs, itself or through the code beside it.

    Args:
        entry: The file that MLflow loads as the model.
        code: The folder of the model that goes before everything else on `sys.path`.

    Returns:
        The top-level names that are neither Python's own nor below `code`, each with the file
        that imports it. An import that may fail (inside `try` with `except ImportError`) is left
        out.
    """
    local = {path.stem for path in code.iterdir()} if code.is_dir() else set()
    found: dict[str, str] = {}
    seen: set[Path] = set()
    waiting = [entry]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in _imported_names(file, code):
            top = name.partition(".")[0]
            if top in local:
                waiting += _files_of(name, code)
            elif top not in sys.stdlib_module_names:
                found.setdefault(top, file.name)
    return found


def _imported_names(file: Path, code: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    optional = {node for guard in ast.walk(tree) if _may_fail(guard) for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if node in optional:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, file, code)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _may_fail(node: ast.AST) -> bool:
    if not isinstance(node, ast.Try):
        return False
    walked = (name for handler in node.handlers for name in ast.walk(handler))
    caught = {name.id for name in walked if isinstance(name, ast.Name)}
    return bool(caught & {"ImportError", "ModuleNotFoundError"})


def _absolute(node: ast.ImportFrom, file: Path, code: Path) -> str:
    """The full name of the module that a `from … import` names."""
    if not node.level:
        return node.module or ""
    package = file.relative_to(code).parent.parts
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _files_of(name: str, code: Path) -> Iterator[Path]:
    """The files that an import of a dotted name runs; its last part may be no module."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = code.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file
