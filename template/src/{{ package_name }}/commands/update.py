"""Updates the agent to a newer version of its template: `update`."""

import subprocess

import click

from ..ops.project import PROJECT_NAME, ROOT, ProjectError, require_checkout
from ..ops.requirements import find_uv
from ..ops.template.git import Identity, git, identity_in
from ..ops.template.obstacles import require_clean
from ..ops.template.scratch import scratch_repository
from ..ops.template.update import Merge, Update, apply_update, parse_data, prepare_update

LETTERS = {"A": "new", "D": "deleted", "M": "changed"}


def run_update(to: str | None, pairs: tuple[str, ...], *, check: bool, verify: bool) -> int:
    """Update the agent, install its packages, and verify it.

    Args:
        to: The version; by default the newest release.
        pairs: Other answers, such as `ci=gitlab`.
        check: Whether to show only what would change.
        verify: Whether to verify the agent afterwards.

    Returns:
        The exit code: 1 if there are conflicts, otherwise that of `verify`, or 0 without it.
    """
    require_checkout()
    data = parse_data(pairs)
    with scratch_repository(ROOT) as scratch:
        author = Identity("check", "check@localhost")
        if not check:
            require_clean(ROOT)
            author = identity_in(ROOT)
        update = prepare_update(ROOT, scratch, to, data, author)
        if not update.files and not update.merge.conflicts:
            click.echo(f"{PROJECT_NAME} has {update.old} of the template: nothing to update.")
            return 0
        click.echo(describe(update))
        if check:
            return 0
        if update.migrations:
            raise ProjectError(trust_message(update))
        merge = apply_update(ROOT, scratch, update, author)
    click.echo(report(update, merge))
    if merge.conflicts:
        return 1
    install_packages()
    return verify_agent() if verify else 0


def describe(update: Update) -> str:
    """Return what an update changes."""
    lines = [f"Template {update.old} → {update.new}", ""]
    if update.changes:
        lines += [update.changes, ""]
    lines += [f"{LETTERS[letter]:<8} {path}" for path, letter in update.files.items()]
    lines += [f"conflict {path}" for path in update.merge.conflicts]
    if update.migrations:
        lines += ["", trust_message(update)]
    return "\n".join(lines)


def trust_message(update: Update) -> str:
    """Return why an update needs trust, and how to give it."""
    verb = "moves" if len(update.migrations) == 1 else "move"
    return (
        f"{', '.join(update.migrations)} {verb} files with a program of the template, which needs "
        "your trust. Read `hooks/` in the template, and run `uvx copier update --defaults --trust "
        f"--vcs-ref={update.new}`."
    )


def report(update: Update, merge: Merge) -> str:
    """Return what was merged, and what is left to do."""
    lines = [f"{path} stays deleted; the template changed it." for path in merge.deleted]
    if not merge.conflicts:
        lines.append(f"Merged {update.branch}. To undo it: git reset --hard ORIG_HEAD")
        return "\n".join(lines)
    lines += [
        f"Conflicts: {len(merge.conflicts)}. Undo the update with `git merge --abort`, or resolve "
        "them and run:",
        "",
        f"  git add {' '.join(merge.conflicts)}",
        "  uv sync && git add --update uv.lock",
        "  git commit --no-edit",
        f"  uv run {PROJECT_NAME} verify",
    ]
    return "\n".join(lines)


def install_packages() -> None:
    """Install the packages, and add the new lock file to the merge.

    Raises:
        ProjectError: The packages cannot be installed.
    """
    if subprocess.run([find_uv(), "sync", "--inexact"], cwd=ROOT, check=False).returncode:
        raise ProjectError(
            "The template is merged, but uv cannot install the packages. Correct pyproject.toml, "
            f"and run `uv sync` and `uv run {PROJECT_NAME} verify`."
        )
    git(ROOT, "add", "--update", "--", "uv.lock", accepted=(0, 128))  # not every agent tracks it
    if git(ROOT, "diff", "--cached", "--name-only"):
        command = ("commit", "--quiet", "--amend", "--no-edit", "--no-verify")
        git(ROOT, *command, variables=identity_in(ROOT).variables())


def verify_agent() -> int:
    """Verify the agent with its new code, and return the exit code."""
    command = [find_uv(), "run", PROJECT_NAME, "verify"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
