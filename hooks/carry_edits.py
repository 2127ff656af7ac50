"""Carry an owner's changes along when a release of the template moves files.

Copier does not follow renames: it deletes the old file and writes the new one, and changes in the
old file are gone. A migration in `copier.yml` runs this program twice:

    python carry_edits.py before VERSION ANSWERS_FILE
    python carry_edits.py after VERSION ANSWERS_FILE

The current folder is the project. `moved_files.yml` lists the files that VERSION moves.

`before` stops the update before it changes anything, if git could not restore a file that the
update deletes or overwrites, or if a file or a folder is in the way of a new path.

`after` merges the owner's file (from the last commit) into the new file, with the file that the
old version of the template rendered as the common base. If both sides changed the same lines, the
new file contains conflict markers, as after any update. If the changes cannot be merged, the
owner's file stays at its old path, and a printed line gives the reason.

Files are compared and merged as git stores them, that is, after its filters and the conversion of
line endings, so that a checkout with CRLF has no more changes than one with LF.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TEMPLATE = Path(__file__).parents[1]
MOVED_FILES = Path(__file__).with_name("moved_files.yml")
# git's modes of files, and the permissions of a file on disk.
REGULAR, EXECUTABLE = "100644", "100755"
PERMISSIONS = {REGULAR: 0o644, EXECUTABLE: 0o755}
LABELS = ("before updating", "last update", "after updating")
BY_HAND = "Move your changes by hand, then delete the old file"
REFUSED = """\
error: this release moves files, and the update would lose some of yours:
{problems}
hint: correct and commit this, then update again.\
"""
NO_ANSWERS = """\
error: the last commit does not contain {path} as a regular file.
hint: run `git add --force {path}` and commit it, then update again.\
"""
FAILED = """\
error: the changes in some files were not carried along; the lines above name them.
hint: `git show HEAD:FILE` prints your version of a file. To undo the update, run `git reset --hard
&& git clean -fd`.\
"""
KEPT = """\
error: some of your files are still at their old paths; the lines above name them and the reason.
hint: move your changes by hand. Everything else is updated.\
"""
NO_BASE = """\
error: {version} of the template, which this agent was made from, cannot be rendered: {error}
Your versions of the moved files are back at their old paths. Move your changes to the new paths
that hooks/moved_files.yml names, or undo the update: git reset --hard && git clean -fd\
"""


class Move(NamedTuple):
    """A file that a release has moved.

    Attributes:
        old: Its old path.
        new: The path that takes the owner's changes; None if the release has removed the file.
        others: More new paths, if the release has split the file.
    """

    old: str
    new: str | None
    others: tuple[str, ...] = ()


class File(NamedTuple):
    """A file in git's object database: its mode, such as 100644, and the id of its content."""

    mode: str
    blob: str


# Files by their paths in the project.
Files = dict[str, File]


class KeptError(Exception):
    """The owner's changes cannot be merged; the message gives the reason."""


def main(stage: str, version: str, answers_file: str) -> None:
    """Run one stage of the migration."""
    committed = committed_files()
    if answers_file not in committed or committed[answers_file].mode not in PERMISSIONS:
        raise SystemExit(NO_ANSWERS.format(path=answers_file))
    answers = yaml.safe_load(git("cat-file", "blob", committed[answers_file].blob))
    new_answers = yaml.safe_load(Path(answers_file).read_bytes())
    moves = moves_of(version, package_of(answers), package_of(new_answers))
    if stage == "before":
        refuse_unsafe(moves)
    else:
        carry_all(moves, committed, answers)


def package_of(answers: dict[str, Any]) -> str:
    """Return the package's name; the question has a default."""
    return answers.get("package_name") or answers["project_name"].replace("-", "_")


def moves_of(version: str, old_package: str, new_package: str) -> list[Move]:
    """Return the files that a version moves, as paths of this project."""
    listed = yaml.safe_load(MOVED_FILES.read_text(encoding="utf-8"))[version]
    moves = []
    for old, new in listed.items():
        paths = [new] if isinstance(new, str) else new or []
        first, *others = [path.replace("PACKAGE", new_package) for path in paths] or [None]
        moves.append(Move(old.replace("PACKAGE", old_package), first, tuple(others)))
    return moves


def refuse_unsafe(moves: Iterable[Move]) -> None:
    """Exit if the update would lose a file, or could not write one.

    Raises:
        SystemExit: the message names the files and says what to do.
    """
    listed = git("ls-files", "-v", "-z").decode(errors="surrogateescape").split("\0")
    # The first letter is the state: H is tracked; h and S are files that git does not look at.
    states = {line[2:]: line[0] for line in listed if line}
    paths = [path for move in moves for path in (move.old, move.new, *move.others) if path]
    # One folder can be in the way of many files.
    problems = dict.fromkeys(problem for path in paths if (problem := problem_at(path, states)))
    if problems:
        raise SystemExit(REFUSED.format(problems="\n".join(f"  {one}" for one in problems)))


