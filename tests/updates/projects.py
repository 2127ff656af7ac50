"""Releases of the template, and projects that `copier update` brings to them."""

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import copier
import yaml

from tests.helpers.template import COPIER_YML, ROOT, tracked_files

NAME = "weather-agent"
PACKAGE = "src/weather_agent"
ANSWERS = ".copier-answers.yml"
MOVED_FILES = "hooks/moved_files.yml"
# The working tree as a release, and the two releases after it.
NOW, NEXT, LATER = "v99.0.0", "v99.1.0", "v99.2.0"

Files = dict[str, bytes]

_CONFLICT = re.compile(
    r"^<<<<<<< before updating\n(.*?)^=======\n(.*?)^>>>>>>> after updating\n", re.DOTALL | re.M
)
_MARKER = re.compile(r"^(<<<<<<<|\|\|\|\|\|\|\||=======|>>>>>>>)( |$)", re.MULTILINE)
_GUARD = re.compile(r"{% if _copier_operation == 'update' %}(.+){% endif %}")
# A file that only the tiny template contains.
SAMPLE = f"{PACKAGE}/sample.txt"
# Copier reads these besides `template/`.
_OUTSIDE = ("copier.yml", "reserved_names.yml", "replaced_agent.jinja", "hooks")
_TINY = (*_OUTSIDE, "template/{{ _copier_conf.answers_file }}")
# Files that the default project does not have.
_OF_A_FRAMEWORK = re.compile(r"^{% if (?!plain\b)[\w ]+ %}src{% endif %}/")


@dataclass(frozen=True)
class Conflict:
    """Lines that both sides changed, without the markers."""

    owners: str
    templates: str


