"""Tracked files avoid words that readers of technical documentation must read twice.

The rules: participles are no nouns ("what is told"), nouns are not negated ("is no JSON"), and the
field's terms replace old words (fix, not mend). Quoted keys of older interfaces are exempt.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.template import ROOT, tracked_files

BANNED = re.compile(
    r"""
      (?<![a-z]) (told | asked | brought | heard | grown) (?![a-z])
    | (?<![a-z"'`]) mend (s|ed|ing)? (?![a-z"'`])
    | \b (anew | aloud | upon | lest | whoever | comes?\ again | at\ last | cannot\ be\ had) \b
    | (?P<fine>there\s+)? \b (is\ no\ (?!longer|more) | are\ none \b)
    | \b (?:what|than|all|nothing) \s (?:is|was|were|has\ been) \s (given | seen | said) \b
    | (?<![\w"'`]) (given | seen | said) (?= \s*=[^=] | \[ | \.\w | :\sstr\b )
    """,
    re.VERBOSE | re.IGNORECASE,
)
BANNED_IN_HEADINGS = re.compile(r"^#+ .*\b(whose|what is|without being)\b", re.I | re.MULTILINE)
# Other people's texts, and the words themselves. Generated pages are checked where they come from.
EXEMPT = (
    "LICENSE",
    "docs/contract.md",
    "docs/noticed_by_mlflow.json",
    "tests/adopting/repositories",
    "tests/rendering/test_language.py",
    "template/{% if apache %}LICENSE{% endif %}",
    "uv.lock",
)
PICTURES = {".png", ".svg"}


def matches(name: Path) -> Iterator[str]:
    """Yield each banned word in a file, as `path:line: text of the line`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    # "There is no model" is fine, "it is no model" is not.
    found = [match for match in BANNED.finditer(text) if not match["fine"]]
    if ".md" in name.suffixes:
        found += BANNED_IN_HEADINGS.finditer(text)
    for match in found:
        line = text.count("\n", 0, match.start())
        yield f"{name}:{line + 1}: {match[0]!r} in {text.splitlines()[line].strip()!r}"


def test_no_file_contains_a_banned_word() -> None:
    names = [
        name
        for name in tracked_files()
        if name.suffix not in PICTURES and not any(map(name.is_relative_to, EXEMPT))
    ]
    found = [match for name in names for match in matches(name)]
    assert not found, "\n".join([f"{len(found)} matches:", *found])
