"""Renovate finds the template, brings its releases, and a conflict does not pass unseen."""

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
# Which files Renovate takes for Copier's answers.
ITS_PATTERN = re.compile(r"(^|/)\.copier-answers(\..+)?\.ya?ml")
# What it runs then, as seen with Renovate 44.
ITS_COMMAND = "copier update --skip-answered --defaults --answers-file {file} --vcs-ref {tag}"


@pytest.fixture
def older(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of the last release without `renovate.json`, whose owner has one."""
    template = all_releases(tmp_path_factory.getbasetemp())
    project = Project.made(template, tmp_path / "older", "v0.2.0")
    project.write(CONFIGURATION, '{ "extends": ["config:recommended"] }\n')
    project.commit()
    return project


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a configuration against Renovate's schema."""
    command = ("check-jsonschema", "--builtin-schema", "vendor.renovate", path)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rule_for(manager: str, project: Path) -> dict[str, Any]:
    """The only rule for one of Renovate's managers."""
    rules = json.loads((project / CONFIGURATION).read_text("utf-8"))["packageRules"]
    (rule,) = (rule for rule in rules if rule["matchManagers"] == [manager])
    return rule


def let_renovate_update(project: Project) -> None:
    """Release what the template changed, and take it up as Renovate does."""
    project.commit()
    project.template.release(NEXT)
    command = ITS_COMMAND.format(file=ANSWERS, tag=NEXT)
    done = subprocess.run(command.split(), cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    project.commit()


@pytest.mark.parametrize("ci", WORKFLOWS)
def test_the_configuration_is_valid(ci: str, render: Render) -> None:
    done = validate(render(ci=ci) / CONFIGURATION)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_notices_a_slip(default_project: Path, tmp_path: Path) -> None:
    text = (default_project / CONFIGURATION).read_text(encoding="utf-8")
    slip = tmp_path / CONFIGURATION
    slip.write_text(text.replace('["copier", "pep621"]', '"copier"'), encoding="utf-8")
    assert validate(slip).returncode != 0


def test_without_checks_nothing_is_brought(render: Render) -> None:
    project = render(ci="none")
    assert not (project / CONFIGURATION).exists()
    assert "Renovate" not in (project / "README.md").read_text(encoding="utf-8")


def test_it_goes_and_comes_with_the_checks(project: Project, tmp_path: Path) -> None:
    project.update(NOW, ci="none")
    assert not project.path(CONFIGURATION).exists()
    project.commit()
    project.update(NOW, ci="azure")
    assert project.conflicts() == {}
    assert project.files() == project.template.fresh(NOW, tmp_path / "fresh", ci="azure")


def test_it_can_be_deleted_for_good(project: Project) -> None:
    project.delete(CONFIGURATION)
    project.template.append(CONFIGURATION, "\n")
    let_renovate_update(project)
    assert not project.path(CONFIGURATION).exists()


def test_renovate_finds_the_template_and_the_release(project: Project) -> None:
    assert [file for file in project.files() if ITS_PATTERN.search(file)] == [ANSWERS]
    answers = yaml.safe_load(project.read(ANSWERS))
    assert answers["_commit"] == NOW
    assert answers["_src_path"] == str(project.template.folder)


@pytest.mark.parametrize(
    ("shortcut", "url"), [("gh:", "https://github.com/"), ("gl:", "https://gitlab.com/")]
)
def test_the_shortcuts_of_copier_are_spelled_out(
    shortcut: str, url: str, default_project: Path
) -> None:
    override = rule_for("copier", default_project)["overridePackageName"]
    assert f"replace '^{shortcut}' '{url}'" in override


def test_the_bounds_of_libraries_are_left_to_the_template(default_project: Path) -> None:
    rule = rule_for("pep621", default_project)
    assert (rule["matchDepNames"], rule["enabled"]) == (["*"], False)


def test_an_update_of_renovates_passes_the_first_check(project: Project, tmp_path: Path) -> None:
    project.template.append(AGENT, "# The end.\n")
    let_renovate_update(project)
    assert project.files() == project.template.fresh(NEXT, tmp_path / "fresh")
    assert first_check("github", project.folder).returncode == 0


def test_a_conflict_in_an_update_of_renovates_fails_it(project: Project) -> None:
    project.edit(AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # mine\n")
    project.template.edit(
        AGENT, "        tag_trace(request)\n", "        tag_trace(request)  # its\n"
    )
    let_renovate_update(project)
    done = first_check("github", project.folder)
    assert done.returncode != 0
    assert re.match(rf"{AGENT}:\d+:<<<<<<< before updating\n", done.stdout)
    assert "resolve the conflicts" in done.stdout


def test_a_configuration_of_the_owners_own_can_be_kept(older: Project) -> None:
    before = older.read(CONFIGURATION)
    older.update()
    assert older.conflict(CONFIGURATION).owners == before
    older.git("checkout", "HEAD", "--", CONFIGURATION)
    assert older.read(CONFIGURATION) == before
    assert older.conflicts() == {}


def test_a_configuration_of_the_owners_own_can_be_left_out(older: Project) -> None:
    before = older.read(CONFIGURATION)
    older.update(exclude=[CONFIGURATION])
    assert older.conflicts() == {}
    older.commit()
    older.update()
    assert older.read(CONFIGURATION) == before


def test_the_rule_of_a_bot_in_the_docs_is_valid_and_allowed(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    bot = json.loads(block)
    # The schema is one of repositories, and refuses what only a bot may set.
    rules = tmp_path / CONFIGURATION
    rules.write_text(json.dumps({"packageRules": bot["packageRules"]}), encoding="utf-8")
    done = validate(rules)
    assert done.returncode == 0, done.stdout + done.stderr
    (rule,) = bot["packageRules"]
    (allowed,) = bot["allowedCommands"]
    assert all(re.search(allowed, command) for command in rule["postUpgradeTasks"]["commands"])


def test_the_docs_show_what_renovate_runs() -> None:
    page = (ROOT / "docs" / "updating.md").read_text(encoding="utf-8")
    pattern = re.escape(ITS_COMMAND.format(file=ANSWERS, tag="TAG")).replace(
        "TAG", r"v\d+\.\d+\.\d+"
    )
    assert re.search(rf"^{pattern}$", page, re.MULTILINE)