@dataclass(frozen=True)
class Repository:
    """A folder under git."""

    folder: Path

    def git(self, *arguments: str) -> str:
        """Run git, and return its output."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}:\n{done.stderr}"
        return done.stdout

    def path(self, file: str) -> Path:
        """Return the absolute path of a file."""
        return self.folder / file

    def read(self, file: str) -> str:
        """Return the text of a file."""
        return self.path(file).read_text(encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        """Write a file, and create it if necessary."""
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file that occurs exactly once."""
        text = self.read(file)
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}."
        self.write(file, text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Append lines to a file."""
        self.write(file, self.read(file) + text)

    def delete(self, file: str) -> None:
        """Delete an existing file."""
        self.path(file).unlink()

    def commit(self) -> None:
        """Commit all changes; the commit may be empty."""
        self.git("add", "--all", ":/")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Changes")


@dataclass(frozen=True)
class Template(Repository):
    """A temporary copy of the template, in which tests create releases.

    Methods take the names that files have in a project: `src/weather_agent/agent.py` is
    `template/src/{{ package_name }}/agent.py.jinja`, for example.
    """

    @classmethod
    def of_the_working_tree(cls, folder: Path, without: str) -> Self:
        """Return the working tree as the only release, without one folder."""
        template = cls(folder)
        for name in tracked_files():
            if name.parts[0] in ("template", *_OUTSIDE) and not name.is_relative_to(without):
                copy_file(name, folder)
        template.git("init", "--quiet")
        template.release(NOW)
        # Copier clones it several times per update. Packed, it is cloned faster.
        template.git("repack", "-a", "-d", "--quiet")
        return template

    @classmethod
    def tiny(cls, folder: Path, *files: str) -> Self:
        """Return the settings and hooks of the working tree; not released yet.

        Args:
            folder: The folder of the template.
            files: How the names of further files start, such as "template/src". Default: none.
        """
        template = cls(folder)
        for name in tracked_files():
            if name.as_posix().startswith((*_TINY, *files)):
                copy_file(name, folder)
        template.git("init", "--quiet")
        return template

    @classmethod
    def with_history(cls, folder: Path) -> Self:
        """Return all releases, and the working tree as the newest."""
        template = cls(folder)
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True, capture_output=True)
        for tag, commit in released().items():
            template.git("tag", "--force", tag, commit)
        template.git("rm", "-r", "--quiet", ".")
        for name in tracked_files():
            copy_file(name, folder)
        template.release(NOW)
        template.git("repack", "-a", "-d", "--quiet")
        return template

    def path(self, file: str) -> Path:
        """Return the path of the source of a project's file, which need not exist."""
        if file.startswith(_OUTSIDE):
            return self.folder / file
        root = self.folder / "template"
        sources = [path.relative_to(root) for path in self.sources()]
        named = [path for path in sources if name_in_project(path) == file]
        found = [root / path for path in named if not _OF_A_FRAMEWORK.search(str(path))]
        assert len(found) <= 1, f"{file} is rendered from {found}."
        return found[0] if found else root / file.replace(PACKAGE, "src/{{ package_name }}")

    def sources(self) -> list[Path]:
        """Return the files below `template/`."""
        return sorted(path for path in (self.folder / "template").rglob("*") if path.is_file())

    def rename(self, old: str, new: str) -> None:
        """Rename a file, and keep the suffix `.jinja` if it has one."""
        source = self.path(old)
        target = self.path(new)
        target = target.with_name(target.name + ".jinja" * (source.suffix == ".jinja"))
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)

    def add_move(self, old: str, new: str | list[str] | None, version: str = NEXT) -> None:
        """List a file that a release moves, and add the migration that carries its changes."""
        moves = yaml.safe_load(self.read(MOVED_FILES))
        if version not in moves:
            self.add_migration(version)
        moves.setdefault(version, {})[with_placeholder(old)] = (
            [with_placeholder(path) for path in new]
            if isinstance(new, list)
            else new and with_placeholder(new)
        )
        self.write(MOVED_FILES, yaml.safe_dump(moves))

    def add_migration(self, version: str) -> None:
        """Run the hook for a release, with the same command as for released versions."""
        migration = COPIER_YML["_migrations"][0]
        known = migration["version"]
        command = [version if part == known else part for part in migration["command"]]
        entry = json.dumps(migration | {"version": version, "command": command})
        self.add_setting("_migrations", f"  - {entry}\n")

    def move(self, old: str, new: str) -> None:
        """Move a file in the next release, with the migration that carries its changes."""
        self.rename(old, new)
        self.add_move(old, new)

    def add_setting(self, key: str, entry: str) -> None:
        """Add an entry to the start of a list of settings in `copier.yml`."""
        self.edit("copier.yml", f"\n{key}:\n", f"\n{key}:\n{entry}")

    def release(self, tag: str) -> None:
        """Commit all changes, and tag the commit."""
        self.commit()
        self.git("tag", tag)

    def fresh(self, tag: str, folder: Path, **answers: Any) -> Files:
        """Return the files that a release renders into an empty folder."""
        return Project.made(self, folder, tag, **answers).files()


