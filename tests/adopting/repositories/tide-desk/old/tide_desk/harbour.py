"""The harbour: its tides, its sill and its berths."""

import csv
import logging
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from dateutil.parser import parse

CSV = Path(__file__).with_name("tides.csv")
SILL = 0.4  # metres above chart datum
SPARE = 0.3  # metres of water below the keel
EUROS_PER_METRE = 2.5

log = logging.getLogger(__name__)


class Tide(NamedTuple):
    """A high or low water, with its height above chart datum in metres."""

    time: datetime
    height: float


def tides() -> list[Tide]:
    """All tides of the file, in its order."""
    with CSV.open(newline="", encoding="utf-8") as file:
        return [Tide(parse(row["time"]), float(row["height"])) for row in csv.DictReader(file)]


def passages(draught: float, after: datetime) -> list[Tide]:
    """The high waters after a time at which a boat can pass the sill."""
    needed = SILL + SPARE + draught
    return [tide for tide in tides() if tide.time >= after and tide.height >= needed]


def price(length: float, nights: int) -> float:
    """What a berth costs in euros; the seventh night is free."""
    return round(length * EUROS_PER_METRE * (nights - nights // 7), 2)


def main() -> None:
    """Log the mistakes of a new file of tides."""
    logging.basicConfig(level=logging.INFO)
    found = tides()
    for one, other in pairwise(found):
        if other.time <= one.time:
            log.warning("%s is not after %s", other.time, one.time)
    log.info("%s tides", len(found))
