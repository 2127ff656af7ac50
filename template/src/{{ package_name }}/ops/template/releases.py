"""The template's repository: its releases, their changes, and their files."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from ..project import ProjectError
from ..requirements import find_uv
from .answers import ANSWERS_FILE, Answers, load_answers
from .git import GitError, git, neutral_environment

# The versions that the template's tests use.
COPIER = "copier>=9.17.2,<10"
# As Copier expands them.
_SHORTCUTS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/", "git+": ""}
_HEADING = re.compile(r"^## (\S+)$", re.MULTILINE)


class _Loader(yaml.SafeLoader):
    """Reads `copier.yml` without the files that it includes."""


_Loader.add_multi_constructor("!", lambda *_: None)


def is_version(tag: str) -> bool:
    """Return whether a tag names a version."""
    try:
        Version(tag)
    except InvalidVersion:
        return False
    return True


@dataclass(frozen=True)
class Template:
    """A clone of the template's repository.

    Attributes:
        folder: The clone.
        source: Where it comes from, as in the answers file.
    """

    folder: Path
    source: str

    def releases(self) -> list[str]:
        """Return the tags of the releases, oldest first."""
        return sorted(filter(is_version, git(self.folder, "tag").split()), key=Version)

    def newest(self) -> str:
        """Return the newest release, without pre-releases.

        Raises:
            ProjectError: There is none.
        """
        final = [tag for tag in self.releases() if not Version(tag).is_prerelease]
        if not final:
            raise ProjectError(
                f"{self.source} has no tags, which are its releases. If it is your clone of the "
                "template, run `make tags` in it."
            )
        return final[-1]

    def require(self, version: str) -> None:
        """Check that a version exists.

        Raises:
            ProjectError: The clone has no such tag or commit.
        """
        try:
            git(self.folder, "rev-parse", "--quiet", "--verify", f"{version}^{{commit}}")
        except GitError as error:
            raise ProjectError(
                f"{self.source} has no version {version}. Its newest release is {self.newest()}."
            ) from error

    def crossed(self, old: str, new: str) -> list[str]:
        """Return the releases after `old` up to `new`, oldest first."""
        crossed = git(self.folder, "tag", "--merged", new, "--no-merged", old).split()
        return [tag for tag in self.releases() if tag in crossed]

    def contains(self, one: str, other: str) -> bool:
        """Return whether a version has all commits of another one."""
        return git(self.folder, "rev-list", "--max-count=1", other, f"^{one}") == ""

    def changes(self, old: str, new: str) -> str:
        """Return the sections of the changelog for the releases after `old` up to `new`.

        It is empty if the template has no changelog.
        """
        text = git(self.folder, "show", f"{new}:CHANGELOG.md", accepted=(0, 128))
        crossed = {tag.removeprefix("v") for tag in self.crossed(old, new)}
        headings = list(_HEADING.finditer(text))
        starts = [*(heading.start() for heading in headings), len(text)]
        sections = zip(headings, pairwise(starts), strict=True)
        parts = [text[start:end] for heading, (start, end) in sections if heading[1] in crossed]
        return "".join(parts).strip()

    def migrations(self, old: str, new: str) -> list[str]:
        """Return the releases after `old` up to `new` that run programs of the template."""
        text = git(self.folder, "show", f"{new}:copier.yml")
        settings: dict[str, Any] = {}
        for document in yaml.load_all(text, _Loader):
            settings |= document or {}
        crossed = self.crossed(old, new)
        versions = [one.get("version") for one in settings.get("_migrations") or ()]
        return [tag for tag in crossed if tag in versions]


def open_template(root: Path, folder: Path) -> tuple[Answers, Template]:
    """Return the answers of an agent, and a clone of its template that has the recorded version.

    Args:
        root: The folder of the agent.
        folder: The folder of the clone.

    Raises:
        ProjectError: The answers are not usable, or the template is not available.
    """
    answers = load_answers(root / ANSWERS_FILE)
    template = clone_template(answers.source, root, folder)
    template.require(answers.version)
    return answers, template


def clone_template(source: str, root: Path, folder: Path) -> Template:
    """Clone the template's repository, with the user's settings and credentials for git.

    Args:
        source: The URL of the template, or a folder, which may be relative to `root`.
        root: The folder of the agent.
        folder: The folder of the clone.

    Raises:
        ProjectError: It is not available.
    """
    url = str((root / source).resolve()) if (root / source).is_dir() else source
    for shortcut, prefix in _SHORTCUTS.items():
        if url.startswith(shortcut):
            url = prefix + url.removeprefix(shortcut)
    command = ["git", "-c", f"core.hooksPath={os.devnull}", "clone", "--quiet", "--no-checkout"]
    command += ["--", url, str(folder)]
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    except FileNotFoundError as error:
        raise ProjectError("git was not found. Install it.") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1].removesuffix(".")
        raise ProjectError(
            f"Cannot clone the template {source}: {reason}. Check your access, and `_src_path` in "
            f"{ANSWERS_FILE}."
        ) from error
    return Template(folder, source)


def render(template: Template, renderings: Mapping[Path, tuple[str, Mapping[str, Any]]]) -> None:
    """Render versions of the template at the same time.

    Args:
        template: The template.
        renderings: The version and the answers for each folder to create.

    Raises:
        ProjectError: Copier refuses the answers or fails.
    """
    running = [
        _start(template, folder, version, answers)
        for folder, (version, answers) in renderings.items()
    ]
    messages = [process.communicate()[1] for process in running]  # waits for all of them
    for process, printed, (version, _) in zip(running, messages, renderings.values(), strict=True):
        if process.returncode:
            raise ProjectError(f"Copier cannot render {version}: {_reason_in(printed)}.")
    for folder in renderings:
        _record_source(folder / ANSWERS_FILE, template.source)


def _start(
    template: Template, folder: Path, version: str, answers: Mapping[str, Any]
) -> subprocess.Popen[str]:
    data = folder.with_name(f"{folder.name}.yml")
    data.write_text(yaml.safe_dump(dict(answers), allow_unicode=True), encoding="utf-8")
    command = [find_uv(), "tool", "run", "--quiet", "--from", COPIER, "copier", "copy", "--quiet"]
    command += ["--defaults", f"--vcs-ref={version}", f"--data-file={data}"]
    return subprocess.Popen(
        [*command, str(template.folder), str(folder)],
        env=neutral_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def _reason_in(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    return lines[-1].strip().removesuffix(".") if lines else "no reason given"


def _record_source(file: Path, source: str) -> None:
    """Record where the template comes from, instead of the clone's folder."""
    line = yaml.safe_dump({"_src_path": source}, allow_unicode=True, width=1000).strip()
    text = file.read_text(encoding="utf-8")
    file.write_text(
        re.sub(r"^_src_path: .*$", lambda _: line, text, flags=re.MULTILINE), encoding="utf-8"
    )
