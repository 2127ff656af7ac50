"""A project and its template."""

from pathlib import Path

import pytest

from tests.updates.projects import Project, small_project


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project under git and the template it was made from, both to be changed at will."""
    return small_project(tmp_path_factory.getbasetemp()).copied(tmp_path)
