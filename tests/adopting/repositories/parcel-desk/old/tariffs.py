"""What a parcel costs: zones, billable weight, surcharges and the carriers' offers."""

import re
from datetime import date
from typing import Any, NamedTuple

Tariffs = dict[str, Any]
Offer = dict[str, Any]

WEIGHT = re.compile(r"(\d+(?:[.,]\d+)?)\s*kg\b", re.IGNORECASE)
SIZE = re.compile(r"(\d+)\s*x\s*(\d+)\s*x\s*(\d+)\s*cm\b", re.IGNORECASE)
CM3_PER_KG = 5000


class Parcel(NamedTuple):
    """A parcel as customers describe it: what is paid for in kg, and where it goes."""

    kg: float
    country: str


def parcel_in(text: str, tariffs: Tariffs) -> Parcel | None:
    """Find a parcel in a text, such as "2.5 kg, 40 x 30 x 20 cm, to Norway"."""
    weight = WEIGHT.search(text)
    countries = [one for one in tariffs["zones"] if one.casefold() in text.casefold()]
    if weight is None or not countries:
        return None
    kg = float(weight[1].replace(",", "."))
    if size := SIZE.search(text):
        kg = billable_weight(kg, *map(int, size.groups()))
    # The longest name wins: Guinea-Bissau is not Guinea.
    return Parcel(kg, max(countries, key=len))


def billable_weight(kg: float, length: int, width: int, height: int) -> float:
    """The weight or, for what is light and large, the weight of its volume."""
    return max(kg, length * width * height / CM3_PER_KG)


def offers(parcel: Parcel, tariffs: Tariffs, day: date) -> list[Offer]:
    """What each carrier asks for a parcel on a day, the cheapest first."""
    zone = tariffs["zones"][parcel.country]
    found = []
    for carrier, table in tariffs["carriers"].items():
        steps = [step for step in table["steps"] if parcel.kg <= step["up_to_kg"]]
        if not steps or zone not in steps[0]:
            continue
        price = steps[0][zone] * (1 + surcharge(table, day))
        found.append({"carrier": carrier, "price": round(price, 2), "days": table["days"][zone]})
    return sorted(found, key=lambda offer: offer["price"])


def surcharge(table: dict[str, Any], day: date) -> float:
    """The share that a carrier adds in the weeks before Christmas."""
    return table.get("peak_surcharge", 0.0) if (11, 15) <= (day.month, day.day) <= (12, 24) else 0.0
