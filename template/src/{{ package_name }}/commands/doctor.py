"""Checks what the agent needs on this machine and in its workspace: `doctor`."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import metadata
from typing import Any

import click
from packaging.specifiers import SpecifierSet

from ..ops.env_file import load_env_file
from ..ops.llm_check import require_response
from ..ops.project import PROJECT_NAME, ROOT, ProjectError
from ..ops.requirements import find_uv, locked_requirements
from ..ops.store import connect_store, without_password
from ..ops.template.answers import ANSWERS_FILE
from ..runtime.config import SECRET_NAMES, ConfigError, load_config
from ..server.settings import load_settings
from .errors import message_of
from .serve import listen


def run_checks(port: int, *, as_json: bool) -> bool:
    """Print one line per check, or all as JSON, and return whether all passed."""
    results: list[dict[str, Any]] = []
    for name, check, needed in all_checks(port):
        failed = [result["name"] for result in results if not result["passed"]]
        try:
            if needed in failed:
                raise ProjectError(f"Not checked, because `{needed}` failed.")
            message, passed = check(), True
        except Exception as error:
            message, passed = message_of(error), False
        message = without_secrets(message)
        results.append({"name": name, "passed": passed, "message": message})
        if not as_json:
            mark = click.style("✓", fg="green") if passed else click.style("✗", fg="red")
            click.echo(f"{mark} {name:<9} {message}")
    if as_json:
        click.echo(json.dumps({"checks": results}, indent=2, ensure_ascii=False))
    return all(result["passed"] for result in results)


def all_checks(port: int) -> Iterator[tuple[str, Callable[[], str], str]]:
    """Yield the name of each check, the check, and the name of the one that must pass first."""
    yield ".env", check_env_file, ""  # first, because the others read its variables
    yield "Python", check_python, ""
    yield "settings", check_settings, ""
    for_llm, for_store = uses_workspace()
    if for_llm or for_store:
        from .workspace_checks import workspace_checks  # imports Databricks' SDK

        yield from workspace_checks(for_llm=for_llm, for_store=for_store)
    yield "LLM", check_llm, "login" if for_llm else ""
    yield "store", check_store, "login" if for_store else ""
    yield "port", lambda: check_port(port), ""
    if (ROOT / "pyproject.toml").is_file():  # not in an image
        yield "packages", check_packages, ""
        yield "updates", check_updates, ""


def uses_workspace() -> tuple[bool, bool]:
    """Return whether the LLM, and whether MLflow's store, are in a Databricks workspace."""
    try:
        llm = load_config().llm_uri()
    except ConfigError:  # the check of the LLM reports it
        llm = ""
    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    return llm.startswith("databricks:"), store.startswith("databricks")


def without_secrets(text: str) -> str:
    """Replace the values of secret environment variables, which a server may repeat in errors."""
    for name, value in os.environ.items():
        if value and name.endswith(SECRET_NAMES):
            text = text.replace(value, "***")
    return without_password(text)


def check_env_file() -> str:
    """Read `.env`."""
    load_env_file(ROOT / ".env")
    if (ROOT / ".env").exists():
        return "is valid"
    return "does not exist; settings come from the environment only"


def check_python() -> str:
    """Compare the version of Python with the required one."""
    version, required = platform.python_version(), metadata(PROJECT_NAME)["Requires-Python"]
    if version not in SpecifierSet(required):
        raise ProjectError(f"Python is {version}, not {required}. Run `uv sync`.")
    return f"{version} meets {required}"


def check_packages() -> str:
    """Compare `uv.lock` with `pyproject.toml`, and the installed packages with `uv.lock`."""
    pins = locked_requirements()
    options = "--check --locked --inexact --no-default-groups --no-install-project"
    check = [find_uv(), "sync", *options.split(), f"--project={ROOT}"]
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": sys.prefix}
    if subprocess.run(check, env=environment, capture_output=True, check=False).returncode != 0:
        raise ProjectError("The installed packages are not those of uv.lock. Run `uv sync`.")
    if not (ROOT / "uv.lock").is_file():
        where = "of the workspace; the Dockerfile cannot build a member of a workspace"
        return f"{len(pins)} packages match uv.lock {where}"
    return f"{len(pins)} packages match uv.lock"


def check_settings() -> str:
    """Read the settings of the server."""
    load_settings()
    return "the AGENT_… variables are valid"


def check_llm() -> str:
    """Send a short request with the configured credentials."""
    config = load_config()
    llm = require_response(config.llm_uri(), config.llm_timeout_seconds)
    return f"{llm.uri} responds at {llm.access.base_url}"


def check_store() -> str:
    """Connect to the store. MLflow checks its schema, and creates a local store if necessary."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    return f"{connect_store()} is usable"


def check_port(port: int) -> str:
    """Listen on the port of `serve` for a moment."""
    listen("127.0.0.1", port).close()
    return f"{port} is free"


def check_updates() -> str:
    """Check that `update` finds the committed answers to the template's questions."""

    def succeeds(*command: str) -> bool:
        git = ["git", "-C", str(ROOT), *command]
        return subprocess.run(git, capture_output=True, check=False).returncode == 0

    is_committed = succeeds("cat-file", "-e", f"HEAD:./{ANSWERS_FILE}")
    if not is_committed and not (ROOT / ANSWERS_FILE).exists():
        return f"{ANSWERS_FILE} was removed, so the template cannot update this agent"
    if not is_committed or not succeeds("diff", "--quiet", "HEAD", ANSWERS_FILE):
        raise ProjectError(f"{ANSWERS_FILE} is not committed. Run `git add -A` and `git commit`.")
    return f"{ANSWERS_FILE} is committed"
