"""The layers of a generated package: the names in its root, and the imports between its folders."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Render

OWNED = {"agent.py", "tools.py", "config.yml", "instructions.md", "input_example.json"}
# The lowest layer first: a module imports from its own layer and those before it.
LAYERS = ("runtime", "agent", "ops", "server", "commands")
# Modules in the root are a layer, too.
ROOT_MODULES = {"agent": "agent", "tools": "agent"}


@pytest.fixture(params=["offline:/demo", "openai:/gpt-5-mini", "databricks:/an-endpoint"])
def package(request: pytest.FixtureRequest, render: Render) -> Path:
    """The folder of a rendered package."""
    return render(llm=request.param) / "src" / "weather_agent"


def layer_of(module: str) -> str | None:
    """Return the layer of a module, such as `runtime`; None for the package itself."""
    name = (*module.split("."), "")[1]
    return name if name in LAYERS else ROOT_MODULES.get(name)


def module_name(file: Path, package: Path) -> str:
    """Return the full name of a file's module, such as `weather_agent.runtime.__init__`."""
    return ".".join(file.relative_to(package.parent).with_suffix("").parts)


def imported_modules(file: Path, package: Path) -> Iterator[str]:
    """Yield the full names of what a file imports from its package, in functions, too."""
    parts = module_name(file, package).split(".")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parts[: -node.level] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == package.name)


def upward_imports(package: Path) -> list[str]:
    """Return each import of a higher layer, as "module imports module"."""
    found = []
    for file in sorted(package.rglob("*.py")):
        module = module_name(file, package)
        layer = layer_of(module)
        allowed = LAYERS[: LAYERS.index(layer) + 1] if layer else ()
        found += [
            f"{module} imports {name}"
            for name in imported_modules(file, package)
            if (imported := layer_of(name)) and imported not in allowed
        ]
    return found


def test_the_root_of_the_package_holds_only_the_owners_files(package: Path) -> None:
    names = {path.name for path in package.iterdir() if path.name != "__pycache__"}
    folders = set(LAYERS) - {"agent"}
    assert names == OWNED | folders | {"__init__.py"}


def test_imports_go_down(package: Path) -> None:
    assert upward_imports(package) == []


def test_every_module_belongs_to_a_layer(package: Path) -> None:
    modules = [module_name(file, package) for file in package.rglob("*.py")]
    assert [name for name in modules if layer_of(name) is None] == ["weather_agent.__init__"]


@pytest.mark.parametrize(
    ("file", "statement", "imported"),
    [
        ("runtime/base.py", "from ..ops import store", "ops.store"),
        ("runtime/base.py", "from .. import agent", "agent"),
        ("runtime/llm/client.py", "from ...tools import TOOLS", "tools.TOOLS"),
        ("runtime/llm/__init__.py", "def f():\n    from ...server import app", "server.app"),
        ("agent.py", "import weather_agent.server.app", "server.app"),
        ("tools.py", "from .ops.store import connect", "ops.store.connect"),
        ("ops/store.py", "from weather_agent.commands.cli import main", "commands.cli.main"),
        ("server/app.py", "from ..commands import cli", "commands.cli"),
        ("__init__.py", "from .agent import AGENT", "agent.AGENT"),
    ],
)
def test_an_upward_import_is_reported(
    file: str, statement: str, imported: str, tmp_path: Path
) -> None:
    package = tmp_path / "weather_agent"
    path = package / file
    path.parent.mkdir(parents=True)
    path.write_text(statement, encoding="utf-8")
    importer = module_name(path, package)
    assert upward_imports(package) == [f"{importer} imports weather_agent.{imported}"]


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("commands/cli.py", "from ..server import serve\nfrom . import ask"),
        ("server/app.py", "from ..ops.store import connect\nfrom ..agent import AGENT"),
        ("ops/log_model.py", "from ..agent import AGENT\nfrom ..runtime import config"),
        ("agent.py", "from .tools import TOOLS\nfrom .runtime import base"),
        ("runtime/llm/client.py", "import httpx\nfrom . import tracing\nfrom .. import config"),
    ],
)
def test_a_downward_import_is_allowed(file: str, statement: str, tmp_path: Path) -> None:
    path = tmp_path / "weather_agent" / file
    path.parent.mkdir(parents=True)
    path.write_text(statement, encoding="utf-8")
    assert upward_imports(tmp_path / "weather_agent") == []
