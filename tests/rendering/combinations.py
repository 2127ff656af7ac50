"""Answers for rendering tests: every pair of values occurs in some combination."""

from typing import Any

from allpairspy import AllPairs

Answers = dict[str, Any]

VALUES: dict[str, list[Any]] = {
    "project_name": ["weather-agent", "a", "the-longest-name-there-can-be1"],
    "package_name": [None, "x", "a_package_with_another_name_12"],
    "description": [None, "Grüße & <Fragen> — it's {curly}, #1 | 100 %."],
    "framework": ["openai", "openai-agents", "langgraph", "pydantic-ai", "dspy"],
    "llm": ["offline:/demo", "openai:/gpt-5-mini", "databricks:/databricks-claude-sonnet-4"],
    "ci": ["github", "gitlab", "azure", "none"],
    "license": ["none", "Apache-2.0", "MIT"],
    "author": [None, "Ångström O'Neill & Co."],
}


def pairwise() -> list[Answers]:
    """Return the smallest set of combinations that covers every pair; None keeps the default."""
    rows = (dict(zip(VALUES, values, strict=True)) for values in AllPairs(VALUES.values()))
    return [
        {name: row[name] for name in row if row[name] is not None and is_question_shown(name, row)}
        for row in rows
    ]


def is_question_shown(name: str, answers: Answers) -> bool:
    """Return whether Copier shows a question, which can depend on other answers."""
    return name != "author" or answers["license"] != "none"


def label(answers: Answers) -> str:
    """Return a short test id for a combination."""
    names = ("framework", "llm", "ci", "license")
    return "-".join(str(answers[name]).partition(":")[0] for name in names)
