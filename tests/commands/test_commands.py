"""The commands of this repository, and the statements of its README."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from benchmarks.first_minute import STEPS
from tests.chat_page.browser import NAMES, system_chromium
from tests.contract.breakages import BREAKAGES
from tests.helpers.agents import rules_of
from tests.helpers.template import ROOT
from tests.release.repositories import git

README = (ROOT / "README.md").read_text(encoding="utf-8")
REDRAW = "Redraw the pictures: make picture"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("a checkout") / "copier-responses-agent"
    subprocess.run(["git", "clone", "--quiet", snapshot, folder], check=True)
    return folder


def make(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make with additional environment variables; it may fail."""
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def path_without(folder: Path, *programs: str) -> str:
    """Return a PATH without some programs: `folder` links to the others in their folders."""
    parts = []
    for number, part in enumerate(map(Path, os.environ["PATH"].split(os.pathsep))):
        if any((part / program).exists() for program in programs):
            (folder / str(number)).mkdir()
            for program in part.iterdir():
                if program.name not in programs:
                    (folder / str(number) / program.name).symlink_to(program)
            part = folder / str(number)
        parts.append(str(part))
    return os.pathsep.join(parts)


def write_script(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_make_demo_makes_an_agent_and_verifies_it(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "my agent", tmp_path / "other"
    subprocess.run(["git", "init", "--quiet", other], check=True)
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nemail = a@b.example\nuseConfigOnly\n[commit]\ngpgSign\n")
    uv = shutil.which("uv")
    assert uv
    (tmp_path / "my tools").mkdir()
    (tmp_path / "my tools" / "uv").symlink_to(uv)
    path = f"{tmp_path / 'my tools'}:{os.environ['PATH']}"
    variables = {"GIT_DIR": f"{other}/.git", "PATH": path, "GIT_CONFIG_GLOBAL": str(settings)}
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    done = make(checkout, "demo", f"FOLDER={folder}", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '→ current_time({"place": "Tokyo"})' in done.stdout
    assert re.search(r"Logged models:/m-\w+", done.stdout)
    passed = re.findall(r"✓ ([\w-]+)", done.stdout)
    assert sorted(passed) == sorted(rules_of(folder))
    assert f"\n{len(passed)} passed in " in done.stdout
    assert "warning" not in done.stderr.lower()
    assert f"The agent is in {folder}." in done.stdout
    assert f'\n  cd "{folder}"\n' in done.stdout

    tools = next(folder.glob("src/*/tools.py"))
    tools.write_text("raise ValueError('The demo runs my code.')\n", encoding="utf-8")
    again = make(checkout, "demo", f"FOLDER={folder}")
    assert "already contains an agent" in again.stdout
    assert again.returncode != 0
    assert "error: ValueError: The demo runs my code." in again.stderr
    assert "Logged models:" not in again.stdout

    assert git(checkout, "status", "--porcelain") == ""
    assert git(other, "for-each-ref") == ""
    assert git(folder, "log", "--format=%s") == "Create the agent\n"


def test_make_demo_refuses_a_folder_with_other_files(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    done = make(checkout, "demo", f"FOLDER={tmp_path}")
    assert done.returncode != 0
    assert "is not empty\nhint: choose another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_make_installs_uv_into_the_checkout_if_it_is_missing(
    checkout: Path, tmp_path: Path
) -> None:
    # The environment of the tests has no pip.
    tests = str(Path(sys.prefix) / "bin")
    path = path_without(tmp_path, "uv").split(os.pathsep)
    without_uv = os.pathsep.join(part for part in path if part != tests)
    settings = {"PIP_REQUIRE_VIRTUALENV": "true", "PIP_USER": "1", "PIP_PREFIX": str(tmp_path)}
    for _ in range(2):
        done = make(checkout, "browser", PATH=without_uv, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
    printed = subprocess.check_output([checkout / ".uv/bin/uv", "--version"], text=True)
    (version,) = re.findall(r"^UV_VERSION := (.*)$", MAKEFILE, re.MULTILINE)
    assert printed.split()[:2] == ["uv", version]


def test_benchmarks_use_the_uv_of_the_checkout_if_there_is_no_other(
    checkout: Path, tmp_path: Path
) -> None:
    script = (
        "import shutil; from benchmarks.environment import environment; "
        "path = environment()['PATH']; print(shutil.which('uv', path=path)); "
        "print(shutil.which('copier', path=path))"
    )
    variables = os.environ | {"PATH": path_without(tmp_path, "uv", "copier")}
    command = [sys.executable, "-c", script]
    printed = subprocess.check_output(command, cwd=checkout, env=variables, text=True)
    assert printed.split("\n")[:2] == [
        str(checkout / ".uv" / "bin" / "uv"),
        str(Path(sys.executable).parent / "copier"),
    ]


def test_make_installs_a_browser_if_it_finds_none(checkout: Path, tmp_path: Path) -> None:
    """Playwright's download fails, so the system's package is installed, with `sudo` if needed."""
    scripts, installed = tmp_path / "scripts", tmp_path / "installed"
    scripts.mkdir()
    installed.mkdir()
    log = tmp_path / "apt-get.log"
    chromium = system_chromium()
    assert chromium, "This test needs a Chromium on PATH."
    link = f"case $* in *install*) ln -s {chromium} {installed}/chromium ;; esac"
    write_script(scripts / "apt-get", f'echo "$*" >> {log}\n{link}')
    write_script(scripts / "sudo", 'shift\nexec "$@"')
    (tmp_path / "path").mkdir()
    path = f"{scripts}:{installed}:{path_without(tmp_path / 'path', *NAMES, 'sudo', 'apt-get')}"
    variables = {
        "PATH": path,
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers"),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }
    first = make(checkout, "browser", **variables)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "No Chromium was found" in first.stdout
    commands = log.read_text(encoding="utf-8").splitlines()
    assert commands == ["-qy update", "-qy install --no-install-recommends chromium"]
    second = make(checkout, "browser", **variables)
    assert (second.returncode, second.stdout) == (0, "")
    assert log.read_text(encoding="utf-8").splitlines() == commands


def test_make_reports_that_a_browser_cannot_be_installed(checkout: Path, tmp_path: Path) -> None:
    scripts, path = tmp_path / "scripts", tmp_path / "path"
    scripts.mkdir()
    path.mkdir()
    write_script(scripts / "apt-get", "echo 'E: Unable to locate package chromium'\nexit 100")
    write_script(scripts / "sudo", 'shift\nexec "$@"')
    variables = {
        "PATH": f"{scripts}:{path_without(path, *NAMES, 'sudo', 'apt-get')}",
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers"),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }
    done = make(checkout, "browser", **variables)
    assert done.returncode != 0
    assert "E: Unable to locate package chromium" in done.stderr
    assert "error: Chromium could not be installed." in done.stderr
    assert "hint: install Chromium or Google Chrome" in done.stderr


def test_make_help_lists_every_target() -> None:
    done = make(ROOT, "help")
    targets = re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE)
    assert re.findall(r"^make (\w+)", done.stdout, re.MULTILINE) == targets


def copy_lines() -> list[str]:
    """Return the README's commands that create an agent."""
    return re.findall(r"^uvx copier copy .*$", README, re.MULTILINE)


def test_the_copy_line_asks_and_works_as_written(checkout: Path) -> None:
    (line,) = (line for line in copy_lines() if "$PWD" in line)
    terminal = pexpect.spawn("sh", ["-c", line], cwd=checkout, encoding="utf-8", timeout=120)
    terminal.expect("What is the agent's name")
    terminal.send("Tokyo Agent\r")
    terminal.expect("lowercase words separated")
    terminal.send("\x15tokyo-agent\r")
    for question in (
        "What does the agent do",
        "Python package",
        "Which framework",
        "Which LLM",
        "CI service",
        "license",
    ):
        terminal.expect(question)
        terminal.send("\r")
    terminal.expect("tokyo-agent is ready. Next:")
    terminal.expect(pexpect.EOF)
    answers = (checkout.parent / "weather-agent" / ".copier-answers.yml").read_text("utf-8")
    assert f"_src_path: {checkout}" in answers
    assert "_commit: v0.0.1" in answers
    assert "project_name: tokyo-agent" in answers
    assert "package_name: tokyo_agent" in answers


def test_the_public_copy_line_has_a_placeholder_and_the_same_form() -> None:
    (line,) = (line for line in copy_lines() if "$PWD" not in line)
    assert line == "uvx copier copy gh:YOUR-ORGANIZATION/copier-responses-agent weather-agent"


def test_the_readme_counts_right(default_project: Path) -> None:
    agent = (default_project / "src" / "weather_agent" / "agent.py").read_text("utf-8")
    assert len(agent.splitlines()) <= 90
    assert "in at most 90 lines" in README
    rules = len(rules_of(default_project))
    assert f"{rules} rules" in README
    page = (ROOT / "docs" / "contract.md").read_text("utf-8")
    totals = re.findall(r"^\| by MLflow, .* \| (\d+) \|$", page, re.MULTILINE)
    counts = [str(len(BREAKAGES)), *totals]
    sentence = README.partition("(docs/contract.md)")[2].partition("never.")[0]
    assert re.findall(r"(?<![\d.])\d+(?![\d.])", sentence) == counts
    assert f"{rules} rules" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_picture_shows_what_verify_prints(default_project: Path) -> None:
    picture = (ROOT / "docs" / "demo.svg").read_text("utf-8").replace("&#160;", " ")
    rules = rules_of(default_project)
    shown = set(re.findall(r"[✓✗] ([\w-]+)", picture))
    assert shown <= rules, REDRAW
    assert f"{len(rules)} passed in " in picture, REDRAW
    assert re.search(r"1 failed, 1 passed in \d+ s: pinned-requirements", picture), REDRAW


def test_links_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_an_old_python_is_an_error_with_a_hint(checkout: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    done = make(checkout, "demo", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr


def test_the_figures_are_of_the_steps_that_are_measured() -> None:
    table = README.partition("as `make benchmark` prints it")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| (.*?`.*?) \| [\d.]+ \| [\d.]+ to [\d.]+ \|$", table, re.MULTILINE)
    assert steps == [*STEPS, "`make demo`"]
