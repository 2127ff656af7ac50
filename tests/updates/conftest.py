"""A project and its template, for the tests of updates."""

from pathlib import Path

import pytest

from tests.updates.projects import NAME, NOW, SAMPLE, Project, Template, lines, small_project


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
