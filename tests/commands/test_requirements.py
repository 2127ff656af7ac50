"""The requirements of the logged model: a server can install them from the same indexes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import yaml

from tests.conftest import Package
from tests.helpers.package_index import CREDENTIALS, package_indexes

PYPI = "https://pypi.org/simple"
MIRROR = "https://mirror.example.com/simple"
ACME = "https://acme.example.com/simple"
PINS = ["acme-forecast==1.0", "acme-prices==2.0+cpu"]

BUILD = '[build-system]\nrequires = ["hatchling>=1.26"]\nbuild-backend = "hatchling.build"\n'
CODE = """
import mlflow


class Greeter(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return model_input


mlflow.models.set_model(Greeter())
"""


@pytest.fixture(scope="session")
def indexes() -> Iterator[str]:
    """The address of a server with package indexes."""
    with package_indexes() as address:
        yield address


@pytest.fixture
def root(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository of the agent."""
    folder = tmp_path / "agents" / "agent"
    folder.mkdir(parents=True)
    monkeypatch.setattr(package("ops.requirements"), "ROOT", folder)
    return folder


def write(file: Path, text: str) -> None:
    """Write a file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def lock(folder: Path, dependencies: str, settings: str = "") -> None:
    """Write a project with dependencies, and lock it."""
    write(folder / "pyproject.toml", project("agent", f"dependencies = {dependencies}", settings))
    subprocess.run(["uv", "lock", "--quiet", f"--project={folder}"], check=True)


def project(name: str, more: str = "", settings: str = "") -> str:
    """Return the content of a pyproject.toml."""
    basics = f'name = "{name}"\nversion = "0.1"\nrequires-python = ">=3.11"\n'
    return f"[project]\n{basics}{more}\n{settings}"


def index(name: str, url: str, more: str = "") -> str:
    """Return the settings of an index."""
    return f'\n[[tool.uv.index]]\nname = "{name}"\nurl = "{url}"\n{more}\n'


@pytest.fixture
def private(indexes: str, root: Path) -> str:
    """A project with packages from PyPI and two other indexes; the address of the latter."""
    sources = '[tool.uv.sources]\nacme-prices = { index = "private" }\n'
    private = index("private", f"http://{CREDENTIALS}@{indexes}/private/simple", "explicit = true")
    unused = index("unused", f"http://{indexes}/default/simple")
    settings = index("public", f"http://{indexes}/public/simple") + private + unused + sources
    lock(root, '["acme-forecast", "acme-prices", "six==1.17.0"]', settings)
    return indexes


def test_indexes_precede_the_pins_without_credentials(package: Package, private: str) -> None:
    lines = package("ops.requirements").locked_requirements()
    assert lines == [
        f"--extra-index-url http://{private}/public/simple",
        f"--extra-index-url http://{private}/private/simple",
        *PINS,
        "six==1.17.0",
    ]


def test_mlflow_keeps_the_indexes(
    package: Package, private: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_UV_AUTO_DETECT", "false")
    requirements = package("ops.requirements").locked_requirements()
    code, model = tmp_path / "model.py", tmp_path / "model"
    write(code, CODE)
    mlflow.pyfunc.save_model(model, python_model=code, pip_requirements=requirements)
    lines = (model / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("mlflow")] == requirements
    pip = yaml.safe_load((model / "conda.yaml").read_text(encoding="utf-8"))["dependencies"][-1]
    assert pip == {"pip": lines}


@pytest.mark.parametrize(
    "installer",
    [
        ("PYTHON", "-m", "pip", "install", "--quiet"),
        ("uv", "pip", "install", "--quiet", "--python=PYTHON"),
    ],
    ids=["pip", "uv"],
)
def test_a_server_installs_private_packages(
    package: Package, private: str, tmp_path: Path, installer: tuple[str, ...]
) -> None:
    """The server has a default index of its own, and credentials in its `.netrc`."""
    lines = package("ops.requirements").locked_requirements()
    kept = [line for line in lines if not line.startswith("six")]
    write(tmp_path / "requirements.txt", "\n".join(kept))
    write(tmp_path / "netrc", "machine 127.0.0.1 login agent password sesame\n")
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--seed", venv], check=True)
    python = str(venv / "bin" / "python")
    default = f"http://{private}/default/simple"
    variables = {"PIP_INDEX_URL": default, "UV_DEFAULT_INDEX": default}
    subprocess.run(
        # UV_PYTHON selects an environment, too; the option overrides it.
        [*(part.replace("PYTHON", python) for part in installer), "-r", "requirements.txt"],
        cwd=tmp_path,
        env=os.environ | variables | {"NETRC": str(tmp_path / "netrc")},
        check=True,
    )
    installed = {path.name for path in venv.glob("lib/*/site-packages/acme_*.py")}
    assert installed == {"acme_forecast.py", "acme_prices.py"}


@pytest.mark.parametrize(
    ("declared", "locked", "options"),
    [
        ("", [PYPI, PYPI], []),
        ("", [MIRROR, MIRROR], []),
        (index("acme", ACME), [ACME, PYPI], [f"--extra-index-url {ACME}"]),
        (index("acme", ACME), [ACME, MIRROR, MIRROR], [f"--extra-index-url {ACME}"]),
        (index("acme", ACME, "default = true"), [ACME], [f"--index-url {ACME}"]),
        (f'[tool.uv]\nindex-url = "{ACME}/"\n', [ACME], [f"--index-url {ACME}"]),
        (
            index("acme", ACME) + index("mirror", MIRROR, "default = true"),
            [ACME, MIRROR, MIRROR],
            [f"--extra-index-url {ACME}", f"--index-url {MIRROR}"],
        ),
        (
            index("mirror", MIRROR) + index("acme", ACME),
            [ACME, ACME, MIRROR, PYPI],
            [f"--extra-index-url {MIRROR}", f"--extra-index-url {ACME}"],
        ),
        (
            index("acme", ACME.replace("//", "//me:sesame@"), 'format = "flat"'),
            [ACME, ACME, PYPI],
            [f"--find-links {ACME}"],
        ),
        (f'[tool.uv]\nfind-links = ["{ACME}"]\n', [ACME, MIRROR], [f"--find-links {ACME}"]),
    ],
)
@pytest.mark.parametrize("file", ["agents/agent/pyproject.toml", "pyproject.toml", "uv.toml"])
def test_only_declared_indexes_are_logged(
    package: Package, root: Path, file: str, declared: str, locked: list[str], options: list[str]
) -> None:
    workspace = root.parents[1]
    write(workspace / file, declared)
    write(workspace / "uv.lock", locked_packages(*locked))
    pins = [f"package-{number}==1" for number in range(len(locked))]
    assert list(package("ops.requirements").index_options(pins)) == options


@pytest.mark.parametrize(
    ("locked", "message"),
    [
        ([ACME, PYPI], f"takes package-0 from {ACME}, .* `uv add --index {ACME} package-0`"),
        ([ACME, MIRROR, MIRROR], f"takes package-0 from {ACME}, which pyproject.toml does not"),
        (["wheels", PYPI], "contains 'wheels', which exists only on this machine"),
        (["file:///wheels"], "contains 'file:///wheels', which exists only on this machine"),
    ],
)
def test_indexes_that_a_server_cannot_use_are_refused(
    package: Package, root: Path, locked: list[str], message: str
) -> None:
    write(root / "uv.lock", locked_packages(*locked))
    pins = [f"package-{number}==1" for number in range(len(locked))]
    module = package("ops.requirements")
    with pytest.raises(package("ops.project").ProjectError, match=message):
        list(module.index_options(pins))


@pytest.mark.parametrize(
    "source",
    [
        'path = "../../lib"',
        'path = "../../lib", editable = true',
        'git = "file://LIB"',
        "workspace = true",
    ],
)
def test_local_packages_are_refused(package: Package, root: Path, source: str) -> None:
    lib = root.parents[1] / "lib"
    write(lib / "pyproject.toml", project("lib", BUILD))
    write(lib / "lib.py", "")
    if "git" in source:
        for command in ("init --quiet", "add --all", "commit --quiet -m Lib"):
            subprocess.run(["git", *command.split()], cwd=lib, check=True)
    if "workspace" in source:
        write(lib.parent / "pyproject.toml", '[tool.uv.workspace]\nmembers = ["agents/*", "lib"]\n')
    lock(root, '["lib"]', f"[tool.uv.sources]\nlib = {{ {source.replace('LIB', str(lib))} }}\n")
    with pytest.raises(package("ops.project").ProjectError, match="exists only on this machine"):
        package("ops.requirements").locked_requirements()


@pytest.mark.parametrize(
    ("dependencies", "settings", "message"),
    [
        (
            '["six==1.17.0"]',
            '[project.optional-dependencies]\na = ["idna==3.9"]\nb = ["idna==3.10"]\n'
            '[tool.uv]\nconflicts = [[{ extra = "a" }, { extra = "b" }]]\n',
            "Replace those that it does not need by groups",
        ),
        (
            '["six==1.17.0"]',
            "[tool.uv]\nenvironments = [\"sys_platform == 'win32'\"]\n",
            "no packages for Linux",
        ),
    ],
)
def test_locks_without_a_model_are_refused(
    package: Package, root: Path, dependencies: str, settings: str, message: str
) -> None:
    lock(root, dependencies, settings)
    with pytest.raises(package("ops.project").ProjectError, match=message):
        package("ops.requirements").locked_requirements()


def test_local_packages_of_other_systems_are_left_out(package: Package, root: Path) -> None:
    write(root / "lib" / "pyproject.toml", project("lib", BUILD))
    source = '[tool.uv.sources]\nlib = { path = "lib" }\n'
    lock(root, '["lib; sys_platform == \'win32\'", "six==1.17.0"]', source)
    assert package("ops.requirements").locked_requirements() == ["six==1.17.0"]


def test_markers_describe_the_server(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    pins = {"arm64": "six==1.0", "x86_64": "six==2.0"}
    lines = [f"{pin}; platform_machine == '{machine}'" for machine, pin in pins.items()]
    assert list(package("ops.requirements").for_server(lines)) == [pins["x86_64"]]


def test_a_lock_file_outside_of_the_project_is_ignored(package: Package, root: Path) -> None:
    write(root / "pyproject.toml", index("acme", ACME))
    write(root / "uv.lock", locked_packages(ACME, PYPI))
    write(root.parent / "uv.lock", locked_packages(MIRROR, MIRROR))
    pins = ["package-0==1", "package-1==1"]
    options = package("ops.requirements").index_options(pins)
    assert list(options) == [f"--extra-index-url {ACME}"]


def locked_packages(*indexes: str) -> str:
    """Return the content of a lock file with a package from each index."""
    entry = '[[package]]\nname = "package-{}"\nversion = "1"\nsource = {{ registry = "{}" }}\n'
    return "".join(entry.format(number, url) for number, url in enumerate(indexes))
