"""Changes the date for a model, and finds the date of loading in what the LLM receives."""

import gc
import json
import os
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
# The last second of an hour, which is the last hour of the day in one of the time zones.
EVERY_HOUR = tuple(datetime(2024, 12, 31, hour, 59, 59, tzinfo=UTC) for hour in range(24))
# Code that changes only one part of the current time, such as the month, fails at one of these.
UNUSUAL_TIMES = (
    datetime(2024, 1, 1, 12, tzinfo=UTC),
    datetime(2024, 1, 31, 12, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 12, 31, 12, tzinfo=UTC),
    *EVERY_HOUR,
)
# Two time zones of the machine, in a form that needs no files; often, because of tools with chance.
ZONES = ("UTC", "IST-5:30") * 6
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


@contextmanager
def on_a_machine_in(zone: str) -> Generator[None]:
    """Run the block at noon, in a time zone of the machine. Windows has no such setting."""
    os.environ["TZ"] = zone
    if hasattr(time, "tzset"):
        time.tzset()
    try:
        with time_machine.travel(UNUSUAL_TIMES[0].timestamp()):  # a datetime would set the zone
            yield
    finally:
        del os.environ["TZ"]
        if hasattr(time, "tzset"):
            time.tzset()


def stale_dates(bodies: list[str], output: list[Any], loaded: datetime) -> list[str]:
    """Return texts of an answer that contain the day on which the model was loaded, or its year.

    Args:
        bodies: The requests to the LLM.
        output: The items of the answer.
        loaded: The time of loading.
    """
    texts = [item.get("output") or item.get("content") for item in output]
    return list(excerpts_with_date([*llm_data(bodies), texts], loaded))


def names_the_day(excerpt: str, loaded: datetime) -> bool:
    """Return whether an excerpt has the day and the month of loading, besides the year."""
    month = re.search(rf"{loaded:%b}|(?<!\d)0?{loaded.month}(?!\d)", excerpt)
    day = re.search(rf"(?<!\d){loaded.day}(?!\d)", excerpt)
    return bool(month and day) or f"{loaded:%Y%m%d}" in excerpt


def llm_data(bodies: list[str]) -> list[Any]:
    """Return what the LLM received in several requests."""
    return [json.loads(body) for body in bodies]
