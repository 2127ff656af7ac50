"""What we know of machines: how often they need which service, and the parts that fit."""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dateutil.relativedelta import relativedelta

CSV = Path(__file__).with_name("catalogue.csv")


@dataclass(frozen=True)
class Machine:
    """A machine of the catalogue, with the part numbers that fit it."""

    name: str
    months_between_services: int
    cups_between_services: int
    parts: dict[str, str]

    def is_due(self, last_service: date, cups: int, today: date) -> bool:
        """Whether a service is due, by the calendar or by the cups since the last one."""
        by_calendar = last_service + relativedelta(months=self.months_between_services)
        return today >= by_calendar or cups >= self.cups_between_services

    def next_service(self, last_service: date, cups: int, today: date) -> date:
        """The day of the next service, if as many cups are made as since the last one."""
        by_calendar = last_service + relativedelta(months=self.months_between_services)
        days = max((today - last_service).days, 1)
        if not cups:
            return by_calendar
        by_cups = last_service + relativedelta(days=days * self.cups_between_services // cups)
        return min(by_calendar, by_cups)


def machine(name: str) -> Machine:
    """Find a machine by its name, in any case and with any spaces."""
    machines = catalogue()
    wanted = "".join(name.split()).casefold()
    for one in machines:
        if "".join(one.name.split()).casefold() == wanted:
            return one
    known = ", ".join(one.name for one in machines)
    raise ValueError(f"No machine is called {name}; there are {known}.")


def catalogue() -> list[Machine]:
    """All machines, as the file has them."""
    with CSV.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Machine(
            name=row.pop("machine"),
            months_between_services=int(row.pop("months")),
            cups_between_services=int(row.pop("cups")),
            parts={part: number for part, number in row.items() if number},
        )
        for row in rows
    ]
