"""Rules about the files of the package, which git, the wheel and the image must contain."""

import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePath
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .harness.dockerfile import Dockerfile, is_copied, option_of
from .harness.dockerignore import is_ignored
from .harness.imports import removed_modules
from .harness.project import COMMAND, PACKAGE, ROOT
from .harness.rules import FailedRuleError, rule

MOST_NAMES = 4  # in a message
BYTECODE = {".pyc", ".pyo"}
# The defaults of `serve`.
LOOPBACK = "127.0.0.1"
DEFAULT_PORT = "8000"
# In EXPOSE any number is a port, but in HEALTHCHECK it may be a status or a part of an address.
PORTS = {"EXPOSE": re.compile(r"\b\d+\b"), "HEALTHCHECK": re.compile(r"\b\d{4,5}\b")}
PYTHON_IMAGE = re.compile(r"\bpython:(\d+\.\d+)")

SAME_FILES = rule(
    "same-files",
    "Git, the wheel, the image and the logged model contain the same files of the package.",
    why="CI and the image get the files from git, and serving gets them from the model. What is "
    "missing there makes an agent fail that works on this machine.",
    fix="Remove the pattern from .gitignore, .dockerignore or `tool.hatch` in pyproject.toml, and "
    "pass `code_paths=[str(PACKAGE)]` to log_model. Move files that the agent does not need out "
    "of its package.",
)


@pytest.fixture(scope="module")
def logged_files(model_path: Path, external_model: Path | None) -> set[str]:
    """The package's files in the model, relative to its parent folder."""
    if external_model:
        pytest.skip("omit --model-uri to compare the model with this repository")
    code = model_path / "code"
    files = (path for path in (code / PACKAGE).rglob("*") if path.is_file())
    return set(of_package(path.relative_to(code).as_posix() for path in files))


@pytest.fixture
def dockerfile(url: str | None, external_model: Path | None) -> Dockerfile:
    """The Dockerfile of the repository."""
    if url or external_model:
        pytest.skip("omit --url and --model-uri to check the Dockerfile")
    path = ROOT / "Dockerfile"
    if not path.is_file():
        pytest.skip("the repository has no Dockerfile")
    return Dockerfile(path.read_text(encoding="utf-8"))


@SAME_FILES
def test_files_have_their_contents(logged_files: set[str]) -> None:
    pointers = [name for name in sorted(logged_files) if _is_pointer(ROOT / "src" / name)]
    if pointers:
        raise FailedRuleError(
            f"The model contains pointers of Git LFS instead of data: {', '.join(pointers)}.",
            "Run `git lfs pull`, in CI, too, before the agent is logged.",
        )


@SAME_FILES
def test_names_on_all_systems(logged_files: set[str]) -> None:
    names: dict[str, str] = {}
    for name in sorted(logged_files):
        other = names.setdefault(name.casefold(), name)
        if other != name:
            raise FailedRuleError(
                f"The names {other} and {name} differ only in case.",
                "Rename one of them: a checkout on macOS or Windows has only one of the files.",
            )


def _is_pointer(path: Path) -> bool:
    start = b"version https://git-lfs.github.com/spec/"
    return path.is_file() and path.read_bytes()[: len(start)] == start


def of_package(names: Iterable[str]) -> list[str]:
    """Return the names of files that a developer writes: not hidden, and no bytecode."""
    paths = map(PurePath, names)
    return [
        path.as_posix()
        for path in paths
        if path.suffix not in BYTECODE and not any(part.startswith(".") for part in path.parts)
    ]


@SAME_FILES
def test_files_in_git(logged_files: set[str]) -> None:
    source = ROOT / "src"
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", PACKAGE)
    try:
        listed = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the repository is not in git")
    names = {name for name in of_package(listed.stdout.split("\0")) if (source / name).is_file()}
    if not names:
        pytest.skip("git ignores the whole repository")
    check_complete("Git ignores", logged_files - names)
    check_complete("The model lacks", names - logged_files)


