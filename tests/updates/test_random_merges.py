"""The agent's own `update` of projects with random edits to random releases loses nothing.

UPDATE_TRIALS is the number of trials. Each trial is the same in every run, so it can be repeated.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import copier
import pytest

from tests.conftest import Package
from tests.updates.projects import ANSWERS, NEXT, PACKAGE, Project, Repository, owners_files
from tests.updates.test_random import edited, free

TRIALS = int(os.environ.get("UPDATE_TRIALS", "12"))
FILES = 6
TOOLS = f"{PACKAGE}/tools.py"
FRAMEWORKS = ["openai-agents", "langgraph", "pydantic-ai", "dspy"]

Lines = list[str]


def move_block(lines: Lines, chance: Random) -> Lines:
    """Move some lines to another place."""
    places = free(lines)
    if len(places) < 8:
        return lines
    start = chance.choice(places[:-4])
    block = [start + n for n in range(4) if start + n in places]
    moved, rest = [lines[n] for n in block], [x for n, x in enumerate(lines) if n not in block]
    place = chance.choice(free(rest))
    return [*rest[:place], *moved, *rest[place:]]


def swap_halves(lines: Lines, _chance: Random) -> Lines:
    """Exchange two neighboring blocks of lines without Jinja."""
    places = free(lines)
    middle = len(places) // 2
    if middle < 4 or places[middle + 3] - places[middle - 4] != 7:
        return lines
    start = places[middle - 4]
    block = lines[start : start + 8]
    return [*lines[:start], *block[4:], *block[:4], *lines[start + 8 :]]


def indent(lines: Lines, chance: Random) -> Lines:
    """Change the whitespace at the end of some lines."""
    chosen = {place for place in free(lines) if chance.random() < 0.1}
    return [f"{line}  " if n in chosen else line for n, line in enumerate(lines)]


def delete_block(lines: Lines, chance: Random) -> Lines:
    """Delete several lines, as if they were a function."""
    places = free(lines)
    chosen = set(places[(start := chance.randrange(max(1, len(places) - 6))) : start + 6])
    return [line for number, line in enumerate(lines) if number not in chosen]


CHANGES: tuple[Callable[[Lines, Random], Lines], ...] = (
    move_block,
    swap_halves,
    indent,
    delete_block,
)


def change(side: Repository, file: str, name: str, chance: Random) -> set[str]:
    """Change a file, and return the new lines, which occur nowhere else."""
    before = side.read(file).splitlines()
    after = before
    if chance.random() < 0.5:
        after = chance.choice(CHANGES)(after, chance)
    after = edited(after, name, chance.random(), chance)
    side.write(file, "\n".join(after) + "\n")
    return {line for line in after if line.startswith(f"# {name} ")}


def add_tool(side: Repository, name: str) -> set[str]:
    """Add a tool where its owner and the template would add one."""
    line = f"# {name} tool"
    side.edit(TOOLS, "\nTOOLS = [", f"\n{line}\ndef {name}() -> None: ...\n\n\nTOOLS = [")
    return {line}


@pytest.fixture
def template_tools(package: Package, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module with the update, which renders in this process instead of with uvx."""
    update = package("ops.template.update")

    def render(template: Any, renderings: Mapping[Path, tuple[str, dict[str, Any]]]) -> None:
        for folder, (version, answers) in renderings.items():
            copier.run_copy(
                str(template.folder),
                folder,
                data=answers,
                vcs_ref=version,
                defaults=True,
                quiet=True,
            )
            package("ops.template.releases")._record_source(folder / ANSWERS, template.source)

    monkeypatch.setattr(update, "render", render)
    return update


@pytest.mark.parametrize("trial", range(TRIALS))
def test_update_loses_no_line(
    trial: int, project: Project, template_tools: Any, package: Package
) -> None:
    chance = Random(trial)
    seeds = {file.replace("{{ package_name }}", "weather_agent") for file in owners_files()}
    names = {str(name) for name in project.names()} - seeds - {ANSWERS, TOOLS}
    files = sorted(chance.sample(sorted(names), FILES))
    renamed, removed, retired, *both = files
    owners, templates = set[str](), set[str]()
    for file in both:
        owners |= change(project, file, "owner's", chance)
        templates |= change(project.template, file, "template's", chance)
    owners |= change(project, renamed, "owner's", chance) if chance.random() < 0.5 else set()
    project.path(renamed).rename(project.path(f"{renamed}.renamed"))
    project.delete(removed)
    if chance.random() < 0.5:
        owners |= change(project, retired, "owner's", chance)
    project.template.path(retired).unlink()
    if chance.random() < 0.5:
        owners |= add_tool(project, "mine")
        templates |= add_tool(project.template, "theirs")
    data = {"ci": chance.choice(["gitlab", "none"])} if chance.random() < 0.2 else {}
    if chance.random() < 0.2:
        data["framework"] = chance.choice(FRAMEWORKS)
    project.commit()
    project.template.release(NEXT)

    merge = run_update(project, template_tools, package, data)

    # Another framework lacks files that the template has changed.
    templates &= set(project.git("grep", "-h", "", f"template/{NEXT}").splitlines())
    contents = {str(name): project.path(str(name)).read_bytes() for name in project.names()}
    found = {
        line for text in contents.values() for line in text.decode(errors="replace").split("\n")
    }
    assert owners - found == set()
    assert templates - found == set()
    assert not project.path(removed).exists()
    marked = {name for name, text in contents.items() if b"\n<<<<<<< " in b"\n" + text}
    assert marked <= set(merge.conflicts)
    before = project.git("rev-parse", "HEAD")
    if merge.conflicts:
        project.git("merge", "--abort")
        assert project.is_clean()
        assert project.git("rev-parse", "HEAD") == before
    else:
        assert project.is_clean()


def run_update(project: Project, update: Any, package: Package, data: dict[str, Any]) -> Any:
    """Update the project, and return the merge."""
    git = package("ops.template.git")
    with package("ops.template.scratch").scratch_repository(project.folder) as scratch:
        author = git.Identity("A", "a@example.com")
        prepared = update.prepare_update(project.folder, scratch, None, data, author)
        return update.apply_update(project.folder, scratch, prepared, author)
