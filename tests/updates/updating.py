"""Projects that run `update` and `status` of their own code."""

import shutil
import subprocess
from pathlib import Path

from tests.helpers.agents import Agent, clean_environment
from tests.updates.projects import ANSWERS, LATER, NAME, NEXT, NOW, PACKAGE, Project, Template

TOOLS, SERVE, NEW = f"{PACKAGE}/tools.py", "docs/serving.md", f"{PACKAGE}/runtime/added.py"
RUN = "from PACKAGE.commands.cli import main; main()"
# Runs the command without the installation and the verification at its end.
MERGE_ONLY = """
from PACKAGE.commands import update
from PACKAGE.commands.cli import main

update.install_packages = lambda: None
update.verify_agent = lambda: 0
main()
"""


class UpdatingProject:
    """A project that runs `update` and `status` of its own code, in the environment of an agent.

    Attributes:
        project: The project, of the first release.
        agent: The agent that provides the environment of the commands.
        package: The name of the project's package.
        finishes: Whether `update` installs the packages and verifies the agent.
    """

    def __init__(self, project: Project, agent: Agent) -> None:
        self.project, self.agent = project, agent
        self.package = "weather_agent"
        self.finishes = False

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command; it may fail."""
        program = (RUN if self.finishes else MERGE_ONLY).replace("PACKAGE", self.package)
        return subprocess.run(
            [self.agent.folder / ".venv/bin/python", "-c", program, *arguments],
            cwd=self.project.folder,
            env=clean_environment()
            | {"PYTHONPATH": str(self.project.folder / "src")}
            | environment,
            capture_output=True,
            check=False,
            text=True,
        )

    def update(self, *options: str, **environment: str) -> str:
        """Update, which must succeed, and return what it prints."""
        done = self.run("update", *options, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.project.is_clean()
        return done.stdout

    def refuse(self, *options: str, **environment: str) -> str:
        """Update, which must be refused and change nothing, and return the error."""
        before = self.state()
        done = self.run("update", *options, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr
        assert self.state() == before
        return done.stderr

    def state(self) -> list[str]:
        """Return the references, the files that differ from the commit, and the differences."""
        commands = ("for-each-ref", "status --porcelain", "diff HEAD", "rev-parse HEAD")
        return [self.project.git(*command.split()) for command in commands]


def write_changelog(template: Template, *tags: str) -> None:
    """Write a changelog with one sentence per release."""
    sections = (f"## {tag.removeprefix('v')}\n\nChanges of {tag}.\n" for tag in tags)
    text = "\n".join(["# Changelog\n", *sections])
    (template.folder / "CHANGELOG.md").write_text(text, encoding="utf-8")


def made_with_updates(folder: Path) -> Project:
    """Return a project of the first of three releases of the working tree."""
    template = Template.of_the_working_tree(folder / "template", without="template/tests/contract")
    template.git("tag", "v98.0.0")
    write_changelog(template, NOW)
    template.commit()
    template.git("tag", "--force", NOW)
    template.append(SERVE, "\nThe first change.\n")
    template.edit(TOOLS, '"""What the agent can do.', '"""What this agent can do.')
    template.write(NEW, '"""Added."""\n')
    template.append(f"{PACKAGE}/instructions.md", "An example of the template.\n")
    write_changelog(template, NEXT, NOW)
    template.release(NEXT)
    template.append(SERVE, "\nThe second change.\n")
    write_changelog(template, LATER, NEXT, NOW)
    template.release(LATER)
    return Project.made(template, folder / NAME)


def own_template(updating: UpdatingProject, made: Project) -> Template:
    """Return a copy of the template that the test may change, and let the project use it."""
    template = Template(updating.project.folder.parent / "template")
    shutil.copytree(made.template.folder, template.folder)
    updating.project.edit(ANSWERS, str(made.template.folder), str(template.folder))
    updating.project.commit()
    return template
