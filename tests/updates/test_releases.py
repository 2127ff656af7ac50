"""Updates from every release to the working tree."""

import functools
import itertools
import re
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.helpers.template import COPIER_YML, QUESTIONS, ROOT, tracked_files
from tests.updates.projects import (
    ANSWERS,
    MOVED_FILES,
    NAME,
    NOW,
    Files,
    Project,
    Template,
    all_releases,
    name_in_project,
    owners_files,
    released,
    with_placeholder,
)

RELEASED = released()
OLDEST, *_, NEWEST = RELEASED
# `make test` updates from these: the oldest, the last before files moved, and the newest.
CORNERS = (OLDEST, "v0.4.0", NEWEST)
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "gitlab and MIT": {"ci": "gitlab", "license": "MIT", "author": "Ada Lovelace"},
    "azure, Apache and databricks": {
        "ci": "azure",
        "license": "Apache-2.0",
        "llm": "databricks:/databricks-claude-sonnet-4",
        "package_name": "weather",
    },
    "no CI": {"ci": "none", "llm": "openai:/gpt-5-mini", "description": "Tells the weather."},
}
# Where the owner adds lines to a file.
PLACES = ("first", "middle", "last")
# The longest answers that the validators accept, and other extremes.
EXTREMES: dict[str, dict[str, Any]] = {
    "long": {"project_name": "a" * 30, "package_name": "b" * 30, "description": "c" * 90},
    "digits": {"project_name": "a-1-b2", "package_name": "a1_2", "llm": "openai:/a.b:c/d@e-f"},
    "one letter": {"project_name": "a", "package_name": "b", "description": "d"},
    "signs": {"description": "Grüße & <Fragen> — it's {curly}, #1 | 100 %."},
    "author": {"license": "MIT", "author": "Ångström O'Neill & Co."},
}

MOVES: dict[str, dict[str, str | list[str] | None]] = yaml.safe_load(
    (ROOT / MOVED_FILES).read_text(encoding="utf-8")
)


def release(tag: str, *case: str, corners: tuple[str, ...] = CORNERS) -> Any:
    """Return parameters for a release, which `make test` omits unless it is a corner."""
    marks = [] if tag in corners else [pytest.mark.proof]
    return pytest.param(*case, tag, marks=marks, id="-".join([tag, *case]))


def with_every_release(cases: Iterable[str], *, main: str | None = None) -> list[Any]:
    """Return parameters for all cases and releases.

    `make test` runs the main case with all corners, and others with the oldest and the newest.
    """
    ends = (OLDEST, NEWEST)
    return [
        release(tag, case, corners=CORNERS if case == main else ends)
        for case in cases
        for tag in RELEASED
    ]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """All releases, and the working tree as the newest. Do not change it."""
    return all_releases(tmp_path_factory.getbasetemp())


