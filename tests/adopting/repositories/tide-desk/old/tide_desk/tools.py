from datetime import datetime

from agents import function_tool

from tide_desk.harbour import passages, price


@function_tool
def next_passage(draught: float, after: datetime) -> str:
    """When a boat can pass the sill next.

    Args:
        draught: How deep the boat is, in metres
        after: Local time, such as 2026-07-01T12:00
    """
    found = passages(draught, after)
    if not found:
        raise ValueError(f'no tide is high enough for {draught} m')
    return f'{found[0].time:%A, %d %B, %H:%M}'


@function_tool(name_override='berth_price')
def price_of_berth(length: float, nights: int) -> float:
    """The price of a berth in euros.

    Args:
        length: Length of the boat in metres
        nights: Nights in the harbour
    """
    return price(length, nights)


TOOLS = [next_passage, price_of_berth]
