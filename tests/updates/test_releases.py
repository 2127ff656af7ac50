"""Projects made from every release there ever was become what the working tree renders."""

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml

from tests.helpers.template import COPIER_YML, QUESTIONS, ROOT
from tests.updates.projects import (
    ANSWERS,
    NAME,
    NOW,
    Project,
    Template,
    all_releases,
    owners_files,
    released,
)

RELEASED = released()
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
# The longest that the validators let through, and the words in which they are strict.
EXTREMES: dict[str, dict[str, Any]] = {
    "long": {"project_name": "a" * 30, "package_name": "b" * 30, "description": "c" * 90},
    "digits": {"project_name": "a-1-b2", "package_name": "a1_2", "llm": "openai:/a.b:c/d@e-f"},
    "one letter": {"project_name": "a", "package_name": "b", "description": "d"},
    "signs": {"description": "Grüße & <Fragen> — it's {curly}, #1 | 100 %."},
    "author": {"license": "MIT", "author": "Ångström O'Neill & Co."},
}

# A migration needs trust, once for each project that is older than it.
TRUST = bool(COPIER_YML.get("_migrations"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """All releases, and the working tree as the newest; not to be changed."""
    return all_releases(tmp_path_factory.getbasetemp())


@pytest.fixture(params=RELEASED)
def tag(request: pytest.FixtureRequest) -> str:
    """The tag of a release."""
    shown = ("git", "cat-file", "-e", RELEASED[request.param])
    present = subprocess.run(shown, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert present, f"The release {request.param} is missing here: git fetch --tags --unshallow"
    return request.param


def read_at(tag: str, file: str) -> str:
    """A file of the template as it was released."""
    shown = ["git", "show", f"{RELEASED[tag]}:{file}"]
    return subprocess.run(shown, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def questions_at(tag: str) -> dict[str, Any]:
    """The questions of a release."""
    text = re.sub(r"^!include .*$", "", read_at(tag, "copier.yml"), flags=re.MULTILINE)
    documents = [document or {} for document in yaml.safe_load_all(text)]
    keys = itertools.chain.from_iterable(document.items() for document in documents)
    return {key: value for key, value in keys if not key.startswith("_")}


def reserved_names(settings: dict[str, Any]) -> set[str]:
    """The names that no package may have; up to v0.2.0 they were a list."""
    names = settings["reserved_names"]["default"]
    return set(names.split() if isinstance(names, str) else names)


def seeds(answers: dict[str, Any]) -> set[str]:
    """The owner's files of a project."""
    package = answers.get("package_name", NAME.replace("-", "_"))
    return {file.replace("{{ package_name }}", package) for file in owners_files()}


@pytest.mark.parametrize("preset", PRESETS)
def test_an_untouched_project_becomes_what_a_fresh_one_is(
    preset: str, tag: str, releases: Template, tmp_path: Path
) -> None:
    answers = PRESETS[preset]
    project = Project.made(releases, tmp_path / "agent", tag, **answers)
    before = project.files()
    project.update(NOW, unsafe=TRUST)
    assert project.conflicts() == {}

    fresh = releases.fresh(NOW, tmp_path / "fresh", **answers)
    kept = seeds(answers) & before.keys()
    updated = project.files()
    assert {file: updated[file] for file in kept} == {file: before[file] for file in kept}
    for files in (updated, fresh):
        for file in seeds(answers):
            files.pop(file, None)
    assert updated == fresh

    project.commit()
    project.update(NOW, unsafe=False)
    assert project.is_clean()


def test_no_line_of_the_owners_is_lost_in_any_file(
    tag: str, releases: Template, tmp_path: Path
) -> None:
    project = Project.made(releases, tmp_path / "agent", tag)
    files = [str(name) for name in project.names() if str(name) != ANSWERS]
    for file in files:
        project.write(file, f"Mine, above {file}\n{project.read(file)}Mine, below {file}\n")
    project.commit()
    project.update(NOW, unsafe=TRUST)
    lines = {line for name in project.names() for line in project.read(str(name)).splitlines()}
    mine = {f"Mine, {place} {file}" for file in files for place in ("above", "below")}
    assert mine - lines == set()


def test_every_choice_that_was_released_is_still_there(tag: str) -> None:
    for name, question in questions_at(tag).items():
        if name in QUESTIONS and isinstance(question, dict) and "choices" in question:
            released = set(question["choices"].values())
            assert released <= set(QUESTIONS[name]["choices"].values()), name


def test_every_name_that_was_free_is_still_free(tag: str) -> None:
    released = reserved_names(yaml.safe_load(read_at(tag, "reserved_names.yml")))
    added = reserved_names(COPIER_YML) - released
    assert added == set(), "Projects of such a name could not be updated."


@pytest.mark.parametrize("case", EXTREMES)
def test_every_answer_that_was_accepted_still_is(
    case: str, tag: str, releases: Template, tmp_path: Path
) -> None:
    asked = {"project_name": NAME} | EXTREMES[case]
    for version in (tag, NOW):
        worker = copier.run_copy(
            str(releases.folder),
            tmp_path / version,
            data=asked,
            vcs_ref=version,
            defaults=True,
            pretend=True,
            quiet=True,
        )
        assert asked.items() <= worker.answers.combined.items(), version
