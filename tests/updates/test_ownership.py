"""No file that git ignores is shipped."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Render
from tests.helpers.template import tracked_files
from tests.rendering.combinations import label, pairwise


@pytest.fixture(params=pairwise(), ids=label)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project; not to be changed."""
    answers: dict[str, Any] = request.param
    return render(**answers)


def rendered_files(project: Path) -> list[str]:
    """Return the files of a rendered project, whether git would track them or not."""
    paths = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if ".git" not in path.parts)


def test_nothing_that_git_ignores_is_shipped(project: Path, tmp_path: Path) -> None:
    # An update would overwrite it, and git could not bring it back.
    files = rendered_files(project)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((project / ".gitignore").read_bytes())
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert [path.as_posix() for path in tracked_files(tmp_path)] == files
