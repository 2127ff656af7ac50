"""The template's files, questions and settings."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "template"


class _Loader(yaml.SafeLoader):
    """Reads `copier.yml` with its included documents."""


_Loader.add_constructor(
    "!include", lambda _, node: yaml.safe_load((ROOT / node.value).read_text(encoding="utf-8"))
)


def _settings_and_questions() -> dict[str, Any]:
    text = (ROOT / "copier.yml").read_text(encoding="utf-8")
    # A SafeLoader with one additional tag.
    documents = yaml.load_all(text, Loader=_Loader)
    return {key: value for document in documents for key, value in document.items()}


COPIER_YML = _settings_and_questions()
ALL_QUESTIONS = {key: value for key, value in COPIER_YML.items() if not key.startswith("_")}
# Computed values are questions that Copier never shows.
COMPUTED = {key: value for key, value in ALL_QUESTIONS.items() if value.get("when") is False}
QUESTIONS = {key: value for key, value in ALL_QUESTIONS.items() if key not in COMPUTED}


def tracked_files(folder: Path = ROOT) -> list[Path]:
    """Return the files that git tracks or would track, as sorted paths in the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    names = (name for name in listing.stdout.split("\0") if name)
    return sorted(Path(name) for name in names if (folder / name).exists())
