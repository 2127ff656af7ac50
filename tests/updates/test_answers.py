"""Updates keep the answers, and a changed answer changes the files that depend on it."""

from pathlib import Path
from typing import Any

import yaml

from tests.updates.projects import ANSWERS, NEXT, NOW, PACKAGE, Project

WORKFLOW = ".github/workflows/ci.yml"


def answers(project: Project) -> dict[str, Any]:
    """Return the answers that the project records."""
    return yaml.safe_load(project.read(ANSWERS))


def change_answers(project: Project, **changed: Any) -> None:
    """Change answers and stay at the same release."""
    before = answers(project)
    project.commit()
    project.update(NOW, **changed)
    assert answers(project) == before | changed


def test_another_ci_replaces_the_workflow(project: Project, tmp_path: Path) -> None:
    change_answers(project, ci="gitlab")
    assert project.conflicts() == {}
    assert not project.path(WORKFLOW).exists()
    assert project.path(".gitlab-ci.yml").exists()
    assert project.files() == project.template.fresh(NOW, tmp_path / "fresh", ci="gitlab")


def test_a_changed_file_that_an_answer_removes_is_still_in_git(project: Project) -> None:
    project.append(WORKFLOW, "# The owner's line.\n")
    change_answers(project, ci="none")
    assert not project.path(WORKFLOW).exists()
    assert project.git("show", f"HEAD:{WORKFLOW}").endswith("# The owner's line.\n")


def test_another_license_adds_its_files(project: Project, tmp_path: Path) -> None:
    author = "The weather-agent authors"
    change_answers(project, license="MIT", author=author)
    assert project.conflicts() == {}
    assert author in project.read("LICENSE")
    assert project.files() == project.template.fresh(
        NOW, tmp_path / "fresh", license="MIT", author=author
    )


def test_a_license_can_be_removed(project: Project, tmp_path: Path) -> None:
    licensed = Project.made(project.template, tmp_path / "licensed", license="Apache-2.0")
    licensed.update(NOW, license="none")
    assert licensed.conflicts() == {}
    assert not licensed.path("LICENSE").exists()
    assert licensed.files().keys() == project.files().keys()
    assert licensed.read("pyproject.toml") == project.read("pyproject.toml")


def test_the_owners_changes_survive_changed_answers(project: Project) -> None:
    project.append(f"{PACKAGE}/tools.py", "# The owner's line.\n")
    project.append("README.md", "It runs in Vienna.\n")
    project.write(f"{PACKAGE}/instructions.md", "The owner's text.\n")
    change_answers(
        project, ci="azure", llm="databricks:/my-endpoint", description="Tells the weather."
    )
    assert project.conflicts() == {}
    assert project.read(f"{PACKAGE}/tools.py").endswith("# The owner's line.\n")
    assert project.read("README.md").endswith("It runs in Vienna.\n")
    assert project.read(f"{PACKAGE}/instructions.md") == "The owner's text.\n"
    assert "llm: databricks:/my-endpoint\n" in project.read(f"{PACKAGE}/config.yml")


def test_a_license_file_of_the_owner_becomes_a_conflict(project: Project) -> None:
    project.write("LICENSE", "The owner's license.\n")
    change_answers(project, license="MIT", author="Ada")
    conflict = project.conflict("LICENSE")
    assert conflict.owners == "The owner's license.\n"
    assert conflict.templates.startswith("MIT License\n")


def test_a_renamed_question_keeps_its_answer(project: Project, tmp_path: Path) -> None:
    own = "Tells the weather in Vienna."
    change_answers(project, description=own)
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


def test_a_new_question_gets_its_default(project: Project, tmp_path: Path) -> None:
    before = answers(project)
    question = "tone:\n  type: str\n  help: How does it speak?\n  default: plainly\n\n"
    project.template.edit("copier.yml", "\nci:\n", f"\n{question}ci:\n")
    project.template.write("tone.txt.jinja", "{{ tone }}\n")
    project.release_and_update()
    assert answers(project) == before | {"_commit": NEXT, "tone": "plainly"}
    assert project.read("tone.txt") == "plainly\n"
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")


def test_a_changed_default_does_not_change_answers(project: Project) -> None:
    before = answers(project)
    old = "default: An agent that answers questions with the help of tools.\n"
    project.template.edit("copier.yml", old, "default: An agent.\n")
    project.template.edit("copier.yml", "default: offline:/demo\n", "default: openai:/gpt-9\n")
    project.release_and_update()
    assert answers(project) == before | {"_commit": NEXT}
    assert project.conflicts() == {}
