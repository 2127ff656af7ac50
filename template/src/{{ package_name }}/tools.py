"""What the agent can do. A tool is a function with type hints and a docstring.

Add a function, add it to `TOOLS`, and the LLM knows it. Raise an exception with a clear
sentence when a call cannot be answered: the LLM reads it and tries again.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo, available_timezones


def current_time(place: str) -> str:
    """Tell the date and the time of day in a place.

    Args:
        place: A large city or an IANA time zone, such as Tokyo or Europe/Paris.
    """
    wanted = place.strip().replace(" ", "_").casefold()
    for name in sorted(available_timezones()):
        if wanted in (name.casefold(), name.rpartition("/")[2].casefold()):
            return f"{datetime.now(ZoneInfo(name)):%A, %d %B %Y, %H:%M} ({name})"
    raise ValueError(f"No time zone is named after {place!r}. Name a larger city in the same zone.")


def days_between(start: date, end: date) -> int:
    """Count the days from one date to another; negative when the end comes first.

    Args:
        start: The first day, such as 2026-01-31.
        end: The last day, such as 2026-12-24.
    """
    return (end - start).days


TOOLS = [current_time, days_between]