@dataclass(frozen=True)
class Project(Repository):
    """A project made from a template; it may be a folder of a larger repository."""

    template: Template

    @classmethod
    def made(
        cls, template: Template, folder: Path, tag: str = NOW, *, alone: bool = True, **answers: Any
    ) -> Self:
        """Make a project without `--trust`, and commit it.

        Args:
            template: The template.
            folder: The folder of the project, which does not exist yet.
            tag: The release.
            alone: False if the project is a folder of a larger repository.
            answers: Answers other than the defaults.
        """
        copier.run_copy(
            str(template.folder),
            folder,
            data={"project_name": NAME} | answers,
            vcs_ref=tag,
            defaults=True,
            quiet=True,
            unsafe=False,
        )
        project = cls(folder, template)
        if alone:
            project.git("init", "--quiet")
        project.commit()
        return project

    @classmethod
    def in_a_larger_repository(cls, template: Template, root: Path, folder: str) -> Self:
        """Make a project in a folder of a repository that contains other files."""
        repository = Repository(root)
        repository.write("other/notes.md", "Not about the agent.\n")
        repository.git("init", "--quiet")
        return cls.made(template, root / folder, alone=False)

    def copied(self, folder: Path) -> Self:
        """Return a copy of this project and its template, which a test may change."""
        template = Template(folder / "template")
        shutil.copytree(self.template.folder, template.folder, symlinks=True)
        project = type(self)(folder / NAME, template)
        shutil.copytree(self.folder, project.folder, symlinks=True)
        project.edit(ANSWERS, str(self.template.folder), str(template.folder))
        project.commit()
        return project

    def update(
        self,
        tag: str | None = None,
        *,
        unsafe: bool = False,
        exclude: Sequence[str] = (),
        **answers: Any,
    ) -> None:
        """Update to a release (default: the newest), by default without `--trust`."""
        copier.run_update(
            self.folder,
            data=answers,
            vcs_ref=tag,
            exclude=exclude,
            defaults=True,
            overwrite=True,
            quiet=True,
            unsafe=unsafe,
        )

    def run_update(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `copier update` as an owner does; it may fail."""
        command = ("copier", "update", "--defaults", *options)
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True)

    def run_hook(self, version: str = NEXT) -> subprocess.CompletedProcess[str]:
        """Run the second stage of the hook as a migration does; it may fail."""
        hook = self.template.path("hooks/carry_edits.py")
        command = (sys.executable, hook, "after", version, ANSWERS)
        return subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True)

    def release_and_update(self, **options: Any) -> None:
        """Commit the owner's changes, release the template's changes, and update."""
        self.commit()
        self.template.release(NEXT)
        self.update(**options)

    def files(self) -> Files:
        """Return the bytes of every file that git does not ignore."""
        return {name.as_posix(): self.path(str(name)).read_bytes() for name in self.names()}

    def names(self) -> list[Path]:
        """Return the names of all files that git does not ignore."""
        return tracked_files(self.folder)

    def conflicts(self) -> dict[str, list[Conflict]]:
        """Return the conflicts of each file that git lists as unmerged."""
        names = self.git("diff", "--name-only", "--relative", "--diff-filter=U").splitlines()
        return {name: split_conflicts(self.read(name))[1] for name in names}

    def conflict(self, file: str) -> Conflict:
        """Return the only conflict of the project, which must be in this file."""
        assert list(self.conflicts()) == [file]
        (conflict,) = self.conflicts()[file]
        return conflict

    def is_clean(self) -> bool:
        """Return whether the working tree equals the last commit."""
        return self.git("status", "--porcelain") == ""


@functools.cache
def small_project(folder: Path) -> Project:
    """Return a project made from the working tree. Do not change it; copy it.

    The contract tests are left out. They are many, and updates treat them like other files.
    """
    folder = folder / "small"
    template = Template.of_the_working_tree(folder / "template", without="template/tests/contract")
    return Project.made(template, folder / NAME)


@functools.cache
def all_releases(folder: Path) -> Template:
    """Return all releases and the working tree. Do not change the result."""
    return Template.with_history(folder / "releases")


def lines(name: str) -> str:
    """Return a text of twenty lines that no other text contains."""
    return "".join(f"{name} {number}\n" for number in range(20))


def copy_file(name: Path, folder: Path) -> None:
    """Copy a file of the working tree to the same place below another folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / name, folder / name)


def name_in_project(source: Path) -> str:
    """Return the name in a project of a file below `template/`, if its condition is true."""
    name = re.sub(r"{%.*?%}", "", source.as_posix())
    return name.removesuffix(".jinja").replace("src/{{ package_name }}", PACKAGE)


def with_placeholder(name: str) -> str:
    """Return the name of a project's file as `moved_files.yml` lists it."""
    return name.replace(PACKAGE, "src/PACKAGE")


def split_conflicts(text: str) -> tuple[str, list[Conflict]]:
    """Return the text outside conflicts, and the conflicts.

    Raises:
        AssertionError: the markers are malformed.
    """
    outside = _CONFLICT.sub("", text)
    conflicts = [Conflict(*match.groups()) for match in _CONFLICT.finditer(text)]
    sides = [side for conflict in conflicts for side in (conflict.owners, conflict.templates)]
    for piece in (outside, *sides):
        assert not _MARKER.search(piece), f"A marker without its counterpart:\n{text}"
    return outside, conflicts


def released() -> dict[str, str]:
    """Return the commits of all releases of the template by their tags, oldest first."""
    entries = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))
    return {entry["version"]: entry["commit"] for entry in entries}


def owners_files() -> set[str]:
    """Return the files that updates never touch, as `copier.yml` names them, with Jinja."""
    guarded = (_GUARD.fullmatch(entry) for entry in COPIER_YML["_exclude"])
    return {match[1] for match in guarded if match}
