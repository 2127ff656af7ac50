"""The agent's `status`: how it differs from its template."""

import json

from tests.updates.projects import LATER, NEXT, NOW, PACKAGE, Project
from tests.updates.updating import NEW, SERVE, TOOLS, UpdatingProject, own_template


def test_status_names_each_state(updating: UpdatingProject) -> None:
    project = updating.project
    done = updating.run("status")
    assert done.returncode == 0
    assert f"2 releases behind {LATER}." in done.stdout
    project.append(TOOLS, "# Mine.\n")
    project.append(SERVE, "Mine.\n")
    project.delete("docs/evaluation.md")
    project.git("mv", "docs/production.md", "docs/operations.md")
    project.commit()
    done = updating.run("status", "--json")
    assert done.returncode == 1
    status = json.loads(done.stdout)
    assert (status["version"], status["newest"]) == (NOW, LATER)
    assert status["behind"] == [NEXT, LATER]
    states = {one["path"]: one["state"] for one in status["files"] if one["state"] != "same"}
    assert states == {
        TOOLS: "edited",
        SERVE: "drifted",
        "docs/evaluation.md": "missing",
        "docs/production.md": "renamed",
        NEW: "new",
    }
    renamed = next(one for one in status["files"] if one["state"] == "renamed")
    assert renamed["renamed_to"] == "docs/operations.md"


def test_status_names_renamed_and_retired_files(updating: UpdatingProject, made: Project) -> None:
    project = updating.project
    template = own_template(updating, made)
    project.git("mv", TOOLS, f"{PACKAGE}/abilities.py")
    project.commit()
    template.delete("docs/evaluation.md")
    template.release("v99.3.0")
    done = updating.run("status")
    assert done.returncode == 1
    assert f"  {TOOLS} → {PACKAGE}/abilities.py\n" in done.stdout
    assert "retired: the newest release no longer has it\n  docs/evaluation.md\n" in done.stdout


def test_status_ignores_that_a_file_of_the_owner_is_missing(updating: UpdatingProject) -> None:
    updating.project.delete("tests/test_agent.py")
    done = updating.run("status")
    assert done.returncode == 0
    assert "  tests/test_agent.py\n" in done.stdout


def test_status_shows_a_difference(updating: UpdatingProject) -> None:
    updating.project.append(SERVE, "Mine.\n")
    done = updating.run("status", "--diff", SERVE)
    assert done.returncode == 0
    assert done.stdout.startswith(f"--- template {NOW}: {SERVE}\n+++ {SERVE}\n")
    assert done.stdout.endswith("+Mine.\n")
    assert "is not a file of the template" in updating.run("status", "--diff", "mine.txt").stderr


def test_status_ignores_line_endings(updating: UpdatingProject) -> None:
    project = updating.project
    project.git("config", "core.autocrlf", "true")
    path = project.path(SERVE)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    done = updating.run("status")
    assert SERVE not in done.stdout
