"""Old agents are brought under the template as `docs/adopting.md` says it, command for command.

Each folder of `repositories` holds a repository as it was, `old`, and what its owner edits,
`steps`: a patch each, and whole files beside it. A patch says which rules name what it mends.
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

from tests.contract.workbench import Found, start_workbench
from tests.helpers.agents import Agent, clean_environment, parts_of_rules
from tests.helpers.model_server import chat_server, text
from tests.helpers.template import ROOT
from tests.updates.projects import ANSWERS, NEXT, NOW, Files, Project, Repository, Template

PAGE = (ROOT / "docs" / "adopting.md").read_text(encoding="utf-8")
OLD = ROOT / "tests" / "adopting" / "repositories"
PUBLISHED_TEMPLATE = "gh:YOUR-ORGANISATION/copier-responses-agent"
AT_FIRST = "As it was"
# What both `verify` and a look at the source say of the examples before anything is touched.
LOST = {"task", "signature", "input-example", "pinned-requirements", "fresh-process"}


@dataclass(frozen=True)
class Example:
    """An old repository, and what the page does with it.

    Attributes:
        name: What it is called.
        section: Where the page moves its code.
        log: Its own program that logs the model.
        packages: How the page names what the model imports, when it looks first.
        lost: What `verify` says of the old model.
        source: What ast-grep says of the old source.
        both: The files that it has and the template too, once its code is in the package.
        kept: Files that are the same at the end, by what they were called.
        edited: Files that are changed by a step, by what they were called.
        merged: Files whose lines go into the template's.
        gone: Files that the template makes needless.
        wholly_mine: What is left out of updates.
    """

    name: str
    section: str
    log: list[str]
    packages: str
    lost: set[str]
    source: set[str]
    both: set[str]
    kept: dict[str, str]
    edited: dict[str, str]
    merged: set[str]
    gone: set[str]
    wholly_mine: str

    @property
    def package(self) -> str:
        """The folder of its package."""
        return f"src/{self.name.replace('-', '_')}"

    def steps(self) -> list["Step"]:
        """What its owner edits, one step after the other."""
        return [Step(path) for path in sorted((OLD / self.name / "steps").glob("*.patch"))]

    def said_on_the_page(self, command: str) -> str:
        """A command that the page has for the parcel desk, as this repository's owner types it."""
        return command.replace("parcel-desk", self.name).replace(
            "-r ../parcel-desk/requirements.txt", self.packages
        )


@dataclass(frozen=True)
class Step:
    """What an owner edits at a time."""

    patch: Path

    def names(self) -> list[tuple[str, str]]:
        """The rules that name what it mends, each with a piece of what was seen, or nothing."""
        head = self.patch.read_text(encoding="utf-8").partition("\ndiff --git")[0]
        return re.findall(r"^Names: ([\w-]+)(?:: (.+))?$", head, re.MULTILINE)

    def take(self, repository: Repository) -> None:
        """Do it."""
        whole_files = self.patch.with_suffix("")
        if whole_files.is_dir():
            shutil.copytree(whole_files, repository.folder, dirs_exist_ok=True)
        repository.git("apply", "--index", str(self.patch))
        repository.commit()


EXAMPLES = [
    Example(
        name="parcel-desk",
        section="Your own loop",
        log=["log_model.py"],
        packages="-r ../parcel-desk/requirements.txt",
        lost=LOST | {"models-from-code"},
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
        gone={"log_model.py", "requirements.txt", "tests/conftest.py"},
        wholly_mine="agent.py",
    ),
    Example(
        name="machine-service",
        section="The template's loop",
        log=["scripts/deploy.py", "--dry-run"],
        packages="python-dateutil",
        lost=LOST,
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
        gone={"agent.py", "scripts/deploy.py"},
        wholly_mine="tools.py",
    ),
]


@dataclass(frozen=True)
class Adopted:
    """An old repository under the template, and what was seen on the way.

    Attributes:
        overwritten: The files that Copier overwrote.
        fixed: The lines that ast-grep took out by itself.
        findings: What the contract said before the first step, and after each.
    """

    example: Example
    project: Project
    overwritten: set[str]
    fixed: list[str]
    findings: list[dict[str, Found]]


