"""The model's requirements, pinned from the lock file."""

import os
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

from .project import ROOT, ProjectError

# Models are served on Linux x86-64, whatever system they were logged on.
_SERVER = {
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
# `--no-dev` overrides UV_DEV.
_EXPORT = (
    "export --locked --no-default-groups --no-dev --all-extras "
    "--no-emit-project --no-hashes --no-annotate --no-header --quiet"
)
_NOT_SERVED = ("deploy", "delta", "spark")  # extras that the model does not need
_PYPI = "https://pypi.org/simple"
_FIXES = {
    "needs to be updated|Unable to find lockfile": " Run `uv lock` and commit it.",
    "incompatible with the declared conflicts": " The model installs all extras. Replace those "
    "that it does not need by groups in `dependency-groups`.",
    "Failed to parse `uv.lock`": " Resolve its merge conflict, or delete it and run `uv lock`.",
}


def locked_requirements() -> list[str]:
    """Return pip's index options and a pin for every package that the agent needs on a server.

    Newer versions of MLflow can read the lock file, but also copy `pyproject.toml` into the model.
    Restoring the model's environment then fails, because the sources named there are missing. The
    export gives the same pins with every version of MLflow.

    Raises:
        ProjectError: uv is missing or fails, or a server cannot install what is in `uv.lock`.
    """
    # The options override UV_WORKING_DIR and UV_PROJECT.
    here = [f"--directory={ROOT}", f"--project={ROOT}"]
    export = subprocess.run(
        [find_uv(), *here, *_EXPORT.split(), *_left_out()],
        env=os.environ | {"COLUMNS": "9999"},  # uv breaks lines of errors
        capture_output=True,
        text=True,
        check=False,
    )
    if export.returncode != 0:
        reason = reason_in(export.stderr)
        fix = next((fix for words, fix in _FIXES.items() if re.search(words, reason)), "")
        raise ProjectError(f"uv cannot export uv.lock ({reason}).{fix}")
    pins = list(for_server(export.stdout.splitlines()))
    if not pins:
        raise ProjectError("uv.lock has no packages for Linux. Check `environments` of `tool.uv`.")
    return [*index_options(pins), *pins]


def _left_out() -> list[str]:
    """Return the options that leave out the extras of commands, as far as the project has them."""
    try:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError:
        return []  # uv says what is wrong
    extras = settings.get("project", {}).get("optional-dependencies", {})
    return [f"--no-extra={name}" for name in _NOT_SERVED if name in extras]


def find_uv() -> str:
    """Return the path of uv: the one that runs this command, or the one on PATH.

    Raises:
        ProjectError: uv is missing.
    """
    uv = shutil.which(os.environ.get("UV") or "uv") or shutil.which("uv")
    if uv is None:
        raise ProjectError("uv was not found. Install it: `pip install uv`.")
    return uv


def reason_in(stderr: str) -> str:
    """Return uv's error and its causes, without log messages, excerpts and hints."""
    lines = re.findall(r"^(?:error|\s+(?:cause|Caused by)): (.*)", stderr, re.MULTILINE)
    return ": ".join(lines or [stderr.strip()]).removesuffix(".")


def for_server(lines: Iterable[str]) -> Iterator[str]:
    """Yield the requirements that apply on a server with this Python, without markers."""
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:  # a path
            _, _, marker = line.partition(" ; ")
            if marker and not Marker(marker).evaluate(_SERVER):
                continue
            raise local_package(line) from error
        if re.match(r"(git\+)?file:", requirement.url or ""):
            raise local_package(line)
        if requirement.marker is None or requirement.marker.evaluate(_SERVER):
            requirement.marker = None
            yield str(requirement)


def local_package(found: str) -> ProjectError:
    """Return the error for a package that a server cannot reach."""
    return ProjectError(
        f"uv.lock contains {found!r}, which exists only on this machine. Depend on a "
        "released package, or move the code into the agent's package."
    )


def index_options(pins: list[str]) -> Iterator[str]:
    """Yield pip's options for the package indexes in `uv.lock`, which contains no credentials.

    Their order is that of the settings: uv takes a package from the first index that has it. PyPI,
    or else the index of most packages, is the default. If the repository does not declare it, it
    is a setting of this machine, such as a mirror, and the server uses its own default.
    """
    settings = "".join(contents_of("pyproject.toml", "uv.toml"))
    flat = flat_indexes()
    indexes = {
        f"{package['name']}=={package.get('version')}": package["source"].get("registry")
        for lock in contents_of("uv.lock")
        for package in tomllib.loads(lock)["package"]
    }
    used = {pin: url for pin in pins if (url := indexes.get(pin))}
    counts = Counter(used.values())
    candidates = [url for url in counts if host_and_path(url) not in flat]
    default = max(candidates, key=lambda url: (url == _PYPI, counts[url]), default=_PYPI)
    positions = {url: settings.find(host_and_path(url)) for url in counts}
    for url in sorted(counts, key=positions.__getitem__):
        if not url.startswith(("http:", "https:")):
            raise local_package(url)
        if host_and_path(url) in flat:
            yield f"--find-links {url}"
        elif positions[url] >= 0:
            yield f"--{'index-url' if url == default else 'extra-index-url'} {url}"
        elif url != default:
            name = next(pin for pin in used if used[pin] == url).partition("==")[0]
            raise ProjectError(
                f"uv.lock takes {name} from {url}, which pyproject.toml does not declare. "
                f"Run `uv add --index {url} {name}`."
            )


def flat_indexes() -> set[str]:
    """Return the declared indexes that are one page of links."""
    urls: list[str] = []
    for text in contents_of("pyproject.toml", "uv.toml"):
        settings = tomllib.loads(text)
        settings = settings.get("tool", {}).get("uv", settings)
        indexes = settings.get("index", [])
        urls += [index["url"] for index in indexes if index.get("format") == "flat"]
        urls += settings.get("find-links", [])
    return set(map(host_and_path, urls))


def host_and_path(url: str) -> str:
    """Return a URL without its scheme, credentials and last slash."""
    return re.sub(r"^.*?://([^/@]*@)?", "", url).rstrip("/")


def locked_folders() -> list[Path]:
    """Return the folders from the agent's up to the first one with `uv.lock`.

    A member of a workspace has its lock file in a folder above. Without a lock file, it is only the
    agent's folder.
    """
    folders = [ROOT, *ROOT.parents]
    for number, folder in enumerate(folders, start=1):
        if (folder / "uv.lock").is_file():
            return folders[:number]
    return [ROOT]


def contents_of(*names: str) -> list[str]:
    """Return the content of files in the agent's folder, and then in the workspace around it."""
    paths = [folder / name for folder in locked_folders() for name in names]
    return [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
