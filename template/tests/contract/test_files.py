"""Rules about the files of the package, which git, the wheel and the image must contain."""

import importlib
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePath
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from .harness.dockerignore import is_ignored
from .harness.project import PACKAGE, ROOT
from .harness.rules import FailedRuleError, rule

BYTECODE = {".pyc", ".pyo"}

SAME_FILES = rule(
    "same-files",
    "Git, the wheel and the image contain the files of the logged model, and the model theirs.",
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


@SAME_FILES
def test_files_have_their_contents(logged_files: set[str]) -> None:
    pointers = [name for name in sorted(logged_files) if _is_pointer(ROOT / "src" / name)]
    if pointers:
        raise FailedRuleError(
            f"The model contains pointers of Git LFS instead of data: {', '.join(pointers)}.",
            "Run `git lfs pull`, in CI, too, before the agent is logged.",
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


def build_inputs() -> list[str]:
    """Return the files outside the package that installing it needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = project.get("readme", "")
    names = ["pyproject.toml", "uv.lock", readme if isinstance(readme, str) else readme.get("file")]
    return [name for name in names if name and (ROOT / name).is_file()]


def check_complete(what: str, missing: set[str]) -> None:
    """Assert that no file is missing."""
    files = ", ".join(f"src/{name}" for name in sorted(missing))
    assert not missing, f"{what} {files}."
