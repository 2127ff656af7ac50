"""A project and its template, for the tests of updates."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tests.helpers.agents import Agent
from tests.updates.projects import NAME, NOW, SAMPLE, Project, Template, lines, small_project
from tests.updates.updating import UpdatingProject, made_with_updates


@pytest.fixture(scope="package", autouse=True)
def compile_sources_once() -> Iterator[None]:
    """Compile each Jinja source once. Copier compiles all names and files again in each run."""
    compile_source = Environment.compile
    compiled: dict[tuple[Any, ...], Any] = {}

    def compile_once(environment: Environment, source: Any, *arguments: Any, **options: Any) -> Any:
        key = (source, arguments, *options.items())
        if key not in compiled:
            compiled[key] = compile_source(environment, source, *arguments, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        yield


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project under git and its template. The test may change both."""
    return small_project(tmp_path_factory.getbasetemp()).copied(tmp_path)


@pytest.fixture
def tiny_project(tmp_path: Path) -> Project:
    """A project with one file, and its template. The test may change both.

    Its updates take a fraction of the time: for tests in which the files do not matter.
    """
    template = Template.tiny(tmp_path / "template")
    template.write(SAMPLE, lines("Line"))
    template.release(NOW)
    return Project.made(template, tmp_path / NAME)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two newer releases of its template. Do not change it; copy it."""
    return made_with_updates(tmp_path_factory.mktemp("updating"))


@pytest.fixture
def updating(made: Project, agent: Agent, tmp_path: Path) -> UpdatingProject:
    """A project with two newer releases of its template. The test may change it."""
    shutil.copytree(made.folder, tmp_path / NAME, symlinks=True)
    (tmp_path / NAME / "tests" / "contract").mkdir(exist_ok=True)  # left out of the template
    return UpdatingProject(Project(tmp_path / NAME, made.template), agent)
