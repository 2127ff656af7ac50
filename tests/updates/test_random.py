"""Updates of projects with random edits to releases with random edits lose nothing.

UPDATE_TRIALS is the number of trials. Each trial is the same in every run, so it can be repeated.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from random import Random

import pytest

from tests.rendering.workflows import commands, run_as
from tests.updates.projects import (
    ANSWERS,
    PACKAGE,
    Project,
    Repository,
    owners_files,
    split_conflicts,
)

TRIALS = int(os.environ.get("UPDATE_TRIALS", "12"))
FILES = 6
EDITS = 5
BOTH_ADD = f"{PACKAGE}/added_by_both.py"

Lines = list[str]


def free(lines: Lines) -> list[int]:
    """Return the indexes of the lines that do not depend on Jinja."""
    depth = 0
    found = []
    for number, line in enumerate(lines):
        depth += line.startswith("{% if") - line.startswith("{% endif")
        if depth == 0 and "{{" not in line and "{%" not in line:
            found.append(number)
    return found


def edited(lines: Lines, name: str, focus: float, chance: Random) -> Lines:
    """Insert, change, delete and append lines, half of them near one place."""
    result = list(lines)
    for number in range(chance.randint(1, EDITS)):
        new = f"# {name} {number}, {chance.random()}"
        places = free(result)
        kind = chance.choice(("insert", "change", "delete", "append"))
        if kind == "append" or not places:
            result.append(new)
            continue
        near = round(focus * (len(places) - 1)) + chance.randint(-3, 3)
        anywhere = chance.randrange(len(places))
        chosen = near if 0 <= near < len(places) and chance.random() < 0.5 else anywhere
        place = places[chosen]
        result[place : place + (kind != "insert")] = [new] if kind != "delete" else []
    return result


def edit(
    side: Repository, file: str, name: str, focus: float, chance: Random
) -> tuple[Lines, Lines]:
    """Edit a file of the project or the template; return its lines before and after."""
    before = side.read(file).splitlines()
    after = edited(before, name, focus, chance)
    # Some editors do not end a file with a newline.
    side.write(file, "\n".join(after) + "\n" * (chance.random() < 0.9))
    return before, after


def added(before: Lines, after: Lines) -> Lines:
    """Return the new lines, which are all different."""
    return [line for line in after if line not in before]


def deleted(before: Lines, after: Lines) -> Lines:
    """Return the lines that are gone, of those that occurred once."""
    return [line for line in once(before) if line not in after]


def once(lines: Iterable[str]) -> Lines:
    """Return the lines that occur once, in their order."""
    return [line for line, times in Counter(lines).items() if times == 1]


def check(text: str, before: Lines, after: Lines) -> None:
    """Assert that a file contains the edits of one side, in their place or in a conflict."""
    outside = split_conflicts(text)[0].splitlines()
    lines = text.splitlines()
    assert [line for line in added(before, after) if line not in lines] == [], "Lost."
    assert [line for line in deleted(before, after) if line in outside] == [], "Restored."
    kept = once(after)
    assert [line for line in outside if line in kept] == [
        line for line in kept if line in outside
    ], "Duplicated or moved."


def rejected_files(project: Project, check: str) -> set[str]:
    """Return the files that a check of the workflow rejects because of conflict markers."""
    done = run_as("github", check, project.folder)
    named = set(re.findall(r"^(.+?):\d+:[<>]{7} ", done.stdout, re.MULTILINE))
    assert bool(done.returncode) == bool(named)
    return named


@pytest.mark.parametrize("trial", range(TRIALS))
def test_no_edit_of_either_side_is_lost(trial: int, project: Project) -> None:
    chance = Random(trial)
    first_check = commands("github", project.folder)[0]
    seeds = {file.replace("{{ package_name }}", "weather_agent") for file in owners_files()}
    files = sorted({str(name) for name in project.names()} - seeds - {ANSWERS})
    edits: list[tuple[str, Lines, Lines]] = []
    for file in chance.sample(files, FILES):
        focus = chance.random()
        for side, name in ((project, "owner's"), (project.template, "template's")):
            if chance.random() < 0.8:
                edits.append((file, *edit(side, file, name, focus, chance)))
    project.write("added_by_the_owner.md", f"The owner's file {trial}.\n")
    project.template.write("added_by_the_template.md", f"The template's file {trial}.\n")
    if chance.random() < 0.3:
        for side, line in ((project, "# The owner's."), (project.template, "# The template's.")):
            side.write(BOTH_ADD, f"{line}\n")
            edits.append((BOTH_ADD, [], [line]))
    removed = chance.choice([file for file in files if file not in {name for name, *_ in edits}])
    project.delete(removed)

    project.release_and_update()

    for file, before, after in edits:
        check(project.read(file), before, after)
    assert project.read("added_by_the_owner.md") == f"The owner's file {trial}.\n"
    assert project.read("added_by_the_template.md") == f"The template's file {trial}.\n"
    assert not project.path(removed).exists()
    marked = {file for file, *_ in edits if split_conflicts(project.read(file))[1]}
    assert project.conflicts().keys() == marked
    assert rejected_files(project, first_check) == marked
    assert [str(name) for name in project.names() if name.suffix in (".rej", ".orig")] == []
