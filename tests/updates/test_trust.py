"""Migrations are run with trust alone, and only where an update crosses them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.template import COPIER_YML, ROOT
from tests.updates.projects import LATER, NEXT, PACKAGE, Project

OLD = f"{PACKAGE}/logs.py"
NEW = f"{PACKAGE}/renamed.py"
REFUSED = 4  # Copier's exit status for templates that would run something
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def example() -> str:
    """The settings that CONTRIBUTING.md shows for a renamed file, for the files of these tests."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(_message_before_update:.*?)```", text, re.DOTALL)
    for shown, here in (("v1.2.0", NEXT), ("old.py", "logs.py"), ("new.py", "renamed.py")):
        assert shown in block
        block = block.replace(shown, here)
    return block


def unannounced(settings: dict[str, Any], changelog: str) -> list[str]:
    """What a migration runs or touches, and neither message nor changelog tell.

    Args:
        settings: Those of `copier.yml`.
        changelog: The text of `CHANGELOG.md`.
    """
    message = " ".join(settings.get("_message_before_update", "").split())
    missing = []
    for migration in settings.get("_migrations", []):
        version, command = migration["version"], migration["command"]
        named = [re.sub(r"^{{ _copier_conf.src_path }}/", "", part) for part in command]
        named = [part.replace("{{ package_name }}", "PACKAGE") for part in named]
        pieces = [version, *(part for part in named if "{{" not in part)]
        missing += [piece for piece in pieces if piece not in message]
        _, _, entry = changelog.partition(f"## {version.removeprefix('v')}\n")
        if "--trust" not in entry.partition("\n## ")[0]:
            missing.append(f"--trust in the changelog of {version}")
    return missing


def release_a_migration(project: Project) -> None:
    """Rename a file of the template in the next release, as CONTRIBUTING.md says."""
    project.template.rename(OLD, NEW)
    project.template.write("copier.yml", f"{example()}\n{project.template.read('copier.yml')}")
    project.template.release(NEXT)


def copier_update(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `copier update` as an owner does."""
    return subprocess.run(
        ["copier", "update", "--defaults", *options],
        cwd=project.folder,
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_migration_without_trust_is_refused_and_nothing_changes(project: Project) -> None:
    head = project.git("rev-parse", "HEAD")
    release_a_migration(project)
    refused = copier_update(project)
    assert refused.returncode == REFUSED
    assert "--trust" in refused.stderr
    assert project.is_clean()
    assert project.git("rev-parse", "HEAD") == head


def test_what_would_run_is_shown_without_running_it(project: Project) -> None:
    project.append(OLD, "# Mine.\n")
    project.commit()
    release_a_migration(project)
    shown = copier_update(project, "--trust", "--pretend")
    assert shown.returncode == 0, shown.stderr
    # Which files in words, then the very command.
    assert "In agents older than v99.1.0, hooks/carry_edits.py" in shown.stderr
    assert "src/PACKAGE/logs.py into src/PACKAGE/renamed.py" in shown.stderr
    assert re.search(rf"Running task 1 of 1: .*carry_edits\.py'.*'{OLD}', '{NEW}'", shown.stderr)
    assert project.is_clean()


def test_what_runs_is_said_before_it_runs(project: Project) -> None:
    project.append(OLD, "# Mine.\n")
    project.commit()
    release_a_migration(project)
    done = copier_update(project, "--trust")
    assert done.returncode == 0, done.stderr
    assert 0 < done.stderr.index("hooks/carry_edits.py") < done.stderr.index("Running task")
    assert project.read(NEW).endswith("# Mine.\n")


def test_a_migration_that_is_not_crossed_needs_no_trust(project: Project) -> None:
    release_a_migration(project)
    project.update(unsafe=True)
    project.commit()
    project.template.append(NEW, "# The end.\n")
    project.template.release(LATER)
    done = copier_update(project)
    assert done.returncode == 0, done.stderr
    assert "carry_edits" not in done.stderr
    assert project.conflicts() == {}
    assert project.read(NEW).endswith("# The end.\n")


def test_a_new_project_needs_no_trust_for_old_migrations(project: Project, tmp_path: Path) -> None:
    release_a_migration(project)
    assert NEW in project.template.fresh(NEXT, tmp_path / "fresh")


def test_every_migration_is_announced() -> None:
    assert unannounced(COPIER_YML, CHANGELOG) == []


def test_a_migration_that_nobody_announced_is_noticed() -> None:
    settings = yaml.safe_load(example())
    entry = "## 99.1.0\n\nIt needs `--trust`.\n\n## 99.0.0\n"
    assert unannounced(settings, entry) == []
    assert unannounced(settings, "## 99.1.0\n\n## 99.0.0\n\n--trust\n") == [
        "--trust in the changelog of v99.1.0"
    ]
    del settings["_message_before_update"]
    assert unannounced(settings, entry) == [
        "v99.1.0",
        "hooks/carry_edits.py",
        "src/PACKAGE/logs.py",
        "src/PACKAGE/renamed.py",
    ]
