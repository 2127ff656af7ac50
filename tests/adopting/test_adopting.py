"""Existing agents move to the template with the commands of `docs/adopting.md`.

Each folder in `repositories` has an existing repository in `old` and its owner's edits in `steps`:
one patch per step, with whole files in a folder of the same name. A patch lists the rules that fail
before it and pass after it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.types.responses import ResponsesAgentRequest

from tests.contract.workbench import Found, Workbench, start_workbench
from tests.helpers.agents import Agent, clean_environment, parts_of_rules
from tests.helpers.model_server import chat_server, text
from tests.helpers.template import ROOT
from tests.updates.projects import ANSWERS, NEXT, NOW, Files, Project, Repository, Template

pytestmark = pytest.mark.proof

PAGE = (ROOT / "docs" / "adopting.md").read_text(encoding="utf-8")
OLD = ROOT / "tests" / "adopting" / "repositories"
PUBLISHED_TEMPLATE = "gh:YOUR-ORGANIZATION/copier-responses-agent"
INITIAL_COMMIT = "Initial commit"
NEW_METHOD = "    async def answer("
OLD_METHOD = "    def predict(self, context, model_input, params=None):\n        return {}\n\n"
# The rules that fail for the logged models of all examples, and of those without a ResponsesAgent.
FAILED = {"pinned-requirements", "fresh-process"}
OTHER_SIGNATURE = {"task", "signature", "input-example"}
# Files that git may not ignore, and that are not the code of an agent.
UNSCANNED = ("venv/lib/package.py", "tests/test_print.py")


@dataclass(frozen=True)
class Example:
    """An existing repository and the expected results of moving it.

    Attributes:
        name: The name of the repository and the agent.
        section: The section of the page that moves its code.
        code: The path of its code.
        log: The arguments of its own program that logs the model; none if it logs no model.
        packages: The arguments of `uv add` for the packages that the model imports.
        failed: The rules of `verify` that fail for the old model.
        source: The ast-grep rules that fail for the old source.
        both: The files that exist in the repository and in the template after its code has moved.
        kept: Unchanged files, from old to new path.
        edited: Files that a step changes, from old to new path.
        merged: Files whose lines are added to the template's files.
        settings: Lines of its `pyproject.toml` that are kept.
        removed: Files that the template replaces.
        excluded: The file in the package that is excluded from updates.
    """

    name: str
    section: str
    code: str
    log: list[str]
    packages: str
    failed: set[str]
    source: set[str]
    both: set[str]
    kept: dict[str, str]
    edited: dict[str, str]
    merged: set[str]
    settings: set[str]
    removed: set[str]
    excluded: str

    @property
    def package(self) -> str:
        """The folder of the package."""
        return f"src/{self.name.replace('-', '_')}"

    def steps(self) -> list["Step"]:
        """Return the owner's edits, in order."""
        return [Step(path) for path in sorted((OLD / self.name / "steps").glob("*.patch"))]

    def adapted(self, command: str) -> str:
        """Return a command of the page for parcel-desk, for this repository."""
        command = command.replace("-r ../parcel-desk/requirements.txt", self.packages)
        command = re.sub(r" \.\./parcel-desk$", f" ../{self.code}", command)
        return command.replace("parcel-desk", self.name)


@dataclass(frozen=True)
class Step:
    """One edit of the owner."""

    patch: Path

    def fixed_rules(self) -> list[tuple[str, str]]:
        """Return the rules that fail before this step, and a part of what each found, or ""."""
        head = self.patch.read_text(encoding="utf-8").partition("\ndiff --git")[0]
        return re.findall(r"^Names: ([\w-]+)(?:: (.+))?$", head, re.MULTILINE)

    def apply(self, repository: Repository) -> None:
        """Apply the patch and commit."""
        whole_files = self.patch.with_suffix("")
        if whole_files.is_dir():
            shutil.copytree(whole_files, repository.folder, dirs_exist_ok=True)
        repository.git("apply", "--index", str(self.patch))
        repository.commit()


