"""The template's files before rendering."""

import keyword
import re
import sys
import tomllib
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta

from tests.helpers.template import (
    ALL_QUESTIONS,
    COMPUTED,
    COPIER_YML,
    QUESTIONS,
    ROOT,
    tracked_files,
)

FILES = [path for path in tracked_files() if path.parts[0] == "template"]
RESERVED_NAMES = set(ALL_QUESTIONS["reserved_names"]["default"].split())
# The variables of Copier that this template uses.
COPIER_VARIABLES = {
    "_copier_answers",
    "_copier_conf",
    "_copier_operation",
    "_copier_phase",
    "_copier_python",
    "_stage",
    # Undefined on purpose: the filter `mandatory` stops Copier with a message.
    "option",
    "package",
    "tag",
}


def variables(source: str) -> set[str]:
    """Return the variables that a Jinja source uses."""
    environment = jinja2.Environment(autoescape=False)
    used = ("fileglob", "realpath", "regex_search", "relpath", "to_nice_yaml")
    environment.filters |= dict.fromkeys(used, str)
    return meta.find_undeclared_variables(environment.parse(source))


def sources() -> dict[str, str]:
    """Return every Jinja source by name: paths, templates and `copier.yml`."""
    found = {f"path {path}": str(path) for path in FILES}
    found |= {
        str(path): (ROOT / path).read_text(encoding="utf-8")
        for path in FILES
        if path.suffix == ".jinja"
    }
    for name in ("copier.yml", "replaced_agent.jinja"):
        found[name] = (ROOT / name).read_text(encoding="utf-8")
    return found


def test_every_variable_is_a_question() -> None:
    for name, source in sources().items():
        unknown = variables(source) - ALL_QUESTIONS.keys() - COPIER_VARIABLES
        assert not unknown, f"{name} uses {unknown}."


def test_every_question_is_used() -> None:
    used = set().union(*(variables(source) for source in sources().values()))
    assert used >= ALL_QUESTIONS.keys()


def test_there_are_at_most_nine_questions_and_all_but_the_name_have_a_default() -> None:
    assert len(QUESTIONS) <= 9
    assert [name for name, question in QUESTIONS.items() if "default" not in question] == [
        "project_name"
    ]


def test_settings_come_first_and_computed_values_last() -> None:
    names = [name for name in COPIER_YML if name != "reserved_names"]
    settings = [name for name in names if name.startswith("_")]
    # Copier computes this one before it asks for the framework.
    computed = [name for name in names if name in COMPUTED and name != "previous_framework"]
    assert names[: len(settings)] == settings
    assert names[-len(computed) :] == computed


@pytest.mark.parametrize("setting", ["_tasks", "_jinja_extensions"])
def test_settings_that_require_trust_are_absent(setting: str) -> None:
    assert setting not in COPIER_YML


def test_migrations_name_their_version() -> None:
    assert all("version" in migration for migration in COPIER_YML.get("_migrations", []))


def test_paths_can_be_checked_out_on_windows() -> None:
    assert [str(path) for path in tracked_files() if re.search(r'[<>"|?*:\\]', str(path))] == []


def test_git_files_of_the_template_do_not_apply_to_this_repository() -> None:
    assert not {".gitignore", ".gitattributes"} & {path.name for path in FILES}


def test_python_files_contain_no_jinja_except_names() -> None:
    for path in FILES:
        if path.name.endswith(".py.jinja"):
            source = (ROOT / path).read_text(encoding="utf-8")
            assert "{%" not in source, path
            assert set(re.findall(r"{{ *(.*?) *}}", source)) <= QUESTIONS.keys(), path
        elif path.suffix != ".jinja":
            assert "{{ package_name" not in (ROOT / path).read_text(encoding="utf-8"), path


def test_conditions_are_on_separate_lines() -> None:
    for path in FILES:
        if path.suffix == ".jinja":
            for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
                assert "{%" not in line or re.fullmatch(r"{% .* %}", line), f"{path}: {line}"


def test_reserved_names_include_those_of_python() -> None:
    names = sys.stdlib_module_names | set(keyword.kwlist)
    possible = {name for name in names if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    # Python 3.14 added these after agents could already have these names.
    newer = {"annotationlib", "compression"}
    assert possible - newer <= RESERVED_NAMES


def test_reserved_names_include_those_of_the_dependencies(default_project: Path) -> None:
    project = tomllib.loads((default_project / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {re.split(r"[<>=\[]", name)[0] for name in project["project"]["dependencies"]}
    modules = {"python-dotenv": "dotenv", "pyyaml": "yaml"}
    # Dependencies added after agents could already have these names.
    newer = {
        "anyio",
        "httpx_aiohttp",
        "jinja2",
        "packaging",
        "pyarrow",
        "pydantic_settings",
        "starlette",
        "uvicorn",
        "yaml",
    }
    names = {modules.get(name, name.replace("-", "_")) for name in packages}
    assert names - newer <= RESERVED_NAMES