def problem_at(path: str, states: dict[str, str]) -> str | None:
    """Return why the update must not delete or write the file at this path, if it must not."""
    for folder in reversed(Path(path).parents[:-1]):
        name = folder.as_posix()
        if folder.is_symlink():
            return f"{name} is a symbolic link. Replace it with a folder that contains the files."
        if folder.exists() and not folder.is_dir():
            return f"{name} must become a folder. Rename your file."
        if name in states:
            return f"{name} is a submodule. Replace it with a folder that contains the files."
    if not os.path.lexists(path):
        return None
    if Path(path).is_dir() and not Path(path).is_symlink():
        return f"{path} must become a file. Rename your folder."
    if path not in states:
        return f"{path} is not tracked. Run `git add --force {path}`."
    options = {"h": "--no-assume-unchanged", "S": "--no-skip-worktree"}
    if option := options.get(states[path]):
        return f"git ignores changes in {path}. Run `git update-index {option} {path}`."
    return None


def carry_all(moves: list[Move], committed: Files, answers: dict[str, Any]) -> None:
    """Carry the changes in all moved files, and print one line for each file with changes.

    Raises:
        SystemExit: the old version cannot be rendered, and the owner's files are back; or some
            changes were not carried along.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            base = render(moves, answers, Path(folder) / "base")
        except Exception as error:
            for move in moves:
                keep(move.old, committed)
            raise SystemExit(NO_BASE.format(version=answers["_commit"], error=error)) from error
        lines: list[str] = []
        for move in moves:
            try:
                line = carry(move, base, committed)
            except OSError as error:
                line = f"failed    {move.old}: {error}"
            if line:
                report(line)
                lines.append(line)
    for module in hidden_modules(moves, committed):
        report(f"hidden    {module}: the new folder has the same name. Rename your module.")
    for word, message in (("failed", FAILED), ("kept", KEPT)):
        if any(line.startswith(word) for line in lines):
            raise SystemExit(message)


def render(moves: Iterable[Move], answers: dict[str, Any], folder: Path) -> Files:
    """Render the moved files as the template did at the last update, and store them."""
    import copier  # Takes most of a second, which the first stage can do without.

    files = {path for move in moves for path in (move.old, move.new) if path}
    wanted = {path for file in files for path in (Path(file), *Path(file).parents)}
    copier.run_copy(
        str(TEMPLATE),
        folder,
        data={key: value for key, value in answers.items() if not key.startswith("_")},
        vcs_ref=answers["_commit"],
        exclude=["*", *(f"!/{path.as_posix()}" for path in wanted if path.name)],
        defaults=True,
        quiet=True,
        skip_tasks=True,
    )
    rendered = sorted(file for file in files if (folder / file).is_file())
    return {path: File(mode_of(folder / path), store(folder / path, path)) for path in rendered}


def mode_of(file: Path) -> str:
    """Return git's mode of a regular file."""
    return EXECUTABLE if file.stat().st_mode & 0o100 else REGULAR


def carry(move: Move, base: Files, committed: Files) -> str | None:
    """Carry the changes in one file, and return a line that says what happened.

    Returns:
        None if the owner has changed nothing.
    """
    old, new, others = move
    if old not in base or committed.get(old) == base[old]:
        return None
    if old not in committed:
        return f"added     {new}: you had deleted {old}" if new and Path(new).exists() else None
    owners = committed[old]
    try:
        if owners.mode not in PERMISSIONS:
            raise KeptError(f"it is a symbolic link. {BY_HAND}")
        target = find_target(move, base, committed)
        conflict = merge(owners.blob, base[old].blob, target)
    except KeptError as reason:
        keep(old, committed)
        return f"kept      {old}: {reason}"
    if owners.mode != base[old].mode:
        target.chmod(PERMISSIONS[owners.mode])
    split = f" (split: see also {', '.join(others)})" if others else ""
    return f"{'conflict' if conflict else 'carried':<9} {old} -> {new}{split}"


def find_target(move: Move, base: Files, committed: Files) -> Path:
    """Return the new file, if the owner's changes can be merged into it.

    Raises:
        KeptError: the new file does not exist, or is a file of the owner's own.
    """
    if move.new is None:
        raise KeptError("you changed it, and the template no longer contains it")
    target = Path(move.new)
    if not target.is_file():
        raise KeptError(f"this update did not write {move.new}")
    if move.new in committed and move.new not in base:
        raise KeptError(f"{move.new} is a file of your own. {BY_HAND}")
    return target