OWN_LOOP = Example(
    name="parcel-desk",
    section="Your own loop",
    code="parcel-desk",
    log=["log_model.py"],
    packages="-r ../parcel-desk/requirements.txt",
    failed=FAILED | OTHER_SIGNATURE | {"models-from-code"},
    source={
        "another-base",
        "artifact-path",
        "environ-at-import",
        "pickled-agent",
        "print-call",
        "relative-file",
        "signature-by-hand",
        "state-on-self",
        "traced-by-hand",
        "work-at-import",
    },
    both={".gitignore", "README.md", "src/parcel_desk/agent.py", "tests/conftest.py"},
    kept={
        "tariffs.py": "src/parcel_desk/tariffs.py",
        "data/tariffs.json": "src/parcel_desk/tariffs.json",
    },
    edited={
        "agent.py": "src/parcel_desk/agent.py",
        "tests/test_tariffs.py": "tests/test_tariffs.py",
    },
    merged={".gitignore", "README.md"},
    settings=set(),
    removed={"log_model.py", "requirements.txt", "tests/conftest.py"},
    excluded="agent.py",
)
TEMPLATES_LOOP = Example(
    name="machine-service",
    section="The template's loop",
    code="machine-service",
    log=["scripts/deploy.py", "--dry-run"],
    packages='"python-dateutil>=2.9"',
    failed=FAILED | OTHER_SIGNATURE,
    source={
        "another-base",
        "artifact-path",
        "environ-at-import",
        "print-call",
        "relative-file",
        "signature-set-later",
        "state-on-self",
        "traced-by-hand",
        "work-at-import",
    },
    both={
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/machine_service/instructions.md",
        "src/machine_service/tools.py",
    },
    kept={
        "catalogue.py": "src/machine_service/catalogue.py",
        "catalogue.csv": "src/machine_service/catalogue.csv",
    },
    edited={
        "prompts/system.md": "src/machine_service/instructions.md",
        "tests/test_catalogue.py": "tests/test_catalogue.py",
        "tools.py": "src/machine_service/tools.py",
    },
    merged={".gitignore", "README.md", "pyproject.toml"},
    settings={'version = "1.4.0"', '    "python-dateutil>=2.9",', '    "pytest-cov>=5",'},
    removed={"agent.py", "scripts/deploy.py"},
    excluded="tools.py",
)
AGENTS_SDK = Example(
    name="tide-desk",
    section="OpenAI Agents SDK",
    code="tide-desk/tide_desk",
    log=[],
    packages='"python-dateutil>=2.9"',
    failed=set(),
    source={"environ-at-import", "print-call", "work-at-import"},
    both={
        ".gitignore",
        "AGENTS.md",
        "README.md",
        "databricks.yml",
        "pyproject.toml",
        "src/tide_desk/__init__.py",
        "src/tide_desk/instructions.md",
        "src/tide_desk/tools.py",
    },
    kept={
        "tests/test_harbour.py": "tests/test_harbour.py",
        "tide_desk/harbour.py": "src/tide_desk/harbour.py",
        "tide_desk/prompt.md": "src/tide_desk/instructions.md",
        "tide_desk/tides.csv": "src/tide_desk/tides.csv",
    },
    edited={"tide_desk/tools.py": "src/tide_desk/tools.py"},
    merged={".gitignore", "AGENTS.md", "README.md", "pyproject.toml"},
    settings={
        'version = "0.3.0"',
        '    "python-dateutil>=2.9",',
        'check-tides = "tide_desk.harbour:main"',
    },
    removed={
        "app.yaml",
        "databricks.yml",
        "tide_desk/__init__.py",
        "tide_desk/agent.py",
        "tide_desk/start_server.py",
    },
    excluded="tools.py",
)
LANGGRAPH = Example(
    name="sowing-guide",
    section="LangGraph",
    code="sowing-guide",
    log=["log_model.py"],
    packages="-r ../sowing-guide/requirements.txt",
    failed=FAILED,
    source={"print-call", "work-at-import"},
    both={".gitignore", "README.md", "src/sowing_guide/tools.py"},
    kept={"data/sowing.csv": "src/sowing_guide/sowing.csv"},
    edited={
        "graph.py": "src/sowing_guide/graph.py",
        "tests/test_graph.py": "tests/test_graph.py",
        "tools.py": "src/sowing_guide/tools.py",
    },
    merged={".gitignore", "README.md"},
    settings=set(),
    removed={"agent.py", "log_model.py", "requirements.txt", "settings.yml"},
    excluded="tools.py",
)
EXAMPLES = (OWN_LOOP, TEMPLATES_LOOP, AGENTS_SDK, LANGGRAPH)