def commands(heading: str) -> list[str]:
    """The lines of the console blocks of a section of the page, up to the next heading."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.DOTALL)
    assert section, heading
    blocks = re.findall(r"^```console\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    assert blocks, heading
    return [line for block in blocks for line in block.splitlines()]


def run(command: str, folder: Path, template: Path, *, fails: bool = False) -> str:
    """Run a command of the page as bash does, and return what it printed.

    Args:
        command: The command.
        folder: Where it is typed.
        template: The template that stands for the published one.
        fails: Whether its status must tell of a failure.
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
    """The repository as its owner has it, under git."""
    repository = Repository(folder / example.name)
    shutil.copytree(OLD / example.name / "old", repository.folder)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", AT_FIRST)
    return repository


@pytest.fixture(scope="module")
def template(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The working tree as a release."""
    return Template.of_the_working_tree(tmp_path_factory.mktemp("template"), without="hooks")


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    """Each of the old repositories."""
    return request.param


@pytest.fixture(scope="module")
def adopted(
    example: Example, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Adopted:
    """An old repository, brought under the template by the commands of the page."""
    repository = old_repository(example, tmp_path_factory.mktemp("adopted"))
    project = Project(repository.folder, template)
    overwritten: set[str] = set()
    for command in commands(example.section):
        run(command, project.folder, template.folder)
        if command.startswith("uvx copier copy"):
            overwritten = {*project.git("diff", "--name-only").splitlines()}
    scan, *_ = commands("Let the checks lead")
    # Its status tells of what is left; nothing is left where the old loop is gone.
    run(scan, project.folder, template.folder, fails=example.section == "Your own loop")
    diff = project.git("diff", "--unified=0").splitlines()
    fixed = [line[1:].strip() for line in diff if re.match(r"-(?!--)", line)]
    project.commit()
    findings = list(findings_at_each_step(example, project))
    for command in commands("Let the checks lead")[2:]:
        # `verify` runs the contract; pytest need not do so once more.
        owners = command.replace("pytest", "pytest --ignore=tests/contract")
        run(example.said_on_the_page(owners), project.folder, template.folder)
    return Adopted(example, project, overwritten, fixed, findings)


def findings_at_each_step(example: Example, project: Project) -> Iterator[dict[str, Found]]:
    """Take all steps, and yield what the contract says before the first and after each."""
    parts = parts_of_rules(project.folder)
    rules = [name for name, part in parts.items() if part == "source"]
    rules += sorted({rule for step in example.steps() for rule, _ in step.names()} - {*rules})
    with start_workbench(Agent(project.folder)) as workbench:
        yield workbench.findings(*rules)
        for step in example.steps():
            step.take(project)
            yield workbench.findings(*rules)


# Look first


@pytest.fixture(scope="module")
def look(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both old repositories, and the agent that looks at them."""
    folder = tmp_path_factory.mktemp("look")
    for example in EXAMPLES:
        old_repository(example, folder)
    copy, _, *_ = commands("Look first")
    run(copy, folder / EXAMPLES[0].name, template.folder)
    for example in EXAMPLES:
        (add,) = (line for line in commands("Look first") if line.startswith("uv add"))
        packages = add.replace("-r ../parcel-desk/requirements.txt", example.packages)
        run(packages, folder / "look-agent", template.folder)
    return folder


def test_a_look_from_outside_names_what_an_old_agent_has_lost(
    example: Example, look: Path, template: Template
) -> None:
    *_, scan, verify = commands("Look first")
    outside = Repository(look / example.name)
    model = log_as_ever(example, look)
    only = "".join(f" --only {rule}" for rule in sorted(example.lost | {"no-secrets"}))
    verify = verify.replace("models:/parcel-desk/1", model) + only
    said = run(example.said_on_the_page(verify), look / "look-agent", template.folder, fails=True)
    assert set(re.findall(r"^✗ ([\w-]+)", said, re.MULTILINE)) == example.lost
    for rule in example.lost:
        assert f"`{rule}`" in PAGE.partition("## Choose")[0]
    listed = run(example.said_on_the_page(scan), look / "look-agent", template.folder, fails=True)
    assert set(re.findall(r"error\[([\w-]+)\]", listed)) == example.source
    assert outside.git("status", "--porcelain") == ""


def log_as_ever(example: Example, look: Path) -> str:
    """Have an old repository log its model, as its owner has done for a year."""
    folder = look / example.name
    with chat_server() as server:
        server.say(text("Gladly."))
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
    assert server.bodies, "The old agent answered no example."
    return done.stdout.splitlines()[-1]


# The code comes over


def test_copier_overwrites_what_both_have_and_nothing_else(adopted: Adopted) -> None:
    assert adopted.overwritten == adopted.example.both


def test_no_file_of_the_owner_vanishes(adopted: Adopted) -> None:
    example, project = adopted.example, adopted.project
    old = OLD / example.name / "old"
    before = {path.relative_to(old).as_posix() for path in old.rglob("*") if path.is_file()}
    accounted = {*example.kept, *example.edited, *example.merged, *example.gone}
    assert before == accounted
    for name, now in example.kept.items():
        assert project.path(now).read_bytes() == (old / name).read_bytes()
    for name in example.gone:
        assert project.git("show", f"main:{name}") == (old / name).read_text(encoding="utf-8")


def test_history_follows(adopted: Adopted) -> None:
    for now in (adopted.example.kept | adopted.example.edited).values():
        subjects = adopted.project.git("log", "--follow", "--format=%s", "--", now).splitlines()
        assert subjects[-1] == AT_FIRST, now


def test_lines_of_files_that_both_have_are_kept(adopted: Adopted, tmp_path: Path) -> None:
    project, old = adopted.project, OLD / adopted.example.name / "old"
    readme = (old / "README.md").read_text(encoding="utf-8")
    mine = project.read("README.md").partition("\n## More about this agent\n")[2]
    assert mine.endswith(readme)
    hidden = (old / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {*hidden} - {*project.read(".gitignore").splitlines()} <= {".env*"}
    if (old / "pyproject.toml").exists():
        for line in ('version = "1.4.0"', '    "python-dateutil>=2.9",', '    "pytest-cov>=5",'):
            assert f"\n{line}\n" in project.read("pyproject.toml")
    fresh = project.template.fresh(NOW, tmp_path / "fresh", project_name=adopted.example.name)
    tracked = {*project.git("ls-files").splitlines()}
    assert fresh.keys() - tracked <= {f"{adopted.example.package}/tools.py"}


# The checks lead


def test_what_is_certain_is_mended_at_once(adopted: Adopted) -> None:
    decorators = ["@mlflow.trace(name='parcel desk')"]
    assert adopted.fixed == (decorators if adopted.example.name == "parcel-desk" else [])


def test_every_step_mends_what_was_named_before_it(adopted: Adopted) -> None:
    steps = adopted.example.steps()
    assert len(adopted.findings) == len(steps) + 1
    for step, before, after in zip(steps, adopted.findings, adopted.findings[1:], strict=False):
        for rule, seen in step.names():
            assert before[rule].result == "broken", (step.patch.name, rule)
            assert seen in before[rule].seen, before[rule].seen
            still = after[rule].result == "broken" and (not seen or seen in after[rule].seen)
            assert not still, (step.patch.name, after[rule].seen)


def test_nothing_is_broken_that_no_step_is_led_to(adopted: Adopted) -> None:
    named = {rule for step in adopted.example.steps() for rule, _ in step.names()}
    broken = {
        rule for found in adopted.findings for rule, one in found.items() if one.result == "broken"
    }
    assert broken == named
    assert {one.result for one in adopted.findings[-1].values()} == {"holds"}


def test_the_page_names_the_rules_of_each_step(adopted: Adopted) -> None:
    table = PAGE.partition(f"| *{adopted.example.name}*")[2].partition("\n\n")[0]
    rows = [row.rpartition(" | ")[2] for row in table.splitlines()[2:]]
    steps = [{rule for rule, _ in step.names()} for step in adopted.example.steps()]
    assert [{*re.findall(r"`([\w-]+)`", row)} - {"git"} for row in rows] == steps


MENDS = {
    "LLM_URL": "build clients in the function that answers a request",
    "'__name__'": "List the functions themselves in `TOOLS`",
    "set_model": "End agent.py with `mlflow.models.set_model(AGENT)`",
    "named 'catalogue'": "put the module into the agent's package and import it from there",
}


def test_the_mend_of_what_does_not_log_suits_it(adopted: Adopted) -> None:
    found = [one["accepted"] for one in adopted.findings if one["accepted"].result == "broken"]
    told = [(seen, one) for one in found for seen in MENDS if seen in one.seen]
    assert told
    for seen, one in told:
        assert MENDS[seen] in one.mend


def test_a_new_base_with_the_old_arguments_is_explained(adopted: Adopted) -> None:
    agent = Agent(adopted.project.folder)
    source = adopted.project.read(f"{adopted.example.package}/agent.py")
    (new,) = re.findall(r"def predict\(.*:$", source, re.MULTILINE)
    with (
        agent.patched("agent.py", new, "def predict(self, context, model_input, params=None):"),
        start_workbench(agent) as workbench,
    ):
        found = workbench.findings("accepted")["accepted"]
    assert "missing 1 required positional argument" in found.seen
    assert "Write `def predict(self, request)`" in found.mend


# The page, and afterwards


def test_the_rules_of_the_page_exist(adopted: Adopted) -> None:
    rules = parts_of_rules(adopted.project.folder).keys()
    table = PAGE.partition("## From the old to the new")[2].partition("\n## ")[0]
    rows = [row.split(" | ")[1] for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        assert {*re.findall(r"`([\w-]+)`", row)} <= rules, row


def test_the_requests_of_the_page_are_an_old_one_and_a_new_one() -> None:
    old, new = (json.loads(one) for one in re.findall(r"^```json\n(.*?)^```", PAGE, re.S | re.M))
    assert old["messages"] == new["input"]
    ResponsesAgentRequest.model_validate(new)
    with pytest.raises(ValueError, match="input"):
        ResponsesAgentRequest.model_validate(old)


def test_the_next_release_changes_nothing_of_the_owners(adopted: Adopted, tmp_path: Path) -> None:
    example, template = adopted.example, adopted.project.template
    project = cloned(adopted.project, tmp_path)
    before = project.files()
    release_changes(project.template)
    (update,) = (line for line in commands("Afterwards") if example.package in line)
    assert f"{example.package}/{example.wholly_mine}" in update
    run(update, project.folder, template.folder)
    assert project.conflicts() == {}
    assert project.files() == with_release(before, example)


def test_without_leaving_it_out_the_own_file_is_a_conflict(
    adopted: Adopted, tmp_path: Path
) -> None:
    example = adopted.example
    project = cloned(adopted.project, tmp_path)
    mine = project.read(f"{example.package}/{example.wholly_mine}")
    release_changes(project.template)
    project.update()
    (name,) = project.conflicts()
    assert name == f"{example.package}/{example.wholly_mine}"
    # Both sides stand in the file: no line is lost.
    assert {*mine.splitlines()} <= {*project.read(name).splitlines()}


def cloned(project: Project, folder: Path) -> Project:
    """An adopted repository and its template once more, without what git ignores."""
    template = Template(folder / "template")
    shutil.copytree(project.template.folder, template.folder, symlinks=True)
    clone = Project(folder / project.folder.name, template)
    project.git("clone", "--quiet", ".", str(clone.folder))
    clone.edit(ANSWERS, str(project.template.folder), str(template.folder))
    clone.commit()
    return clone


def release_changes(template: Template) -> None:
    """Release a change of the loop, of the sample tools, and of what is all the template's."""
    template.edit(
        "src/weather_agent/agent.py",
        "        deadline = time.monotonic() + ",
        "        # Later than this is too late.\n        deadline = time.monotonic() + ",
    )
    template.edit("src/weather_agent/tools.py", "Count the days from", "Tell the days from")
    template.edit("README.md", "## Quick start\n", "## Quick start\n\nNew here.\n")
    template.write("src/weather_agent/novelty.py", '"""What the release brings."""\n')
    template.release(NEXT)


def with_release(before: Files, example: Example) -> Files:
    """What the files of a project are after the release, when nothing of the owner's is lost."""
    changes = {
        "README.md": ("## Quick start\n", "## Quick start\n\nNew here.\n"),
        ANSWERS: (f"_commit: {NOW}", f"_commit: {NEXT}"),
    }
    if example.wholly_mine != "agent.py":
        deadline = "        deadline = time.monotonic() + "
        comment = "        # Later than this is too late.\n"
        changes[f"{example.package}/agent.py"] = (deadline, comment + deadline)
    after = dict(before)
    for name, (old, new) in changes.items():
        assert before[name].count(old.encode()) == 1, name
        after[name] = before[name].replace(old.encode(), new.encode())
    after[f"{example.package}/novelty.py"] = b'"""What the release brings."""\n'
    return after
