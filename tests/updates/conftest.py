"""A project and its template, for the tests of updates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tests.updates.projects import NAME, NOW, SAMPLE, Project, Template, lines, small_project


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