@dataclass(frozen=True)
class Adopted:
    """A repository after its move to the template.

    Attributes:
        overwritten: The files that Copier overwrote.
        removed_lines: The lines that ast-grep removed.
        findings: The results of the contract before the first step, and after each step.
        old_predict: The result of `accepted` with a method of the old class added.
    """

    example: Example
    project: Project
    overwritten: set[str]
    removed_lines: list[str]
    findings: list[dict[str, Found]]
    old_predict: Found


def commands(heading: str) -> list[str]:
    """Return the commands in the console blocks of a section of the page."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.DOTALL)
    assert section, heading
    blocks = re.findall(r"^```console\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    assert blocks, heading
    return [line for block in blocks for line in block.splitlines()]


def run(command: str, folder: Path, template: Path, *, fails: bool = False) -> str:
    """Run a command of the page in bash, and return its output.

    Args:
        command: The command.
        folder: The working directory.
        template: The template that replaces the published one.
        fails: Whether the command must fail.
    """
    command = command.replace("uvx copier", "copier").replace(PUBLISHED_TEMPLATE, str(template))
    path = f"{Path(sys.prefix, 'bin')}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=clean_environment() | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert bool(done.returncode) == fails, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def old_repository(example: Example, folder: Path) -> Repository:
    """Return the repository before its move, under git."""
    repository = Repository(folder / example.name)
    shutil.copytree(OLD / example.name / "old", repository.folder)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", INITIAL_COMMIT)
    return repository


@pytest.fixture(scope="module")
def template(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The working tree as a release of the template."""
    return Template.of_the_working_tree(tmp_path_factory.mktemp("template"), without="hooks")


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda each: each.name)
def example(request: pytest.FixtureRequest) -> Example:
    """One of the existing repositories."""
    return request.param


