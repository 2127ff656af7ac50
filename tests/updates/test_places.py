"""Projects that are a folder of a larger repository are updated there."""

from pathlib import Path

import pytest

from tests.updates.projects import NAME, NEXT, PACKAGE, Project, small_project

AGENT = f"{PACKAGE}/agent.py"
OTHER = "forecast-agent"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in a folder of a larger repository, and its template."""
    template = small_project(tmp_path_factory.getbasetemp()).copied(tmp_path / "alone").template
    return Project.in_a_larger_repository(template, tmp_path / "mono", f"agents/{NAME}")


def test_a_project_in_a_folder_is_updated_like_any_other(project: Project, tmp_path: Path) -> None:
    above = Path("../../README.md")
    project.write(str(above), "All our agents.\n")
    project.write("tests/test_weather.py", "MINE = 1\n")
    project.delete(f"{PACKAGE}/report.py")
    project.edit(AGENT, "content = self.instructions\n", "content = self.instructions * 2\n")
    own = project.read(AGENT)
    project.template.append(AGENT, "# The end.\n")
    project.template.delete(f"{PACKAGE}/logs.py")
    project.release_and_update()
    assert project.conflicts() == {}
    assert project.read(str(above)) == "All our agents.\n"
    assert project.read(AGENT) == own + "# The end.\n"
    expected = project.template.fresh(NEXT, tmp_path / "fresh")
    del expected[f"{PACKAGE}/report.py"]
    expected |= {file: project.path(file).read_bytes() for file in (AGENT, "tests/test_weather.py")}
    assert project.files() == expected


def test_a_conflict_in_a_folder_holds_both_sides(project: Project) -> None:
    project.edit(AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # mine\n")
    project.template.edit(
        AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # its\n"
    )
    project.release_and_update()
    conflict = project.conflict(AGENT)
    assert conflict.owners == "        tag_trace(request)  # mine\n"
    assert conflict.templates == "        tag_trace(request)  # its\n"


def test_two_projects_in_one_repository_are_updated_one_after_the_other(project: Project) -> None:
    other = Project.made(
        project.template, project.folder.parent / OTHER, alone=False, project_name=OTHER
    )
    other_agent = "src/forecast_agent/agent.py"
    project.append(f"{PACKAGE}/tools.py", "# Mine.\n")
    other.append("src/forecast_agent/tools.py", "# Mine as well.\n")
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
    assert project.read(f"{PACKAGE}/tools.py").endswith("# Mine.\n")
    assert other.read("src/forecast_agent/tools.py").endswith("# Mine as well.\n")