def merge(owners: str, base: str, target: Path) -> bool:
    """Merge the owner's changes into the new file; return whether both changed the same lines.

    Args:
        owners: The id of the owner's content at the old path.
        base: The id of the content that the template rendered there.
        target: The new file.

    Raises:
        KeptError: the files cannot be merged, such as binary files that both sides changed.
    """
    stages = conflict_stages(target)
    if stages.get("2") == owners:
        return True  # An earlier run has written this conflict.
    if stages:
        raise KeptError(f"{target} already contains a conflict. {BY_HAND}")
    current = store(target, target.as_posix())
    if current in (base, owners):
        write(target, owners)
        return False
    merged, conflicts = merge_contents(owners, base, current)
    # git returns the number of conflicts, at most 127, or an error, such as for binary files.
    if not 0 <= conflicts <= 127:
        raise KeptError(f"git cannot merge it with {target}. {BY_HAND}")
    stored = git("hash-object", "-w", "--no-filters", "--stdin", stdin=merged)
    if conflicts:
        mark_unmerged(target, base, owners, current)
    write(target, stored.decode().strip())
    return conflicts > 0


def merge_contents(*blobs: str) -> tuple[bytes, int]:
    """Merge the owner's, the base's and the new content; return the result and git's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / str(number) for number in range(len(blobs))]
        for file, blob in zip(files, blobs, strict=True):
            file.write_bytes(git("cat-file", "blob", blob))
        labels = [option for label in LABELS for option in ("-L", label)]
        command = ["git", "merge-file", "--stdout", *labels, "--", *files]
        done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout, done.returncode


def conflict_stages(path: Path) -> dict[str, str]:
    """Return the content ids of an unmerged file by stage: base is 1, the owner's 2, the new 3."""
    lines = git("ls-files", "--unmerged", "--", str(path)).decode().splitlines()
    entries = [line.partition("\t")[0].split() for line in lines]
    return {stage: blob for _, blob, stage in entries}


def mark_unmerged(target: Path, base: str, owners: str, new: str) -> None:
    """List the new file as unmerged in git's index, so that `git status` shows the conflict."""
    path = git("rev-parse", "--show-prefix").decode().strip() + target.as_posix()
    stages = enumerate((base, owners, new), start=1)
    entries = "".join(f"100644 {blob} {stage}\t{path}\n" for stage, blob in stages)
    git("update-index", "--index-info", stdin=entries.encode())


def store(file: Path, path: str) -> str:
    """Store a file in git's object database, as git would at a path, and return the id."""
    options = ("-c", "core.safecrlf=false", "hash-object", "-w", f"--path={path}", "--stdin")
    return git(*options, stdin=file.read_bytes()).decode().strip()


def write(file: Path, blob: str) -> None:
    """Write a content to a file of the project, as git does when it checks the file out."""
    file.write_bytes(git("cat-file", "--filters", f"--path={file.as_posix()}", blob))


def keep(path: str, committed: Files) -> None:
    """Put the owner's version of a file back, if the update has deleted it."""
    if path in committed and not Path(path).exists():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # The owner's hooks and a sparse checkout must not stop git.
        options = ("-c", f"core.hooksPath={os.devnull}", "checkout", "--ignore-skip-worktree-bits")
        git(*options, "HEAD", "--", path)


def hidden_modules(moves: Iterable[Move], committed: Files) -> list[str]:
    """Return the owner's modules that a new folder of the same name hides from Python."""
    moved = {move.old for move in moves}
    folders = {parent for move in moves if move.new for parent in Path(move.new).parents}
    modules = {folder.with_suffix(".py").as_posix() for folder in folders if folder.name}
    return sorted((modules & committed.keys()) - moved)


def committed_files() -> Files:
    """Return the files of this project in the last commit."""
    listed = git("ls-tree", "-r", "-z", "HEAD").decode(errors="surrogateescape").split("\0")
    entries = (line.split("\t", 1) for line in listed if line)
    return {path: File(*information.split()[::2]) for information, path in entries}


def git(*arguments: str, stdin: bytes | None = None) -> bytes:
    """Run git in the project, and return what it printed.

    Raises:
        ChildProcessError: git failed; the message is what it says, on one line.
    """
    done = subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise ChildProcessError(" ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout


def report(line: str) -> None:
    """Print a line beside Copier's own, which are on stderr."""
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
