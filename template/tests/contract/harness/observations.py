"""What `fresh_process_main.py` passes to the tests."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def progress_file(folder: Path) -> Path:
    """Return the file that grows by a byte with each answer; in the folder, it would be a leftover.

    Args:
        folder: The folder in which the program runs.
    """
    return folder.with_name(f"{folder.name}.progress")


@dataclass
class Observations:
    """What a model did while it was loaded and called, and its error if it did not answer."""

    error: str = ""
    fix: str | None = None
    is_refused: bool = False  # the LLM refused a request as invalid
    set_model_calls: list[str] = field(default_factory=list)
    connections_at_import: list[str] = field(default_factory=list)
    changes_at_import: list[str] = field(default_factory=list)
    files_opened: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    undefined_names: list[str] = field(default_factory=list)
    modules_outside: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    # Made last, but on the day of `tool_calls`.
    repeated_tool_calls: list[dict[str, Any]] = field(default_factory=list)
    later_tool_calls: list[dict[str, Any]] = field(default_factory=list)  # of later answers
    tool_calls_by_time: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tool_calls_by_zone: list[list[dict[str, Any]]] = field(default_factory=list)
    compared_calls: dict[str, Any] = field(default_factory=dict)  # as `ComparedCalls`
    stale_dates: list[str] = field(default_factory=list)
    stale_texts: list[str] = field(default_factory=list)
    changes_meanwhile: list[str] = field(default_factory=list)  # while it answers
    left_behind: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)  # while it answers