@pytest.fixture(params=RELEASED)
def tag(request: pytest.FixtureRequest) -> str:
    """The tag of a release."""
    shown = ("git", "cat-file", "-e", RELEASED[request.param])
    present = subprocess.run(shown, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert present, f"This clone does not contain {request.param}. Run: git fetch --unshallow"
    return request.param


def read_at(tag: str, file: str) -> str:
    """Return a file of the template in a release."""
    shown = ["git", "show", f"{RELEASED[tag]}:{file}"]
    return subprocess.run(shown, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def questions_at(tag: str) -> dict[str, Any]:
    """Return the questions of a release."""
    text = re.sub(r"^!include .*$", "", read_at(tag, "copier.yml"), flags=re.MULTILINE)
    documents = [document or {} for document in yaml.safe_load_all(text)]
    keys = itertools.chain.from_iterable(document.items() for document in documents)
    return {key: value for key, value in keys if not key.startswith("_")}


def reserved_names(settings: dict[str, Any]) -> set[str]:
    """Return the names that a package cannot have; up to v0.2.0 they were a list."""
    names = settings["reserved_names"]["default"]
    return set(names.split() if isinstance(names, str) else names)


def files_at(tag: str) -> set[str]:
    """Return the files that a release renders for any answers, as `moved_files.yml` names them."""
    listing = ["git", "ls-tree", "-r", "-z", "--name-only", RELEASED[tag], "template/"]
    done = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    names = (name for name in done.stdout.split("\0") if name)
    return {project_file(Path(name)) for name in names}


def project_file(source: Path) -> str:
    """Return the name in a project of a file of the template, as `moved_files.yml` gives it."""
    return with_placeholder(name_in_project(source.relative_to("template")))


def files_now() -> set[str]:
    """Return the files that the working tree renders for any answers."""
    return {project_file(name) for name in tracked_files() if name.parts[0] == "template"}


def seeds(answers: dict[str, Any]) -> set[str]:
    """Return the owner's files of a project."""
    package = answers.get("package_name", NAME.replace("-", "_"))
    return {file.replace("{{ package_name }}", package) for file in owners_files()}


@pytest.fixture(scope="module")
def fresh_files(
    releases: Template, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Files]:
    """A function that returns the files of the working tree, rendered for a preset."""

    @functools.cache
    def render(preset: str) -> Files:
        return releases.fresh(NOW, tmp_path_factory.mktemp("fresh") / "agent", **PRESETS[preset])

    return render


@pytest.mark.parametrize(
    ("preset", "tag"), with_every_release(PRESETS, main="default"), indirect=["tag"]
)
def test_an_unchanged_project_becomes_a_fresh_one(
    preset: str,
    tag: str,
    releases: Template,
    fresh_files: Callable[[str], Files],
    tmp_path: Path,
) -> None:
    answers = PRESETS[preset]
    project = Project.made(releases, tmp_path / "agent", tag, **answers)
    before = project.files()
    project.update(NOW, unsafe=True)
    assert project.conflicts() == {}

    owners = seeds(answers)
    updated = project.files()
    kept = owners & before.keys()
    assert {file: updated[file] for file in kept} == {file: before[file] for file in kept}
    assert without(owners, updated) == without(owners, fresh_files(preset))


def without(names: set[str], files: Files) -> Files:
    """Return the files with other names."""
    return {name: content for name, content in files.items() if name not in names}


def test_the_next_update_needs_no_trust_and_changes_nothing(
    releases: Template, tmp_path: Path
) -> None:
    project = Project.made(releases, tmp_path / "agent", OLDEST)
    project.update(NOW, unsafe=True)
    project.commit()
    project.update(NOW, unsafe=False)
    assert project.is_clean()


@pytest.mark.parametrize("tag", [release(tag) for tag in RELEASED], indirect=True)
def test_no_line_of_the_owner_is_lost_in_any_file(
    tag: str, releases: Template, tmp_path: Path
) -> None:
    project = Project.made(releases, tmp_path / "agent", tag)
    files = [str(name) for name in project.names() if str(name) != ANSWERS]
    for file in files:
        text = project.read(file).splitlines(keepends=True)
        added = [f"The owner's {place} line of {file}\n" for place in PLACES]
        middle = len(text) // 2
        text = [added[0], *text[:middle], added[1], *text[middle:], added[2]]
        project.write(file, "".join(text))
    project.commit()
    with suppress(copier.errors.TaskError):  # raised if files stay at their old paths
        project.update(NOW, unsafe=True)
    texts = {str(name): project.read(str(name)) for name in project.names()}
    lines = {line for text in texts.values() for line in text.splitlines()}
    owners = {f"The owner's {place} line of {file}" for file in files for place in PLACES}
    assert owners - lines == set()
    # Git lists the files with conflicts, so the owner finds them.
    marked = {file for file, text in texts.items() if "<<<<<<< before updating\n" in text}
    assert project.conflicts().keys() == marked


def test_every_file_that_is_gone_is_listed_as_moved(tag: str) -> None:
    listed = {file for moves in MOVES.values() for file in moves}
    assert files_at(tag) - files_now() - listed == set()


def test_every_moved_file_has_a_new_path_that_exists() -> None:
    paths: set[str] = set()
    for new in itertools.chain.from_iterable(moves.values() for moves in MOVES.values()):
        paths |= {new} if isinstance(new, str) else set(new or [])
    assert paths - files_now() == set()


def test_every_version_with_moved_files_has_a_migration() -> None:
    assert MOVES.keys() == {migration["version"] for migration in COPIER_YML["_migrations"]}


def test_every_released_choice_is_still_valid(tag: str) -> None:
    for name, question in questions_at(tag).items():
        if name in QUESTIONS and isinstance(question, dict) and "choices" in question:
            released = set(question["choices"].values())
            assert released <= set(QUESTIONS[name]["choices"].values()), name


def test_every_name_that_was_valid_is_still_valid(tag: str) -> None:
    released = reserved_names(yaml.safe_load(read_at(tag, "reserved_names.yml")))
    added = reserved_names(COPIER_YML) - released
    assert added == set(), "Projects with such a name could not be updated."


@pytest.mark.parametrize(("case", "tag"), with_every_release(EXTREMES), indirect=["tag"])
def test_every_answer_that_was_valid_is_still_valid(
    case: str, tag: str, releases: Template, tmp_path: Path
) -> None:
    answers = {"project_name": NAME} | EXTREMES[case]
    for version in (tag, NOW):
        worker = copier.run_copy(
            str(releases.folder),
            tmp_path / version,
            data=answers,
            vcs_ref=version,
            defaults=True,
            pretend=True,
            quiet=True,
        )
        assert answers.items() <= worker.answers.combined.items(), version
