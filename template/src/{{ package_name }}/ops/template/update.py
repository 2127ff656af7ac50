"""Updates the repository to another version of the template, with a git merge.

The old and the new version of the template are rendered, and committed one after the other. git
merges the difference between them into the repository. A conflict has a base for merge tools, and
`git merge --abort` undoes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..project import ProjectError
from .answers import ANSWERS_FILE, Answers, load_answers
from .git import Identity, git
from .merge import Merge, changed_files, merge_message, merge_template, start_merge
from .obstacles import require_clean, require_free_branch, require_unobstructed
from .ownership import your_files
from .releases import Template, open_template, render
from .scratch import Scratch


@dataclass(frozen=True)
class Update:
    """An update that is prepared; the repository is unchanged so far.

    Attributes:
        old: The version that the repository has.
        new: The version that it gets.
        changes: The changelog of the releases in between.
        migrations: The releases in between that need trust.
        files: The files that change without a conflict, with git's letter: A, D or M.
        touched: The files that the template changes between the versions.
        merge: The result of a trial.
        base: The commit with the old version.
        theirs: The commit with the new version.
        result: The commit of the merge; None with conflicts.
    """

    old: str
    new: str
    changes: str
    migrations: list[str]
    files: dict[str, str]
    touched: list[str]
    merge: Merge
    base: str
    theirs: str
    result: str | None

    @property
    def branch(self) -> str:
        """The name of the branch with the new version of the template."""
        return f"template/{self.new}"


def prepare_update(
    root: Path, scratch: Scratch, to: str | None, data: dict[str, Any], author: Identity
) -> Update:
    """Render both versions of the template, and try to merge the difference.

    Args:
        root: The folder of the agent.
        scratch: A repository for the renderings and the trial.
        to: The version to update to; by default the newest release.
        data: Other answers.
        author: Who commits.

    Raises:
        ProjectError: The template is not available, or Copier refuses an answer.
    """
    folder = scratch.folder.parent
    answers, template = open_template(root, folder / "template")
    old, new = answers.version, to or template.newest()
    check_versions(template, old, new)
    values = {folder / "old": (old, answers.values), folder / "new": (new, answers.values | data)}
    render(template, values)
    require_answers(load_answers(folder / "new" / ANSWERS_FILE), data, new)
    return _try_merge(scratch, template, old, new, author)


def check_versions(template: Template, old: str, new: str) -> None:
    """Check that the new version exists, and is not older than the other one.

    Raises:
        ProjectError: The new version does not exist, or is older than the other one.
    """
    template.require(new)
    if template.contains(old, new) and not template.contains(new, old):
        raise ProjectError(
            f"The agent has {old}, which is newer than {new}. To go back, revert the commit of "
            "the update with git."
        )


def require_answers(answers: Answers, data: Mapping[str, Any], version: str) -> None:
    """Check that the template has recorded the answers of `--data`.

    Raises:
        ProjectError: It ignores one.
    """
    for name, value in data.items():
        if answers.values.get(name) != value:
            known = ", ".join(answers.values)
            raise ProjectError(
                f"{version} of the template ignores {name}={value}. It records these answers: "
                f"{known}."
            )


def _try_merge(
    scratch: Scratch, template: Template, old: str, new: str, author: Identity
) -> Update:
    folder = scratch.folder.parent
    old_tree, new_tree = scratch.tree_of(folder / "old"), scratch.tree_of(folder / "new")
    # Updates never change the owner's files. Versions of Copier format the answers differently.
    names = [load_answers(folder / name / ANSWERS_FILE).package for name in ("new", "old")]
    yours = dict(zip(*map(your_files, names), strict=True))
    new_tree = scratch.with_files_of(new_tree, old_tree, yours)
    answers = {ANSWERS_FILE: ANSWERS_FILE}
    old_tree = scratch.with_files_of(old_tree, scratch.head, answers)
    base = scratch.commit(old_tree, f"Template {old}", [], author)
    theirs = scratch.commit(new_tree, f"Template {new}", [base], author)
    scratch.git("reset", "--quiet", "--hard", scratch.head)
    merge = merge_template(scratch.folder, base, scratch.head, theirs, new)
    files = changed_files(scratch.folder, "--cached", scratch.head)
    result = None
    if not merge.conflicts:
        tree, parents = scratch.git("write-tree").strip(), [scratch.head, theirs]
        result = scratch.commit(tree, merge_message(new), parents, author)
        scratch.git("branch", "--force", "result", result)
    scratch.git("branch", "--force", "template", theirs)
    return Update(
        old=old,
        new=new,
        changes=template.changes(old, new),
        migrations=template.migrations(old, new),
        files={path: letter for path, letter in files.items() if path not in merge.conflicts},
        touched=list(changed_files(scratch.folder, base, theirs)),
        merge=merge,
        base=base,
        theirs=theirs,
        result=result,
    )


def apply_update(root: Path, scratch: Scratch, update: Update, author: Identity) -> Merge:
    """Merge a prepared update into the repository.

    Without conflicts, the merge is committed. Otherwise it waits for `git commit`.

    Args:
        root: The folder of the agent.
        scratch: The repository that prepared it.
        update: The update.
        author: Who commits.

    Raises:
        ProjectError: Work in the repository is in the way; nothing has changed.
    """
    top = Path(git(root, "rev-parse", "--show-toplevel").removesuffix("\n"))
    require_clean(top)
    require_free_branch(top, update.branch, f"Template {update.new}")
    require_unobstructed(top, [*update.files, *update.merge.conflicts, *update.touched])
    refs = [f"+refs/heads/template:refs/heads/{update.branch}"]
    if update.result:
        refs.append("refs/heads/result")
    git(top, "fetch", "--quiet", "--no-tags", str(scratch.folder), *refs)
    if update.result:
        git(top, "merge", "--quiet", "--ff-only", update.result)
        return update.merge
    merge = start_merge(top, update.base, scratch.head, update.theirs, update.new)
    if not merge.conflicts:  # attributes that only this repository has, in `.git/info`
        git(top, "commit", "--quiet", "--no-edit", "--no-verify", variables=author.variables())
    return merge


def parse_data(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the answers in pairs such as `ci=gitlab`.

    Raises:
        ProjectError: A pair is invalid.
    """
    data: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name.isidentifier() or not separator:
            raise ProjectError(f"--data {pair!r} is invalid. Write NAME=VALUE, such as ci=gitlab.")
        if name in data:
            raise ProjectError(f"--data names {name!r} twice. Remove one of them.")
        try:
            data[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ProjectError(f"--data {pair!r} is invalid YAML. Quote the value.") from error
    return data
