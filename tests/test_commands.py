"""The two commands of the README, and what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.template import ROOT

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
    assert re.search(r"(\d+) of \1 rules hold\.", done.stdout)
    assert f"The agent is in {folder}." in done.stdout

    mine = next(folder.glob("src/*/tools.py"))
    mine.write_text(mine.read_text("utf-8") + "\n# mine\n", encoding="utf-8")
    again = make(checkout, "demo", f"FOLDER={folder}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "holds an agent already" in again.stdout
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
    assert "is not empty. Name another folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_uv_is_fetched_into_the_checkout_where_it_is_missing(checkout: Path) -> None:
    folders = os.environ["PATH"].split(":")
    path = ":".join(folder for folder in folders if not (Path(folder) / "uv").exists())
    environment = os.environ | {"PATH": path}
    assert shutil.which("uv", path=path) is None
    for _ in range(2):
        subprocess.run(["make", "lint"], cwd=checkout, env=environment, check=True)
    assert (checkout / ".uv" / "bin" / "uv").exists()


def test_make_help_lists_every_target() -> None:
    done = make(ROOT, "help")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert re.findall(r"^make (\w+)", done.stdout, re.MULTILINE) == targets