@pytest.fixture(scope="module")
def adopted(
    example: Example, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Adopted:
    """A repository, moved to the template with the commands of the page."""
    repository = old_repository(example, tmp_path_factory.mktemp("adopted"))
    project = Project(repository.folder, template)
    overwritten: set[str] = set()
    for command in commands(example.section):
        run(command, project.folder, template.folder)
        if command.startswith("uvx copier copy"):
            overwritten = {*project.git("diff", "--name-only").splitlines()}
    scan, *_ = commands("Fix what the checks find")
    # ast-grep exits with 1 if violations remain; without the old loop, none do.
    run(scan, project.folder, template.folder, fails=example.section == "Your own loop")
    diff = project.git("diff", "--unified=0").splitlines()
    removed_lines = [line[1:].strip() for line in diff if re.match(r"-(?!--)", line)]
    project.commit()
    with start_workbench(Agent(project.folder)) as workbench:
        findings = list(findings_at_each_step(example, project, workbench))
        with workbench.agent.patched("agent.py", NEW_METHOD, OLD_METHOD + NEW_METHOD):
            old_predict = workbench.findings("accepted")["accepted"]
    for command in commands("Fix what the checks find")[2:]:
        # `verify` runs the contract, so pytest does not.
        owners_tests = command.replace("pytest", "pytest --ignore=tests/contract")
        run(example.adapted(owners_tests), project.folder, template.folder)
    return Adopted(example, project, overwritten, removed_lines, findings, old_predict)


def findings_at_each_step(
    example: Example, project: Project, workbench: Workbench
) -> Iterator[dict[str, Found]]:
    """Apply all steps, and yield the results of the contract before the first and after each."""
    parts = parts_of_rules(project.folder)
    rules = [name for name, part in parts.items() if part == "source"]
    rules += sorted({rule for step in example.steps() for rule, _ in step.fixed_rules()} - {*rules})
    yield workbench.findings(*rules)
    for step in example.steps():
        step.apply(project)
        yield workbench.findings(*rules)


# Checking the existing agent


@pytest.fixture(scope="module")
def look(example: Example, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an existing repository and the agent that checks it."""
    folder = tmp_path_factory.mktemp("look")
    old_repository(example, folder)
    copy, *following = commands("Check the existing agent")
    run(copy, folder / example.name, template.folder)
    (add,) = (command for command in following if command.startswith("uv add"))
    run(example.adapted(add), folder / "look-agent", template.folder)
    return folder


def test_checks_from_outside_list_what_is_wrong(
    example: Example, look: Path, template: Template
) -> None:
    *_, scan, verify = commands("Check the existing agent")
    outside = Repository(look / example.name)
    if example.log:
        model = log_old_model(example, look)
        checked = {"no-secrets", "task", "signature", "input-example"} | example.failed
        only = "".join(f" --only {rule}" for rule in sorted(checked))
        verify = verify.replace("models:/parcel-desk/1", model) + only
        printed = run(example.adapted(verify), look / "look-agent", template.folder, fails=True)
        assert set(re.findall(r"^✗ ([\w-]+)", printed, re.MULTILINE)) == example.failed
    for rule in example.failed:
        assert f"`{rule}`" in PAGE.partition("## Choose")[0]
    assert outside.git("status", "--porcelain") == ""
    for name in UNSCANNED:
        (look / example.code / name).parent.mkdir(parents=True, exist_ok=True)
        (look / example.code / name).write_text("exit(print(1))\n", encoding="utf-8")
    listed = run(example.adapted(scan), look / "look-agent", template.folder, fails=True)
    assert set(re.findall(r"error\[([\w-]+)\]", listed)) == example.source


def log_old_model(example: Example, look: Path) -> str:
    """Log the model with the repository's own program, and return its URI."""
    folder = look / example.name
    with chat_server() as server:
        server.reply(text("Gladly."))
        settings = {"LLM_URL": server.url, "LLM_KEY": "none"}
        settings |= {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": "none"}
        done = subprocess.run(
            ["uv", "run", "--project", look / "look-agent", "python", *example.log],
            cwd=folder,
            env=clean_environment() | settings | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert server.bodies, "The old agent did not call the LLM."
    return done.stdout.splitlines()[-1]


# Moving the code


def test_copier_overwrites_only_the_listed_files(adopted: Adopted) -> None:
    assert adopted.overwritten == adopted.example.both


def test_no_file_of_the_owner_is_lost(adopted: Adopted) -> None:
    example, project = adopted.example, adopted.project
    old = OLD / example.name / "old"
    before = {path.relative_to(old).as_posix() for path in old.rglob("*") if path.is_file()}
    expected = {*example.kept, *example.edited, *example.merged, *example.removed}
    assert before == expected
    for name, path in example.kept.items():
        assert project.path(path).read_bytes() == (old / name).read_bytes()
    for name in example.removed:
        assert project.git("show", f"main:{name}") == (old / name).read_text(encoding="utf-8")


def test_history_follows_moved_files(adopted: Adopted) -> None:
    for path in (adopted.example.kept | adopted.example.edited).values():
        subjects = adopted.project.git("log", "--follow", "--format=%s", "--", path).splitlines()
        assert subjects[-1] == INITIAL_COMMIT, path


def test_lines_of_merged_files_are_kept(adopted: Adopted, tmp_path: Path) -> None:
    project, old = adopted.project, OLD / adopted.example.name / "old"
    readme = (old / "README.md").read_text(encoding="utf-8")
    own_section = project.read("README.md").partition("\n## More about this agent\n")[2]
    assert own_section.endswith(readme)
    ignored = (old / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {*ignored} - {*project.read(".gitignore").splitlines()} <= {".env*"}
    assert adopted.example.settings <= {*project.read("pyproject.toml").splitlines()}
    if "AGENTS.md" in adopted.example.merged:
        own_notes = (old / "AGENTS.md").read_text(encoding="utf-8")
        assert project.read("AGENTS.md").startswith(f"# Working on {adopted.example.name}\n")
        assert project.read("AGENTS.md").endswith(own_notes)
    fresh = project.template.fresh(NOW, tmp_path / "fresh", project_name=adopted.example.name)
    tracked = {*project.git("ls-files").splitlines()}
    assert fresh.keys() - tracked <= {f"{adopted.example.package}/tools.py"}


# Fixing what the checks find


def test_safe_fixes_are_applied(adopted: Adopted) -> None:
    decorators = ["@mlflow.trace(name='parcel desk')"]
    assert adopted.removed_lines == (decorators if adopted.example.name == "parcel-desk" else [])


def test_every_step_fixes_the_rules_it_lists(adopted: Adopted) -> None:
    steps = adopted.example.steps()
    assert len(adopted.findings) == len(steps) + 1
    for step, before, after in zip(steps, adopted.findings, adopted.findings[1:], strict=False):
        for rule, found in step.fixed_rules():
            assert before[rule].result == "failed", (step.patch.name, rule)
            assert found in before[rule].found, before[rule].found
            unchanged = not found or found in after[rule].found
            still = after[rule].result == "failed" and unchanged
            assert not still, (step.patch.name, after[rule].found)


def test_every_failed_rule_is_fixed_by_a_step(adopted: Adopted) -> None:
    listed = {rule for step in adopted.example.steps() for rule, _ in step.fixed_rules()}
    broken = {
        rule for found in adopted.findings for rule, one in found.items() if one.result == "failed"
    }
    assert broken == listed
    assert {one.result for one in adopted.findings[-1].values()} == {"passed"}


def test_the_page_lists_the_rules_of_each_step(adopted: Adopted) -> None:
    table = PAGE.partition(f"| *{adopted.example.name}*")[2].partition("\n\n")[0]
    rows = [row.rpartition(" | ")[2] for row in table.splitlines()[2:]]
    steps = [{rule for rule, _ in step.fixed_rules()} for step in adopted.example.steps()]
    assert [{*re.findall(r"`([\w-]+)`", row)} - {"git"} for row in rows] == steps


FIXES = {
    "LLM_URL": "create clients in the function that answers a request",
    "'__name__'": "List functions in `TOOLS`",
    "set_model": "End agent.py with `mlflow.models.set_model(AGENT)`",
    "named 'catalogue'": "move the module into the agent's package and import it from there",
}


def test_the_fix_matches_the_reason_why_logging_fails(adopted: Adopted) -> None:
    found = [one["accepted"] for one in adopted.findings if one["accepted"].result == "failed"]
    explained = [(reason, one) for one in found for reason in FIXES if reason in one.found]
    assert explained
    for reason, one in explained:
        assert FIXES[reason] in one.fix


def test_an_old_predict_in_the_new_class_is_explained(adopted: Adopted) -> None:
    assert "missing 1 required positional argument" in adopted.old_predict.found
    assert "Write `def predict(self, request)`" in adopted.old_predict.fix


# The page and later updates


def test_the_rules_of_the_page_exist(adopted: Adopted) -> None:
    rules = parts_of_rules(adopted.project.folder).keys()
    table = PAGE.partition("## Replacements")[2].partition("\n## ")[0]
    rows = [row.split(" | ")[1] for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        assert {*re.findall(r"`([\w-]+)`", row)} <= rules, row


def test_the_requests_of_the_page_are_valid_before_and_after() -> None:
    old, new = (json.loads(one) for one in re.findall(r"^```json\n(.*?)^```", PAGE, re.S | re.M))
    assert old["messages"] == new["input"]
    ResponsesAgentRequest.model_validate(new)
    with pytest.raises(ValueError, match="input"):
        ResponsesAgentRequest.model_validate(old)


def test_the_next_release_keeps_the_owners_code(adopted: Adopted, tmp_path: Path) -> None:
    example, template = adopted.example, adopted.project.template
    project = cloned(adopted.project, tmp_path)
    before = project.files()
    release_changes(project.template)
    (update,) = (line for line in commands("Update later") if example.package in line)
    assert f"{example.package}/{example.excluded}" in update
    run(update, project.folder, template.folder)
    assert project.conflicts() == {}
    assert project.files() == with_release(before, example)


def test_without_the_exclusion_the_owners_file_is_a_conflict(
    adopted: Adopted, tmp_path: Path
) -> None:
    example = adopted.example
    project = cloned(adopted.project, tmp_path)
    owners = project.read(f"{example.package}/{example.excluded}")
    release_changes(project.template)
    project.update()
    (name,) = project.conflicts()
    assert name == f"{example.package}/{example.excluded}"
    # The conflict contains both versions: no line is lost.
    assert {*owners.splitlines()} <= {*project.read(name).splitlines()}


# The changes of the next release.
LAST_LINES = "AGENT = Agent("
COMMENT = "# The model.\n"
NEW_MODULE = '"""Remembers facts about users."""\n'


def cloned(project: Project, folder: Path) -> Project:
    """Return a copy of the repository and its template, without ignored files."""
    template = Template(folder / "template")
    shutil.copytree(project.template.folder, template.folder, symlinks=True)
    clone = Project(folder / project.folder.name, template)
    project.git("clone", "--quiet", ".", str(clone.folder))
    clone.edit(ANSWERS, str(project.template.folder), str(template.folder))
    clone.commit()
    return clone


def release_changes(template: Template) -> None:
    """Release changes in the loop, the sample tools, the README and the template's modules."""
    for path in template.path("README.md").parent.glob("*src*/*/agent.py.jinja"):
        text = path.read_text(encoding="utf-8")
        assert text.count(LAST_LINES) == 1, path
        path.write_text(text.replace(LAST_LINES, COMMENT + LAST_LINES), encoding="utf-8")
    template.edit("src/weather_agent/tools.py", "Count the days from", "Return the days from")
    template.edit("README.md", "## Quick start\n", "## Quick start\n\nNew here.\n")
    template.write("src/weather_agent/runtime/memory.py", NEW_MODULE)
    template.release(NEXT)


def with_release(before: Files, example: Example) -> Files:
    """Return the expected files of a project after the release, with all of the owner's code."""
    changes = {
        "README.md": ("## Quick start\n", "## Quick start\n\nNew here.\n"),
        ANSWERS: (f"_commit: {NOW}", f"_commit: {NEXT}"),
    }
    if example.excluded != "agent.py":
        changes[f"{example.package}/agent.py"] = (LAST_LINES, COMMENT + LAST_LINES)
    after = dict(before)
    for name, (old, new) in changes.items():
        assert before[name].count(old.encode()) == 1, name
        after[name] = before[name].replace(old.encode(), new.encode())
    after[f"{example.package}/runtime/memory.py"] = NEW_MODULE.encode()
    return after
