"""Updates of projects that are a folder of a larger repository."""

from pathlib import Path

import pytest

from tests.updates.projects import NAME, NEXT, PACKAGE, Project, small_project

AGENT = f"{PACKAGE}/agent.py"
LOGS = f"{PACKAGE}/ops/log_filters.py"
REPORT = f"{PACKAGE}/commands/report.py"
OTHER = "forecast-agent"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in a folder of a larger repository, and its template."""
    template = small_project(tmp_path_factory.getbasetemp()).copied(tmp_path / "alone").template
    return Project.in_a_larger_repository(template, tmp_path / "mono", f"agents/{NAME}")


def test_only_the_folder_of_the_project_is_updated(project: Project, tmp_path: Path) -> None:
    above = Path("../../README.md")
    project.write(str(above), "All our agents.\n")
    project.write("tests/test_weather.py", "TODAY = 1\n")
    project.delete(REPORT)
    project.edit(AGENT, "content = self.instructions\n", "content = self.instructions * 2\n")
    own = project.read(AGENT)
    project.template.append(AGENT, "# The end.\n")
    project.template.delete(LOGS)
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(str(above)) == "All our agents.\n"
    assert project.read(AGENT) == own + "# The end.\n"
    expected = project.template.fresh(NEXT, tmp_path / "fresh")
    del expected[REPORT]
    expected |= {file: project.path(file).read_bytes() for file in (AGENT, "tests/test_weather.py")}
    assert project.files() == expected


def test_a_conflict_contains_both_sides(project: Project) -> None:
    project.edit(AGENT, "import json\n", "import json  # the owner's\n")
    project.template.edit(AGENT, "import json\n", "import json  # the template's\n")
    project.release_and_update()
    conflict = project.conflict(AGENT)
    assert conflict.owners == "import json  # the owner's\n"
    assert conflict.templates == "import json  # the template's\n"


def test_two_projects_in_one_repository_are_updated_independently(project: Project) -> None:
    other = Project.made(
        project.template, project.folder.parent / OTHER, alone=False, project_name=OTHER
    )
    other_agent = "src/forecast_agent/agent.py"
    project.append(f"{PACKAGE}/tools.py", "# The owner's.\n")
    other.append("src/forecast_agent/tools.py", "# Also the owner's.\n")
    project.commit()
    before = other.files()
    project.template.append(AGENT, "# The end.\n")
    project.release_and_update()
    assert other.files() == before
    project.commit()
    after = project.files()
    other.update()
    assert project.files() == after
    assert project.conflicts() == other.conflicts() == {}
    for agent, file in ((project, AGENT), (other, other_agent)):
        assert agent.read(file).endswith("# The end.\n")
    assert project.read(f"{PACKAGE}/tools.py").endswith("# The owner's.\n")
    assert other.read("src/forecast_agent/tools.py").endswith("# Also the owner's.\n")
