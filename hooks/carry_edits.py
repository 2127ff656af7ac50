"""Carries an owner's edits across a file that the template has renamed.

Copier removes the old file and writes the new one as the template has it; what the owner had
changed in the old one would be lost. Called by a migration, after the files were updated, this
merges three versions into the new file: the owner's (from the last commit), the one that the
template rendered last time, and the new one. Where both sides changed the same lines, conflict
markers keep both, as they do in an ordinary update.

    python carry_edits.py TEMPLATE OLD_PATH NEW_PATH

TEMPLATE is the template's repository; the paths are relative to the project, which is the current
folder. Calling it again changes nothing. When the owner had no such file, or nothing changed in
it, nothing is to be carried.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import copier
import yaml

ANSWERS = ".copier-answers.yml"
CONFLICT = b"<<<<<<< "


def main(template: str, old_path: str, new_path: str) -> None:
    """Carry the edits of one file."""
    new = Path(new_path)
    owners = committed(old_path)
    if owners is None:
        return
    if not new.is_file():
        # The new version has no such file for these answers: the owner's stays where it was.
        Path(old_path).write_bytes(owners)
        return
    if CONFLICT in new.read_bytes():
        return
    with tempfile.TemporaryDirectory() as folder:
        base = rendered(template, Path(folder) / "base") / old_path
        if base.is_file() and base.read_bytes() != owners:
            merge(owners, base, new)


def committed(path: str) -> bytes | None:
    """A file of the project as it was committed last; None when there was none."""
    shown = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def rendered(template: str, folder: Path) -> Path:
    """The project as the template rendered it last time, before its owner changed anything."""
    answers: dict[str, Any] = yaml.safe_load(committed(ANSWERS) or b"{}")
    copier.run_copy(
        template,
        folder,
        data={key: value for key, value in answers.items() if not key.startswith("_")},
        vcs_ref=answers["_commit"],
        defaults=True,
        quiet=True,
    )
    return folder


def merge(owners: bytes, base: Path, new: Path) -> None:
    """Merge the owner's changes into the new file."""
    current = base.with_name("owners")
    current.write_bytes(owners)
    labels = ("before updating", "last update", "after updating")
    named = [option for label in labels for option in ("-L", label)]
    merged = subprocess.run(
        ["git", "merge-file", "--stdout", *named, current, base, new],
        capture_output=True,
        check=False,
    )
    if merged.returncode < 0 or merged.returncode > 127:
        raise SystemExit(f"{new} could not be merged: {merged.stderr.decode().strip()}")
    new.write_bytes(merged.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
