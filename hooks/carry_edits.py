"""Carry an owner's changes along when a release of the template moves files.

Copier does not follow renames: it deletes the old file and writes the new one, and changes in the
old file are gone. A migration in `copier.yml` runs this program twice:

    python carry_edits.py before VERSION ANSWERS_FILE
    python carry_edits.py after VERSION ANSWERS_FILE

The current folder is the project. `moved_files.yml` lists the files that VERSION moves.

`before` stops the update before it changes anything, if git does not track a file that moves: git
could not restore it.

`after` merges the owner's file (from the last commit) into the new file, with the file that the
old version of the template rendered as the common base. If both sides changed the same lines, the
new file contains conflict markers, as after any update. If the changes cannot be merged, the
owner's file stays at its old path, and a printed line gives the reason.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TEMPLATE = Path(__file__).parents[1]
MOVED_FILES = Path(__file__).with_name("moved_files.yml")
EXECUTABLE = "100755"
# git's modes of files, and the permissions of a file on disk.
MODES = {"100644": 0o644, EXECUTABLE: 0o755}
LABELS = ("before updating", "last update", "after updating")
BY_HAND = "Move your changes by hand, then delete the old file"
REFUSED = """\
error: this release moves files that git does not track as they are now:
{files}
hint: commit them, then update again. Add ignored files with `git add --force`. For other files, run
`git update-index --no-assume-unchanged` or `git update-index --no-skip-worktree` first.\
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


class Committed(NamedTuple):
    """A file in the last commit: its mode, such as 100644, and the id of its content."""

    mode: str
    blob: str


class Base(NamedTuple):
    """The project as the template rendered it at the last update.

    Attributes:
        folder: A folder with the files; only those that move are rendered.
        blobs: The ids of their content, which is in git's object database, by path.
    """

    folder: Path
    blobs: dict[str, str]


class KeptError(Exception):
    """The owner's changes cannot be merged; the message gives the reason."""


def main(stage: str, version: str, answers_file: str) -> None:
    """Run one stage of the migration."""
    committed = committed_files()
    answers = yaml.safe_load(content(committed[answers_file]))
    new_answers = yaml.safe_load(Path(answers_file).read_bytes())
    moves = moves_of(version, answers["package_name"], new_answers["package_name"])
    if stage == "before":
        refuse_untracked(moves)
    else:
        carry_all(moves, committed, answers)


def moves_of(version: str, old_package: str, new_package: str) -> list[Move]:
    """Return the files that a version moves, as paths of this project."""
    listed = yaml.safe_load(MOVED_FILES.read_text(encoding="utf-8"))[version]
    moves = []
    for old, new in listed.items():
        paths = [new] if isinstance(new, str) else new or []
        paths = [path.replace("PACKAGE", new_package) for path in paths]
        first = paths[0] if paths else None
        moves.append(Move(old.replace("PACKAGE", old_package), first, tuple(paths[1:])))
    return moves


def refuse_untracked(moves: Iterable[Move]) -> None:
    """Exit if git does not track a file to be moved, or does not look for changes in it.

    Raises:
        SystemExit: the message names the files and says what to do.
    """
    listed = git("ls-files", "-v", "-z").decode(errors="surrogateescape").split("\0")
    # The first letter is the state: H is tracked; h and S are files that git does not look at.
    tracked = {line[2:] for line in listed if line.startswith("H")}
    unsafe = [move.old for move in moves if Path(move.old).exists() and move.old not in tracked]
    if unsafe:
        raise SystemExit(REFUSED.format(files="\n".join(f"  {path}" for path in unsafe)))