@SAME_FILES
def test_files_in_wheel(
    logged_files: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    system = project.get("build-system", {})
    packages = {Requirement(line).name for line in system.get("requires", [])}
    if packages != {"hatchling"}:
        pytest.skip("building the wheel needs more than hatchling")
    backend = importlib.import_module("hatchling.build")
    monkeypatch.chdir(ROOT)
    try:
        wheel = backend.build_wheel(str(tmp_path))
    except Exception as error:
        raise FailedRuleError(f"The wheel cannot be built: {error}.") from error
    with ZipFile(tmp_path / wheel) as archive:
        check_complete("The wheel lacks", logged_files - set(archive.namelist()))


@SAME_FILES
def test_files_in_image(logged_files: set[str]) -> None:
    patterns = ROOT / ".dockerignore"
    if not patterns.is_file():
        pytest.skip("the repository has no .dockerignore")
    lines = patterns.read_text(encoding="utf-8").splitlines()
    check_complete(
        ".dockerignore excludes",
        {name for name in logged_files if is_ignored(f"src/{name}", lines)},
    )
    excluded = [name for name in build_inputs() if is_ignored(name, lines)]
    assert not excluded, (
        f".dockerignore excludes {', '.join(excluded)}, without which the image cannot be built."
    )


@SAME_FILES
def test_copied_files(logged_files: set[str], dockerfile: Dockerfile) -> None:
    sources = dockerfile.copied_sources()
    if not any(is_copied(f"src/{PACKAGE}/agent.py", [one]) for one in sources):
        pytest.skip("the image installs the package without copying it")
    check_complete(
        "The Dockerfile does not copy",
        {name for name in logged_files if not is_copied(f"src/{name}", sources)},
    )
    needed = [name for name in build_inputs() if not is_copied(name, sources)]
    assert not needed, (
        f"The Dockerfile does not copy {', '.join(needed)}, without which the package cannot be "
        "installed."
    )


IMAGE = rule(
    "image",
    "The Dockerfile can be built, and clients can reach the server in the container.",
    why="No test builds the image. A mistake in it shows when it is deployed: the build fails, or "
    "the container runs, but all requests and health checks fail.",
    fix="Edit the Dockerfile. It copies files that exist, uses a Python that `requires-python` "
    "allows, and starts `serve --host 0.0.0.0` on the port that EXPOSE and HEALTHCHECK name.",
)


@IMAGE
def test_image_sources(dockerfile: Dockerfile) -> None:
    for source in dockerfile.copied_sources():
        pattern = source.strip("/").removeprefix("./")
        exists = pattern in ("", ".") or any(any(one.glob(pattern)) for one in build_folders())
        # A build in CI may create what git does not contain.
        assert exists or is_ignored_by_git(pattern), (
            f"The Dockerfile copies {source}, which does not exist."
        )


def build_folders() -> list[Path]:
    """Return the folders that an image may be built in: this one, and those up to git's."""
    folders = [ROOT, *ROOT.parents]
    top = next((folder for folder in folders if (folder / ".git").exists()), ROOT)
    return [folder for folder in folders if folder.is_relative_to(top)]


def is_ignored_by_git(name: str) -> bool:
    """Return whether git ignores a file; False outside git."""
    command = ("git", "check-ignore", "--quiet", name)
    try:
        return subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


@IMAGE
def test_python_of_image(dockerfile: Dockerfile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = SpecifierSet(project.get("requires-python", ""))
    for image in dockerfile.arguments_of("FROM"):
        if version := PYTHON_IMAGE.search(image):
            assert allowed.contains(f"{version[1]}.99"), (
                f"The image has Python {version[1]}, but `requires-python` is {allowed}."
            )


@IMAGE
def test_modules_in_image(dockerfile: Dockerfile) -> None:
    for image in dockerfile.arguments_of("FROM"):
        if found := PYTHON_IMAGE.search(image):
            major, minor = map(int, found[1].split("."))
            for name, file in removed_modules(ROOT / "src", (major, minor)).items():
                raise FailedRuleError(
                    f"{file} imports {name}, which Python {found[1]} of the image lacks.",
                    f"Replace {name}: newer versions of Python lack it.",
                )


@IMAGE
def test_docstrings_in_image(dockerfile: Dockerfile) -> None:
    text = " ".join(dockerfile.arguments_of("ENV") + dockerfile.last_command())
    if re.search(r"\bPYTHONOPTIMIZE[= ]\"?2|(^|\s)-OO\b", text):
        raise FailedRuleError(
            "Python in the image removes docstrings, which describe the tools to the LLM.",
            "Remove PYTHONOPTIMIZE=2 and -OO from the Dockerfile.",
        )


@IMAGE
def test_port_of_image(dockerfile: Dockerfile) -> None:
    command = dockerfile.last_command()
    if "serve" not in command or not {COMMAND, PACKAGE}.intersection(command):
        pytest.skip("the container starts another server")
    host = option_of(command, "--host") or LOOPBACK
    if host in (LOOPBACK, "localhost", "::1"):
        raise FailedRuleError(
            f"The server in the container listens on {host}, which others cannot reach.",
            'Serve at all addresses of the container: add `"--host", "0.0.0.0"` to CMD.',
        )
    port = option_of(command, "--port") or dockerfile.port_in_variable() or DEFAULT_PORT
    if not port.isdecimal():
        pytest.skip("a variable contains the port")
    for name, number in PORTS.items():
        named = {found for one in dockerfile.arguments_of(name) for found in number.findall(one)}
        assert not named or port in named, (
            f"The server in the container listens on port {port}, but {name} names "
            f"{', '.join(sorted(named))}."
        )


def build_inputs() -> list[str]:
    """Return the files outside the package that installing it needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = project.get("readme", "")
    names = ["pyproject.toml", "uv.lock", readme if isinstance(readme, str) else readme.get("file")]
    return [name for name in names if name and (ROOT / name).is_file()]


def check_complete(what: str, missing: set[str]) -> None:
    """Assert that no file is missing."""
    first = ", ".join(f"src/{name}" for name in sorted(missing)[:MOST_NAMES])
    more = f" and {len(missing) - MOST_NAMES} more files" if len(missing) > MOST_NAMES else ""
    assert not missing, f"{what} {first}{more}."
