"""What a model's code imports, found in its source, so that lazy imports count too."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from mlflow.models import Model

from .rules import NoModelError
from .syntax import syntax_tree

IMPORTING_FUNCTIONS = ("import_module", "__import__", "lazy_import")


def entry_of(model: Model, model_path: Path) -> Path:
    """The file that MLflow loads as the model."""
    name = model.flavors.get("python_function", {}).get("model_code_path")
    if not name:
        raise NoModelError("The model has no source; the rule `models-from-code` says why.")
    return model_path / Path(name).name


def source_files(entry: Path, code: Path) -> Iterator[Path]:
    """The files that an entry file is made of: itself, and those below `code` that it imports."""
    return iter(dict.fromkeys(file for file, _ in _imports_below(entry, code)))


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
    for file, name in _imports_below(entry, code):
        top = name.partition(".")[0]
        if top and top not in local and top not in sys.stdlib_module_names:
            found.setdefault(top, file.name)
    return found


def is_of_repository(name: str, repository: Path) -> bool:
    """Whether a top-level module stands in the repository and not in its environment."""
    spec = find_spec(name)
    places = [spec.origin or "", *(spec.submodule_search_locations or [])] if spec else []
    return any(
        Path(place).is_relative_to(repository) and not Path(place).is_relative_to(sys.prefix)
        for place in places
        if place
    )


def _imports_below(entry: Path, code: Path) -> Iterator[tuple[Path, str]]:
    """Each import of the entry and of the code it reaches, and an empty one for each file."""
    seen: set[Path] = set()
    waiting = [entry]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        yield file, ""
        for name in _imported_names(file, code):
            yield file, name
            waiting += _files_of(name, code)


def _imported_names(file: Path, code: Path) -> Iterator[str]:
    tree = syntax_tree(file)
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
        elif isinstance(node, ast.Call):
            yield from _imported_by_call(node)


def _imported_by_call(node: ast.Call) -> Iterator[str]:
    """What `importlib.import_module("name")` imports, if the name stands there."""
    function = ast.unparse(node.func).rpartition(".")[2]
    if function in IMPORTING_FUNCTIONS and node.args and isinstance(node.args[0], ast.Constant):
        name = node.args[0].value
        if isinstance(name, str) and not name.startswith("."):
            yield name


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
    if not file.is_relative_to(code):
        return ""
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