def carry_all(moves: list[Move], committed: dict[str, Committed], answers: dict[str, Any]) -> None:
    """Carry the changes in all moved files, and print one line for each file with changes.

    Raises:
        SystemExit: the old version cannot be rendered; the owner's files are back.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            base = render(moves, answers, Path(folder) / "base")
        except Exception as error:
            for move in moves:
                keep(move.old, committed)
            raise SystemExit(NO_BASE.format(version=answers["_commit"], error=error)) from error
        for move in moves:
            report(carry(move, base, committed))
    for module in hidden_modules(moves, committed):
        report(f"hidden    {module}: the new folder has the same name. Rename your module.")


def render(moves: Iterable[Move], answers: dict[str, Any], folder: Path) -> Base:
    """Render the moved files as the template did at the last update."""
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
    blobs = store(folder / file for file in rendered)
    return Base(folder, dict(zip(rendered, blobs, strict=True)))


def carry(move: Move, base: Base, committed: dict[str, Committed]) -> str | None:
    """Carry the changes in one file, and return a line that says what happened.

    Returns:
        None if the owner has changed nothing.
    """
    old, new, others = move
    if old not in base.blobs:
        return None
    if old not in committed:
        return f"added     {new}: you had deleted {old}" if new and Path(new).exists() else None
    owners = committed[old]
    was_executable = bool((base.folder / old).stat().st_mode & 0o100)
    mode_changed = (owners.mode == EXECUTABLE) != was_executable
    if owners.blob == base.blobs[old] and not mode_changed:
        return None
    try:
        if owners.mode not in MODES:
            raise KeptError(f"it is a symbolic link. {BY_HAND}")
        target = find_target(move, base, committed)
        conflict = merge(owners, base.folder / old, base.blobs[old], target)
    except KeptError as reason:
        keep(old, committed)
        return f"kept      {old}: {reason}"
    if mode_changed:
        target.chmod(MODES[owners.mode])
    split = f" (split: see also {', '.join(others)})" if others else ""
    return f"{'conflict' if conflict else 'carried':<9} {old} -> {new}{split}"


def find_target(move: Move, base: Base, committed: dict[str, Committed]) -> Path:
    """Return the new file, if the owner's changes can be merged into it.

    Raises:
        KeptError: the new file does not exist, or is a file of the owner's own.
    """
    if move.new is None:
        raise KeptError("you changed it, and the template no longer contains it")
    target = Path(move.new)
    if not target.is_file():
        raise KeptError(f"this update did not write {move.new}")
    if move.new in committed and move.new not in base.blobs:
        raise KeptError(f"{move.new} is a file of your own. {BY_HAND}")
    return target


def merge(owners: Committed, base: Path, base_blob: str, target: Path) -> bool:
    """Merge the owner's changes into the new file; return whether both changed the same lines.

    Raises:
        KeptError: the files cannot be merged, such as binary files that both sides changed.
    """
    stages = conflict_stages(target)
    if stages.get("2") == owners.blob:
        return True  # An earlier run has written this conflict.
    if stages:
        raise KeptError(f"{target} already contains a conflict. {BY_HAND}")
    changed = content(owners)
    if target.read_bytes() in (base.read_bytes(), changed):
        target.write_bytes(changed)
        return False
    current = base.with_name(f"{base.name}.owners")
    current.write_bytes(changed)
    labels = [option for label in LABELS for option in ("-L", label)]
    command = ["git", "merge-file", "--stdout", *labels, "--", current, base, target]
    merged = subprocess.run(command, capture_output=True, check=False)
    # git returns the number of conflicts, at most 127.
    if not 0 <= merged.returncode <= 127:
        raise KeptError(f"git cannot merge it with {target}. {BY_HAND}")
    if merged.returncode:
        mark_unmerged(target, base_blob, owners.blob)
    target.write_bytes(merged.stdout)
    return bool(merged.returncode)


def conflict_stages(path: Path) -> dict[str, str]:
    """Return the content ids of an unmerged file by stage: base is 1, the owner's 2, the new 3."""
    lines = git("ls-files", "--unmerged", "--", str(path)).decode().splitlines()
    entries = [line.partition("\t")[0].split() for line in lines]
    return {stage: blob for _, blob, stage in entries}


def mark_unmerged(target: Path, base: str, owners: str) -> None:
    """List the new file as unmerged in git's index, so that `git status` shows the conflict."""
    (new,) = store([target])
    path = git("rev-parse", "--show-prefix").decode().strip() + target.as_posix()
    stages = enumerate((base, owners, new), start=1)
    entries = "".join(f"100644 {blob} {stage}\t{path}\n" for stage, blob in stages)
    git("update-index", "--index-info", stdin=entries.encode())


def store(paths: Iterable[Path]) -> list[str]:
    """Store the content of files in git's object database, and return the ids."""
    # git takes relative names from the top of the repository, not from the current folder.
    names = "".join(f"{path.absolute()}\n" for path in paths).encode()
    return git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names).decode().split()


def content(file: Committed) -> bytes:
    """Return the bytes of a file in the last commit."""
    return git("cat-file", "blob", file.blob)


def keep(path: str, committed: dict[str, Committed]) -> None:
    """Put the owner's version of a file back, if the update has deleted it."""
    if path in committed and not Path(path).exists():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        git("checkout", "HEAD", "--", path)


def hidden_modules(moves: Iterable[Move], committed: dict[str, Committed]) -> list[str]:
    """Return the owner's modules that a new folder of the same name hides from Python."""
    moved = {move.old for move in moves}
    folders = {parent for move in moves if move.new for parent in Path(move.new).parents}
    modules = {folder.with_suffix(".py").as_posix() for folder in folders if folder.name}
    return sorted((modules & committed.keys()) - moved)


def committed_files() -> dict[str, Committed]:
    """Return the files of this project in the last commit, by their paths."""
    listed = git("ls-tree", "-r", "-z", "HEAD").decode(errors="surrogateescape").split("\0")
    entries = (line.split("\t", 1) for line in listed if line)
    return {path: Committed(*information.split()[::2]) for information, path in entries}


def git(*arguments: str, stdin: bytes | None = None) -> bytes:
    """Run git in the project, and return what it printed."""
    done = subprocess.run(["git", *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout


def report(line: str | None) -> None:
    """Print a line beside Copier's own, which are on stderr."""
    if line:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
