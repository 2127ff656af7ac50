"""Releases of the template, and projects that take them up with `copier update`."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import copier

from tests.helpers.template import COPIER_YML, ROOT, tracked_files

NAME = "weather-agent"
PACKAGE = "src/weather_agent"
ANSWERS = ".copier-answers.yml"
# Releases whose commits are known, for clones that have the history and not the tags.
PUBLISHED = {
    "v0.1.0": "42374a620dda5d321eb61e7424f34af1d72db8f6",
    "v0.2.0": "b4d26f1a76034de27279ac9774c25db1bed413f7",
    "v0.3.0": "8665d1d1c99c2515066dad6551befaf3cbd1d707",
    "v0.4.0": "3282109375cc6fc8c6b8d422bd547b77b183976e",
}
# The working tree, as a release; the release after it; and the one after that.
NOW, NEXT, LATER = "v99.0.0", "v99.1.0", "v99.2.0"

Files = dict[str, bytes]

_CONFLICT = re.compile(
    r"^<<<<<<< before updating\n(.*?)^=======\n(.*?)^>>>>>>> after updating\n", re.DOTALL | re.M
)
_MARKER = re.compile(r"^(<<<<<<<|\|\|\|\|\|\|\||=======|>>>>>>>)( |$)", re.MULTILINE)
_GUARD = re.compile(r"{% if _copier_operation == 'update' %}(.+){% endif %}")
# What stands beside `template/`.
_OUTSIDE = ("copier.yml", "reserved_names.yml", "hooks")


@dataclass(frozen=True)
class Conflict:
    """Lines that both sides changed, as they stand between the markers."""

    owners: str
    templates: str


@dataclass(frozen=True)
class Repository:
    """A folder under git, and the ways to change it."""

    folder: Path

    def git(self, *arguments: str) -> str:
        """Run git, and return what it printed."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}:\n{done.stderr}"
        return done.stdout

    def path(self, file: str) -> Path:
        """Where a file stands."""
        return self.folder / file

    def read(self, file: str) -> str:
        """The text of a file."""
        return self.path(file).read_text(encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        """Write a file, there already or not."""
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file that stands there exactly once."""
        text = self.read(file)
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)}x in {file}."
        self.write(file, text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Add lines to the end of a file."""
        self.write(file, self.read(file) + text)

    def delete(self, file: str) -> None:
        """Delete a file that is there."""
        self.path(file).unlink()

    def commit(self) -> None:
        """Commit everything that changed, also where nothing did."""
        self.git("add", "--all", ":/")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Changes")


@dataclass(frozen=True)
class Template(Repository):
    """A throw-away copy of the template, in which releases can be made.

    Files are named as they are called in a project: `src/weather_agent/agent.py` stands for
    `template/src/{{ package_name }}/agent.py.jinja`, wherever the template keeps it.
    """

    @classmethod
    def of_the_working_tree(cls, folder: Path, without: str) -> Self:
        """What Copier reads of the working tree, as the only release, without one folder."""
        template = cls(folder)
        for name in tracked_files():
            if name.parts[0] in ("template", *_OUTSIDE) and not name.is_relative_to(without):
                copy_file(name, folder)
        template.git("init", "--quiet")
        template.release(NOW)
        # Copier clones it several times an update, and a clone of few files is quick.
        template.git("repack", "-a", "-d", "--quiet")
        return template

    @classmethod
    def with_history(cls, folder: Path) -> Self:
        """All releases there ever were, and the working tree as the newest."""
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
        """Where the source of a project's file stands, or would stand."""
        if file.startswith(_OUTSIDE):
            return self.folder / file
        root = self.folder / "template"
        found = [path for path in self.sources() if name_in_project(path.relative_to(root)) == file]
        assert len(found) <= 1, f"{file} is rendered from {found}."
        return found[0] if found else root / file.replace(PACKAGE, "src/{{ package_name }}")

    def sources(self) -> list[Path]:
        """The files below `template/`."""
        return sorted(path for path in (self.folder / "template").rglob("*") if path.is_file())

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, rendered with Jinja if it was before."""
        source = self.path(old)
        target = self.path(new)
        target = target.with_name(target.name + ".jinja" * (source.suffix == ".jinja"))
        source.rename(target)

    def add_migration(self, old: str, new: str, version: str = NEXT) -> None:
        """Let a release carry the owner's edits from a file's old name to its new one."""
        source = "{{ _copier_conf.src_path }}"
        names = [name.replace(PACKAGE, "src/{{ package_name }}") for name in (old, new)]
        command = ["{{ _copier_python }}", f"{source}/hooks/carry_edits.py", source, *names]
        entry = f"  - version: {version}\n    command: {json.dumps(command)}\n"
        self.add_setting("_migrations", entry)

    def rename_with_edits(self, old: str, new: str) -> None:
        """Rename a file in the next release, with the migration that carries its edits."""
        self.rename(old, new)
        self.add_migration(old, new)

    def add_setting(self, key: str, entry: str) -> None:
        """Add an entry to a list of settings in `copier.yml`, there already or not."""
        text = self.read("copier.yml")
        if f"\n{key}:\n" not in text:
            text = f"\n{key}:\n{text}"
        self.write("copier.yml", text.replace(f"\n{key}:\n", f"\n{key}:\n{entry}", 1))

    def release(self, tag: str) -> None:
        """Commit everything that changed, and tag it."""
        self.commit()
        self.git("tag", tag)

    def fresh(self, tag: str, folder: Path, **answers: Any) -> Files:
        """What a release renders where nothing was before."""
        return Project.made(self, folder, tag, **answers).files()


@dataclass(frozen=True)
class Project(Repository):
    """A project made from a template; its folder may be a part of a larger repository."""

    template: Template

    @classmethod
    def made(
        cls, template: Template, folder: Path, tag: str = NOW, *, alone: bool = True, **answers: Any
    ) -> Self:
        """Make a project as a user does who has no trust, and commit it.

        Args:
            template: What it is made from.
            folder: Where it is made; nothing is there yet.
            tag: The release.
            alone: Whether it is a repository of its own, and not a folder of a larger one.
            answers: Answers; the name and the defaults for the rest.
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
        """Make a project in a folder of a repository that holds other things as well."""
        repository = Repository(root)
        repository.write("other/notes.md", "Not about the agent.\n")
        repository.git("init", "--quiet")
        return cls.made(template, root / folder, alone=False)

    def copied(self, folder: Path) -> Self:
        """This project and its template once more, as its owner and its makers may change them."""
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
        """Take up a release, the newest if none is named; without trust unless told."""
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

    def release_and_update(self, **options: Any) -> None:
        """Commit what the owner changed, release what the template changed, and take it up."""
        self.commit()
        self.template.release(NEXT)
        self.update(**options)

    def files(self) -> Files:
        """Every file that git does not ignore, with its bytes."""
        return {name.as_posix(): self.path(str(name)).read_bytes() for name in self.names()}

    def names(self) -> list[Path]:
        """Every file that git does not ignore."""
        return tracked_files(self.folder)

    def conflicts(self) -> dict[str, list[Conflict]]:
        """The files that git calls unmerged, each with its conflicts."""
        names = self.git("diff", "--name-only", "--relative", "--diff-filter=U").splitlines()
        return {name: split_conflicts(self.read(name))[1] for name in names}

    def conflict(self, file: str) -> Conflict:
        """The only conflict there is, in the file where it must be."""
        assert list(self.conflicts()) == [file]
        (conflict,) = self.conflicts()[file]
        return conflict

    def is_clean(self) -> bool:
        """Whether nothing differs from the last commit."""
        return self.git("status", "--porcelain") == ""


@functools.cache
def small_project(folder: Path) -> Project:
    """A project made from the working tree; not to be changed, but copied.

    The contract's files are left out: they are many, and like any other file of the template.
    """
    folder = folder / "small"
    template = Template.of_the_working_tree(folder / "template", without="template/tests/contract")
    return Project.made(template, folder / NAME)


@functools.cache
def all_releases(folder: Path) -> Template:
    """All releases and the working tree; not to be changed."""
    return Template.with_history(folder / "releases")


def copy_file(name: Path, folder: Path) -> None:
    """Copy a file of the working tree to where it stands in another one."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(ROOT / name, folder / name)


def name_in_project(source: Path) -> str:
    """How a file below `template/` is called in a project where its condition holds."""
    name = re.sub(r"{%.*?%}", "", source.as_posix())
    return name.removesuffix(".jinja").replace("src/{{ package_name }}", PACKAGE)


def split_conflicts(text: str) -> tuple[str, list[Conflict]]:
    """The text outside conflicts, and the conflicts; markers that are not well-formed fail."""
    outside = _CONFLICT.sub("", text)
    conflicts = [Conflict(*match.groups()) for match in _CONFLICT.finditer(text)]
    sides = [side for conflict in conflicts for side in (conflict.owners, conflict.templates)]
    for piece in (outside, *sides):
        assert not _MARKER.search(piece), f"A marker stands alone:\n{text}"
    return outside, conflicts


def released() -> dict[str, str]:
    """The commits of all releases of the template by their tags, oldest first."""
    listed = ("git", "tag", "--list", "v*", "--format=%(refname:short) %(*objectname)%(objectname)")
    done = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    tags = (line.split() for line in done.stdout.splitlines())
    found = PUBLISHED | {tag: commit[:40] for tag, commit in tags}
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in item[0][1:].split(".")]))


def owners_files() -> set[str]:
    """The files that updates never touch, as `copier.yml` names them, Jinja and all."""
    guarded = (_GUARD.fullmatch(entry) for entry in COPIER_YML["_exclude"])
    return {match[1] for match in guarded if match}
