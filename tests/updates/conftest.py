"""A project and its template, for the tests of updates."""

from pathlib import Path

import pytest

from tests.updates.projects import Project, small_project


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project under git and its template. The test may change both."""
    return small_project(tmp_path_factory.getbasetemp()).copied(tmp_path)
