"""The Dockerfile: linting, the contents of the image, and the server in it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from tests.helpers.agents import Agent, add_default_group
from tests.server.images import Image, build
from tests.server.serving import TOKYO, free_port, stored_traces, wait_until
from tests.updates.projects import NOW, Project, all_releases

SECRET = "a-secret-that-stays-here"
OWN = {
    "Dockerfile": "FROM debian:stable-slim\nCOPY . .\n",
    ".dockerignore": ".git\n.env\n",
}


@pytest.fixture(scope="module")
def checkout(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default agent with two default groups, and with credentials in its working tree."""
    folder = tmp_path_factory.mktemp("checkout") / "weather-agent"
    shutil.copytree(agent.folder, folder, ignore=shutil.ignore_patterns(".venv"))
    add_default_group(folder)
    for parent in (folder, folder / "src", folder / "src" / "weather_agent"):
        for name in (".env", ".env.local", "mlflow.db"):
            (parent / name).write_text(SECRET, encoding="utf-8")
    return folder


@contextmanager
def open_folder() -> Generator[Path]:
    """An empty folder that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def running(image: Image, port: int) -> Generator[subprocess.Popen[bytes]]:
    """Run the image's command until the block ends; 8000 may be taken, so at another port."""
    process = image.start([*image.command, f"--port={port}"], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_healthy(image: Image, port: int) -> bool:
    """Return whether the image's health check succeeds."""
    command = [word.replace("8000", str(port)) for word in image.health_command]
    return image.start(command, stderr=subprocess.DEVNULL).wait(60) == 0


def contents(image: Image) -> dict[str, float]:
    """Return the files of an image outside /tmp, with their modification times."""
    paths = (path for path in image.path("/").rglob("*") if path.is_file())
    times = {path.relative_to(image.root): path.lstat().st_mtime for path in paths}
    return {str(path): time for path, time in times.items() if path.parts[0] != "tmp"}


@pytest.fixture
def older(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of the last release without a Dockerfile, whose owner added one."""
    template = all_releases(tmp_path_factory.getbasetemp())
    project = Project.made(template, tmp_path / "older", "v0.3.0")
    for file, text in OWN.items():
        project.write(file, text)
    project.commit()
    return project


def files_below(package: Path) -> set[Path]:
    """Return the files of a package, without bytecode."""
    paths = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(package) for path in paths}


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    """Run hadolint with all of its rules."""
    command = ["hadolint", "--no-color", "--failure-threshold=style", dockerfile]
    return subprocess.run(command, cwd=dockerfile.parent, capture_output=True, text=True)


def test_linter_passes(default_project: Path) -> None:
    done = lint(default_project / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("python:3.12-slim", "python:latest", "DL3007"),
        ("uv==0.13.9", "uv", "DL3013"),
        ('CMD ["weather-agent", "serve", "--host", "0.0.0.0"]', "CMD weather-agent", "DL3025"),
    ],
)
def test_linter_finds_mistakes(
    old: str, new: str, rule: str, default_project: Path, tmp_path: Path
) -> None:
    text = (default_project / "Dockerfile").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "Dockerfile").write_text(text.replace(old, new), encoding="utf-8")
    done = lint(tmp_path / "Dockerfile")
    assert done.returncode != 0
    assert rule in done.stdout


# One test, so that only one worker builds the image.
@pytest.mark.proof
def test_image_contains_the_agent_and_serves_it(checkout: Path) -> None:
    with open_folder() as folder:
        image = build(checkout, folder)
        check_environment(image, checkout)
        check_package(image, checkout)
        check_server(image)


def check_environment(image: Image, checkout: Path) -> None:
    """Assert that an image contains only the locked environment."""
    assert [path.name for path in sorted(image.root.iterdir())] == ["app", "tmp"]
    assert [path.name for path in image.path("/app").iterdir()] == [".venv"]
    assert [*image.path("/tmp").iterdir()] == []
    check = ["uv", "sync", "--check", "--locked", "--no-default-groups", "--no-install-project"]
    environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(image.path("/app/.venv"))}
    done = subprocess.run(check, cwd=checkout, env=environment, capture_output=True, text=True)
    assert re.findall(r"^ [-+~] ([\w-]+)", done.stderr, re.M) == ["weather-agent"], done.stderr


def check_package(image: Image, checkout: Path) -> None:
    """Assert that an image contains the compiled package, and no credentials."""
    (package,) = image.path("/app").glob(".venv/lib/*/site-packages/weather_agent")
    source = checkout / "src" / "weather_agent"
    secrets = {Path(".env"), Path(".env.local"), Path("mlflow.db")}
    assert secrets < files_below(source)
    assert files_below(package) == files_below(source) - secrets
    compiled = {path.parents[1] / path.name.partition(".")[0] for path in package.rglob("*.pyc")}
    assert compiled == {path.with_suffix("") for path in package.rglob("*.py")}


def check_server(image: Image) -> None:
    """Assert that the server of an image runs as an ordinary user."""
    before, port = contents(image), free_port()
    with running(image, port) as server:
        assert not is_healthy(image, port)
        wait_until(lambda: is_healthy(image, port))
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}", api_key="none")
        assert "Asia/Tokyo" in client.responses.create(model="agent", input=TOKYO).output_text
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) in (0, -signal.SIGTERM)
    assert contents(image) == before
    assert image.path("/tmp/mlflow.db").stat().st_uid != 0
    assert len(stored_traces(image.variables["MLFLOW_TRACKING_URI"])) == 1


@pytest.mark.proof
def test_build_fails_with_an_outdated_lock(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weather-agent"
    shutil.copytree(checkout, folder)
    project = folder / "pyproject.toml"
    text = project.read_text(encoding="utf-8").replace("tzdata>=2024.1", "tzdata>=2024.2")
    project.write_text(text, encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        build(folder, tmp_path)
    assert "The lockfile at `uv.lock` needs to be updated" in raised.value.stderr


@pytest.mark.proof
def test_update_can_keep_the_owners_dockerfile(older: Project) -> None:
    older.update(NOW, unsafe=True)
    conflicts = older.conflicts()
    assert {file: conflict.owners for file, (conflict,) in conflicts.items()} == OWN
    older.git("checkout", "HEAD", "--", *OWN)
    assert older.conflicts() == {}
    assert {file: older.read(file) for file in OWN} == OWN


@pytest.mark.proof
def test_update_can_exclude_the_dockerfile(older: Project) -> None:
    older.update(NOW, unsafe=True, exclude=[*OWN])
    assert older.conflicts() == {}
    older.commit()
    older.update(NOW, unsafe=True)
    assert {file: older.read(file) for file in OWN} == OWN
