"""Answers survive updates, and a changed answer changes what hangs on it."""

from pathlib import Path
from typing import Any

import yaml

from tests.updates.projects import ANSWERS, NEXT, NOW, PACKAGE, Project

WORKFLOW = ".github/workflows/ci.yml"


def answers(project: Project) -> dict[str, Any]:
    """What the template was told."""
    return yaml.safe_load(project.read(ANSWERS))


def flip(project: Project, **changed: Any) -> None:
    """Give another answer, without taking up another release."""
    before = answers(project)
    project.commit()
    project.update(NOW, **changed)
    assert answers(project) == before | changed


def test_a_changed_ci_changes_its_files(project: Project, tmp_path: Path) -> None:
    flip(project, ci="gitlab")
    assert project.conflicts() == {}
    assert not project.path(WORKFLOW).exists()
    assert project.path(".gitlab-ci.yml").exists()
    assert project.files() == project.template.fresh(NOW, tmp_path / "fresh", ci="gitlab")


def test_an_answer_that_takes_a_file_away_leaves_it_to_git(project: Project) -> None:
    project.append(WORKFLOW, "# Mine.\n")
    flip(project, ci="none")
    assert not project.path(WORKFLOW).exists()
    assert project.git("show", f"HEAD:{WORKFLOW}").endswith("# Mine.\n")


def test_a_changed_licence_changes_its_files(project: Project, tmp_path: Path) -> None:
    author = "The weather-agent authors"
    flip(project, license="MIT", author=author)
    assert project.conflicts() == {}
    assert author in project.read("LICENSE")
    assert project.files() == project.template.fresh(
        NOW, tmp_path / "fresh", license="MIT", author=author
    )


def test_a_licence_can_be_given_up(project: Project, tmp_path: Path) -> None:
    licensed = Project.made(project.template, tmp_path / "licensed", license="Apache-2.0")
    licensed.update(NOW, license="none")
    assert licensed.conflicts() == {}
    assert not licensed.path("LICENSE").exists()
    assert licensed.files().keys() == project.files().keys()
    assert licensed.read("pyproject.toml") == project.read("pyproject.toml")


def test_the_owners_work_stays_when_an_answer_changes(project: Project) -> None:
    project.append(f"{PACKAGE}/tools.py", "# Mine.\n")
    project.append("README.md", "It runs in Vienna.\n")
    project.write(f"{PACKAGE}/instructions.md", "Mine.\n")
    flip(project, ci="azure", llm="databricks:/my-endpoint", description="Tells the weather.")
    assert project.conflicts() == {}
    assert project.read(f"{PACKAGE}/tools.py").endswith("# Mine.\n")
    assert project.read("README.md").endswith("It runs in Vienna.\n")
    assert project.read(f"{PACKAGE}/instructions.md") == "Mine.\n"
    assert "llm: databricks:/my-endpoint\n" in project.read(f"{PACKAGE}/config.yml")


def test_a_licence_of_the_owners_own_is_a_conflict_and_not_lost(project: Project) -> None:
    project.write("LICENSE", "All mine.\n")
    flip(project, license="MIT", author="Me")
    conflict = project.conflict("LICENSE")
    assert conflict.owners == "All mine.\n"
    assert conflict.templates.startswith("MIT License\n")


def test_a_renamed_question_keeps_its_answer(project: Project, tmp_path: Path) -> None:
    own = "Tells the weather in Vienna."
    flip(project, description=own)
    template = project.template
    old_default = "default: An agent that answers questions with the help of tools.\n"
    new_default = "default: \"{{ description | default('An agent.') }}\"\n"
    settings = template.read("copier.yml").replace("description", "summary")
    assert settings.count(old_default) == 1
    template.write("copier.yml", settings.replace(old_default, new_default))
    for source in template.sources():
        text = source.read_text(encoding="utf-8")
        source.write_text(text.replace("{{ description ", "{{ summary "), encoding="utf-8")
    project.release_and_update()
    assert project.conflicts() == {}
    assert answers(project)["summary"] == own
    assert "description" not in answers(project)
    assert project.files() == template.fresh(NEXT, tmp_path / "fresh", summary=own)


def test_a_new_question_is_answered_with_its_default(project: Project, tmp_path: Path) -> None:
    before = answers(project)
    question = "tone:\n  type: str\n  help: How does it speak?\n  default: plainly\n\n"
    project.template.edit("copier.yml", "\nci:\n", f"\n{question}ci:\n")
    project.template.write("tone.txt.jinja", "{{ tone }}\n")
    project.release_and_update()
    assert answers(project) == before | {"_commit": NEXT, "tone": "plainly"}
    assert project.read("tone.txt") == "plainly\n"
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_answers_stay_when_a_default_changes(project: Project) -> None:
    before = answers(project)
    old = "default: An agent that answers questions with the help of tools.\n"
    project.template.edit("copier.yml", old, "default: An agent.\n")
    project.template.edit("copier.yml", "default: offline:/demo\n", "default: openai:/gpt-9\n")
    project.release_and_update()
    assert answers(project) == before | {"_commit": NEXT}
    assert project.conflicts() == {}
