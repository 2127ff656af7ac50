"""Renovate finds the template and its releases, and conflicts fail the checks."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.helpers.template import ROOT
from tests.rendering.workflows import WORKFLOWS, first_check
from tests.updates.projects import ANSWERS, NEXT, NOW, PACKAGE, Project, all_releases

AGENT = f"{PACKAGE}/agent.py"
CONFIGURATION = "renovate.json"
# The files that Renovate recognizes as Copier's answers.
ANSWERS_PATTERN = re.compile(r"(^|/)\.copier-answers(\..+)?\.ya?ml")
# The command that Renovate 44 runs.
UPDATE_COMMAND = "copier update --skip-answered --defaults --answers-file {file} --vcs-ref {tag}"


@pytest.fixture
def older(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of the last release without `renovate.json`, with one of the owner's own."""
    template = all_releases(tmp_path_factory.getbasetemp())
    project = Project.made(template, tmp_path / "older", "v0.2.0")
    project.write(CONFIGURATION, '{ "extends": ["config:recommended"] }\n')
    project.commit()
    return project


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Validate a configuration with Renovate's schema."""
    command = ("check-jsonschema", "--builtin-schema", "vendor.renovate", path)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rule_for(manager: str, project: Path) -> dict[str, Any]:
    """Return the only rule for one of Renovate's managers."""
    rules = json.loads((project / CONFIGURATION).read_text("utf-8"))["packageRules"]
    (rule,) = (rule for rule in rules if rule["matchManagers"] == [manager])
    return rule


def let_renovate_update(project: Project) -> None:
    """Release the template's changes, and update as Renovate does."""
    project.commit()
    project.template.release(NEXT)
    command = UPDATE_COMMAND.format(file=ANSWERS, tag=NEXT)
    done = subprocess.run(command.split(), cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    project.commit()


@pytest.mark.parametrize("ci", WORKFLOWS)
def test_the_configuration_is_valid(ci: str, render: Render) -> None:
    done = validate(render(ci=ci) / CONFIGURATION)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_finds_a_typo(default_project: Path, tmp_path: Path) -> None:
    text = (default_project / CONFIGURATION).read_text(encoding="utf-8")
    typo = tmp_path / CONFIGURATION
    typo.write_text(text.replace('["copier", "pep621"]', '"copier"'), encoding="utf-8")
    assert validate(typo).returncode != 0


def test_without_ci_there_is_no_configuration(render: Render) -> None:
    project = render(ci="none")
    assert not (project / CONFIGURATION).exists()
    assert "Renovate" not in (project / "README.md").read_text(encoding="utf-8")


def test_the_configuration_depends_on_the_ci(project: Project, tmp_path: Path) -> None:
    project.update(NOW, ci="none")
    assert not project.path(CONFIGURATION).exists()
    project.commit()
    project.update(NOW, ci="azure")
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NOW, tmp_path / "fresh", ci="azure")


def test_a_deleted_configuration_stays_deleted(project: Project) -> None:
    project.delete(CONFIGURATION)
    project.template.append(CONFIGURATION, "\n")
    let_renovate_update(project)
    assert not project.path(CONFIGURATION).exists()


def test_renovate_finds_the_template_and_the_release(project: Project) -> None:
    assert [file for file in project.files() if ANSWERS_PATTERN.search(file)] == [ANSWERS]
    answers = yaml.safe_load(project.read(ANSWERS))
    assert answers["_commit"] == NOW
    assert answers["_src_path"] == str(project.template.folder)


@pytest.mark.parametrize(
    ("shortcut", "url"), [("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")]
)
def test_copiers_shortcuts_become_urls(shortcut: str, url: str, default_project: Path) -> None:
    override = rule_for("copier", default_project)["overridePackageName"]
    assert f"replace '^{shortcut}' '{url}'" in override


def test_renovate_leaves_version_bounds_to_the_template(default_project: Path) -> None:
    rule = rule_for("pep621", default_project)
    assert (rule["matchDepNames"], rule["enabled"]) == (["*"], False)


def test_an_update_by_renovate_passes_the_first_check(project: Project, tmp_path: Path) -> None:
    project.template.append(AGENT, "# The end.\n")
    let_renovate_update(project)
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")
    assert first_check("github", project.folder).returncode == 0


def test_an_update_by_renovate_with_a_conflict_fails_the_first_check(project: Project) -> None:
    project.edit(AGENT, "import json\n", "import json  # the owner's\n")
    project.template.edit(AGENT, "import json\n", "import json  # the template's\n")
    let_renovate_update(project)
    done = first_check("github", project.folder)
    assert done.returncode != 0
    assert re.match(rf"{AGENT}:\d+:<<<<<<< before updating\n", done.stdout)
    assert "resolve the conflicts" in done.stdout


@pytest.mark.proof
def test_the_owner_can_keep_another_configuration(older: Project) -> None:
    before = older.read(CONFIGURATION)
    older.update(unsafe=True)
    assert older.conflict(CONFIGURATION).owners == before
    older.git("checkout", "HEAD", "--", CONFIGURATION)
    assert older.read(CONFIGURATION) == before
    assert older.conflicts() == {}


@pytest.mark.proof
def test_the_owner_can_exclude_the_configuration(older: Project) -> None:
    before = older.read(CONFIGURATION)
    older.update(exclude=[CONFIGURATION], unsafe=True)
    assert older.conflicts() == {}
    older.commit()
    older.update()
    assert older.read(CONFIGURATION) == before


def test_the_bots_rule_in_the_docs_is_valid_and_allowed(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "renovate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    bot = json.loads(block)
    # The schema is for repositories, and rejects settings that only a bot may have.
    rules = tmp_path / CONFIGURATION
    rules.write_text(json.dumps({"packageRules": bot["packageRules"]}), encoding="utf-8")
    done = validate(rules)
    assert done.returncode == 0, done.stdout + done.stderr
    (rule,) = bot["packageRules"]
    (allowed,) = bot["allowedCommands"]
    assert all(re.search(allowed, command) for command in rule["postUpgradeTasks"]["commands"])


def test_the_docs_show_the_command_that_renovate_runs() -> None:
    page = (ROOT / "docs" / "renovate.md").read_text(encoding="utf-8")
    pattern = re.escape(UPDATE_COMMAND.format(file=ANSWERS, tag="TAG")).replace(
        "TAG", r"v\d+\.\d+\.\d+"
    )
    assert re.search(rf"^{pattern}$", page, re.MULTILINE)
