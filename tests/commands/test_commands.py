"""The two commands of the README, and what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from benchmarks.first_minute import STEPS
from tests.contract.breakages import BREAKAGES
from tests.helpers.agents import rules_of
from tests.helpers.template import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("a checkout") / "copier-responses-agent"
    subprocess.run(["git", "clone", "--quiet", snapshot, folder], check=True)
    return folder


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=checkout, capture_output=True, text=True, timeout=600
    )


def test_make_demo_shows_an_agent_and_proves_it(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my agent"
    done = make(checkout, "demo", f"FOLDER={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '→ current_time({"place": "Tokyo"})' in done.stdout
    assert re.search(r"Logged models:/m-\w+", done.stdout)
    assert re.search(r"^\d+ passed in ", done.stdout, re.MULTILINE)
    assert f"The agent is in {folder}." in done.stdout

    mine = next(folder.glob("src/*/tools.py"))
    mine.write_text(mine.read_text("utf-8") + "\n# mine\n", encoding="utf-8")
    again = make(checkout, "demo", f"FOLDER={folder}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "already contains an agent" in again.stdout
    assert mine.read_text("utf-8").endswith("# mine\n")

    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_make_demo_spares_a_folder_that_holds_something_else(
    checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    done = make(checkout, "demo", f"FOLDER={tmp_path}")
    assert done.returncode != 0
    assert "is not empty\nhint: choose another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_uv_is_fetched_into_the_checkout_where_it_is_missing(checkout: Path) -> None:
    here = Path(sys.prefix) / "bin"  # this environment, which has no pip
    folders = (Path(folder) for folder in os.environ["PATH"].split(":"))
    kept = [str(folder) for folder in folders if folder != here and not (folder / "uv").exists()]
    environment = os.environ | {"PATH": ":".join(kept)}
    for _ in range(2):
        done = subprocess.run(
            ["make", "lint"], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / ".uv" / "bin" / "uv").exists()


def test_make_help_lists_every_target() -> None:
    done = make(ROOT, "help")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert re.findall(r"^make (\w+)", done.stdout, re.MULTILINE) == targets


def copy_lines() -> list[str]:
    """The README's commands that create an agent."""
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
    assert line == "uvx copier copy gh:YOUR-ORGANISATION/copier-responses-agent weather-agent"


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
    assert shown <= rules, "Draw it anew: make picture"
    assert f"{len(rules)} of {len(rules)} rules hold" in picture, "Draw it anew: make picture"
    assert "broken: pinned-requirements." in picture


def test_links_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_an_old_python_is_an_error_in_words(checkout: Path, tmp_path: Path) -> None:
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
