"""Finds the date on which a model was loaded in what the LLM receives later."""

import gc
import json
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType
from typing import Any

import time_machine

from .nested_data import leaves

YEAR = 365 * 24 * 3600
# Code that changes only one part of the current time, such as the month, fails at one of these.
UNUSUAL_TIMES = (
    datetime(2024, 1, 1, 12, tzinfo=UTC),
    datetime(2024, 1, 31, 12, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 12, 31, 12, tzinfo=UTC),
    # The last second of an hour, which is the last hour of the day in one of the zones.
    *(datetime(2024, 12, 31, hour, 59, 59, tzinfo=UTC) for hour in range(24)),
)
_passed = {"seconds": 0}  # on the monotonic clock
TEXT_FILES = {".csv", ".json", ".md", ".py", ".toml", ".txt", ".yml", ".yaml"}


def date_of_loading(model: Path) -> datetime:
    """Return a day of an earlier year that no file of a model mentions.

    It has the current hour, so that a cache keyed by the hour still returns its value.
    """
    files = (path for path in model.rglob("*") if path.suffix in TEXT_FILES and path.is_file())
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    years = (year for year in range(2001, 2020) if not any(str(year) in text for text in texts))
    return datetime(next(years, 2001), 8, 19, datetime.now(UTC).hour, tzinfo=UTC)


@contextmanager
def on_an_earlier_day(day: datetime) -> Generator[None]:
    """Run the block on another day. After it, a year has passed on the monotonic clock, too.

    Caches measure with that clock how long their values are valid.
    """
    monotonic = time.monotonic

    def later() -> float:
        return monotonic() + _passed["seconds"]

    functions = (one for one in gc.get_objects() if isinstance(one, FunctionType))
    for function in functions:
        if monotonic in (defaults := function.__defaults__ or ()):
            function.__defaults__ = tuple(later if one is monotonic else one for one in defaults)
    vars(time)["monotonic"] = later
    with time_machine.travel(day.timestamp()):
        yield
    let_a_year_pass()


def let_a_year_pass() -> None:
    """Let a year pass on the monotonic clock, after `on_an_earlier_day`."""
    _passed["seconds"] += YEAR


def excerpts_with_date(data: Any, loaded: datetime) -> Iterator[str]:
    """Yield an excerpt of each text that contains a date of the day or its year."""
    # The hyphens keep out the groups of a UUID.
    pattern = rf"(?<![\w-]){loaded.year}(?!\w)|{loaded:%Y%m%d}|{loaded:%Y-%m-%d}"
    for text in (str(leaf) for leaf in leaves(data) if isinstance(leaf, str | int)):
        if found := re.search(pattern, text):
            start, end = max(0, found.start() - 60), found.end() + 30
            yield " ".join(text[start:end].split())


def llm_data(bodies: list[str]) -> list[Any]:
    """Return what the LLM received in several requests."""
    return [json.loads(body) for body in bodies]
