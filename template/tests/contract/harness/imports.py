"""Finds the imports of a model's code in its source, including imports in functions."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distributions, packages_distributions
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from mlflow.models import Model

from .project import ENVIRONMENTS
from .rules import NotCheckedError
from .syntax import syntax_tree

# The modules that versions of Python removed; see "Removed" in docs.python.org/3/whatsnew.
REMOVED = {
    (3, 12): ("asynchat", "asyncore", "distutils", "imp", "smtpd"),
    (3, 13): (
        *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap"),
        *("msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau"),
        *("telnetlib", "uu", "xdrlib"),
    ),
}
IMPORTING_FUNCTIONS = ("import_module", "__import__", "lazy_import")


def entry_of(model: Model, model_path: Path) -> Path:
    """Return the file that MLflow loads as the model."""
    name = model.flavors.get("python_function", {}).get("model_code_path")
    if not name:
        raise NotCheckedError("the model contains no source code, see `models-from-code`")
    return model_path / Path(name).name


def source_files(entry: Path, code: Path) -> Iterator[Path]:
    """Yield the entry file and the files in `code` that it imports, directly or indirectly."""
    return iter(dict.fromkeys(file for file, _ in _imports_below(entry, code)))


def foreign_imports(entry: Path, code: Path) -> dict[str, str]:
    """Find the packages that an entry file and the files in `code` import.

    Args:
        entry: The file that MLflow loads as the model.
        code: The folder of the model that MLflow puts first on `sys.path`.

    Returns:
        The packages outside the standard library and `code`, each with the file that imports it.
        Imports that may fail (`except ImportError`, `with suppress(ImportError)`) and imports for
        type checkers (`if TYPE_CHECKING`) are not included.
    """
    local = {path.stem for path in code.iterdir()} if code.is_dir() else set()
    found: dict[str, str] = {}
    for file, name in _imports_below(entry, code):
        top = name.partition(".")[0]
        if top and top not in local and top not in sys.stdlib_module_names:
            spec = _regular_package(name)
            # `from a import b` yields `a` and `a.b`.
            if spec and found.keys().isdisjoint(prefixes(spec.name)):
                found[spec.name] = file.name
    return found


def removed_modules(folder: Path, version: tuple[int, int]) -> dict[str, str]:
    """Return the imported modules that Python lacks since a version or an earlier one.

    Args:
        folder: A folder with packages.
        version: The version of Python, such as `(3, 13)`.

    Returns:
        The modules, each with the file that imports it.
    """
    removed = {name for since, names in REMOVED.items() if since <= version for name in names}
    removed -= {path.stem for path in folder.iterdir()}
    found: dict[str, str] = {}
    for file in folder.rglob("*.py"):
        with suppress(SyntaxError):  # `accepted` reports it
            for name in _imported_names(file, folder):
                top = name.partition(".")[0]
                if top in removed:
                    found[top] = file.name
    return found


def prefixes(name: str) -> list[str]:
    """Return `a`, `a.b` and `a.b.c` for the dotted name `a.b.c`."""
    return list(accumulate(name.split("."), "{}.{}".format))


def distributions_of(package: str) -> list[str]:
    """Return the names of the installed distributions that contain a package."""
    places = [f"\n{package.replace('.', '/')}{end}" for end in "/."]
    found = [name for name, files in _installed_files() if any(one in files for one in places)]
    # The files of an editable installation are not listed.
    return found or list(packages_distributions().get(package, []))


@cache
def _installed_files() -> list[tuple[str, str]]:
    """Return the name of each installed distribution with the list of its files, one per line."""
    return [(one.name, "\n" + (one.read_text("RECORD") or "")) for one in distributions()]


def is_of_repository(name: str, repository: Path) -> bool:
    """Return whether a package is in the repository, and not in its environment."""
    spec = _regular_package(name)
    file = Path(spec.origin or "") if spec else Path()
    return file.is_relative_to(repository) and not any(map(file.is_relative_to, ENVIRONMENTS))


def _regular_package(name: str) -> ModuleSpec | None:
    """Find the shortest part of a dotted name that belongs to one distribution.

    Returns:
        The module, such as `google.auth` for `google.auth.jwt`; None for a namespace package, such
        as `google`. A module that is not installed has the whole name, and no `origin`.
    """
    path: list[str] | None = None
    for part in prefixes(name):
        spec = PathFinder.find_spec(part, path) if path else find_spec(part)
        if spec is None:
            return ModuleSpec(name, None)
        if not _is_namespace(spec.origin):
            return spec
        path = spec.submodule_search_locations
    return None


@cache
def _is_namespace(origin: str | None) -> bool:
    """Return whether several distributions can add modules to the package of a file."""
    if origin is None or not origin.endswith("__init__.py"):
        return origin is None
    # Older namespace packages, such as `databricks`, have a file that only extends their path.
    lines = [ast.unparse(node) for node in syntax_tree(Path(origin)).body]
    return bool(lines) and all(re.search("extend_path|pkgutil|pkg_resources", x) for x in lines)


def _imports_below(entry: Path, code: Path) -> Iterator[tuple[Path, str]]:
    """Yield each import of the entry and of the files it reaches, and `""` once per file."""
    visited: set[Path] = set()
    waiting = [entry]
    while waiting:
        file = waiting.pop()
        if file in visited:
            continue
        visited.add(file)
        yield file, ""
        for name in _imported_names(file, code):
            yield file, name
            waiting += _files_of(name, code)


@cache
def _imported_names(file: Path, code: Path) -> list[str]:
    return list(_imports_in(syntax_tree(file), file, code))


def _imports_in(tree: ast.Module, file: Path, code: Path) -> Iterator[str]:
    blocks = (block for node in ast.walk(tree) for block in _optional(node))
    optional = {node for block in blocks for node in ast.walk(block)}
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
    """Yield the module that `importlib.import_module("name")` imports."""
    match node:
        case ast.Call(ast.Name(called) | ast.Attribute(_, called), [ast.Constant(str(name)), *_]):
            if called in IMPORTING_FUNCTIONS and not name.startswith("."):
                yield name


def _optional(node: ast.AST) -> Sequence[ast.AST]:
    """Return the parts of a statement in which imports are optional."""
    match node:
        case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body):
            return body
        case ast.Try(handlers=guards) | ast.With(items=guards):
            walk = (name for guard in guards for name in ast.walk(guard))
            caught = {name.id for name in walk if isinstance(name, ast.Name)}
            return [node] if caught & {"ImportError", "ModuleNotFoundError"} else []
    return []


def _absolute(node: ast.ImportFrom, file: Path, code: Path) -> str:
    """Return the absolute module name of a `from … import`."""
    if not node.level:
        return node.module or ""
    if not file.is_relative_to(code):
        return ""
    package = file.relative_to(code).parent.parts
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _files_of(name: str, code: Path) -> Iterator[Path]:
    """Yield the files that an import runs; the last part of the name may not be a module."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = code.joinpath(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file
