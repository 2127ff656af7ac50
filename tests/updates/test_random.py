"""Random edits of an owner meet random edits of the template: nothing is lost on either side.

UPDATE_TRIALS is the number of trials; each is the same at every run, so a failure can be repeated.
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

TRIALS = int(os.environ.get("UPDATE_TRIALS", "40"))
FILES = 6
EDITS = 5
BOTH_ADD = f"{PACKAGE}/added_by_both.py"

Lines = list[str]


def free(lines: Lines) -> list[int]:
    """The lines that Jinja neither writes nor may leave out; all of them, in a project."""
    depth = 0
    found = []
    for number, line in enumerate(lines):
        depth += line.startswith("{% if") - line.startswith("{% endif")
        if depth == 0 and "{{" not in line and "{%" not in line:
            found.append(number)
    return found


def edited(lines: Lines, name: str, focus: float, chance: Random) -> Lines:
    """Lines with some inserted, changed, deleted and appended, half of them around one place."""
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
    """Edit a file of the project or of the template; its lines before and after."""
    before = side.read(file).splitlines()
    after = edited(before, name, focus, chance)
    # Some editors end a file without a newline.
    side.write(file, "\n".join(after) + "\n" * (chance.random() < 0.9))
    return before, after


def added(before: Lines, after: Lines) -> Lines:
    """The lines that are new; each is the only one of its kind."""
    return [line for line in after if line not in before]


def deleted(before: Lines, after: Lines) -> Lines:
    """The lines that are gone, of those that were the only one of their kind."""
    return [line for line in once(before) if line not in after]


def once(lines: Iterable[str]) -> Lines:
    """The lines that stand there once, in their order."""
    return [line for line, times in Counter(lines).items() if times == 1]


def check(text: str, before: Lines, after: Lines) -> None:
    """Assert that a file holds what one side did to it, in its place or in a conflict."""
    outside = split_conflicts(text)[0].splitlines()
    lines = text.splitlines()
    assert [line for line in added(before, after) if line not in lines] == [], "Lost."
    assert [line for line in deleted(before, after) if line in outside] == [], "Came back."
    kept = once(after)
    assert [line for line in outside if line in kept] == [
        line for line in kept if line in outside
    ], "Twice, or in another place."


def files_in_the_way(project: Project, check: str) -> set[str]:
    """The files for which a check of the workflow is red, as it names them."""
    done = run_as("github", check, project.folder)
    named = set(re.findall(r"^(.+?):\d+:[<>]{7} ", done.stdout, re.MULTILINE))
    assert bool(done.returncode) == bool(named)
    return named


@pytest.mark.parametrize("trial", range(TRIALS))
def test_nothing_is_lost_on_either_side(trial: int, project: Project) -> None:
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
    project.write("added_by_the_owner.md", f"Owner's {trial}.\n")
    project.template.write("added_by_the_template.md", f"Template's {trial}.\n")
    if chance.random() < 0.3:
        for side, line in ((project, "# The owner's."), (project.template, "# The template's.")):
            side.write(BOTH_ADD, f"{line}\n")
            edits.append((BOTH_ADD, [], [line]))
    removed = chance.choice([file for file in files if file not in {name for name, *_ in edits}])
    project.delete(removed)

    project.release_and_update()

    for file, before, after in edits:
        check(project.read(file), before, after)
    assert project.read("added_by_the_owner.md") == f"Owner's {trial}.\n"
    assert project.read("added_by_the_template.md") == f"Template's {trial}.\n"
    assert not project.path(removed).exists()
    marked = {file for file, *_ in edits if split_conflicts(project.read(file))[1]}
    assert project.conflicts().keys() == marked
    assert files_in_the_way(project, first_check) == marked
    assert [str(name) for name in project.names() if name.suffix in (".rej", ".orig")] == []
