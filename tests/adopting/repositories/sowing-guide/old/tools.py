from datetime import date, timedelta

from langchain_core.tools import tool


@tool
def first_harvest(sown: date, weeks: int) -> str:
    """Get the day of the first harvest.

    Args:
        sown: Day of sowing, YYYY-MM-DD
        weeks: Weeks from sowing to harvest, from the seed bag
    """
    if weeks < 1:
        raise ValueError('a harvest takes at least a week')
    return (sown + timedelta(weeks=min(weeks, 200))).isoformat()


TOOLS = [first_harvest]
