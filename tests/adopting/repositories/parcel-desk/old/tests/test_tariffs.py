import json
from datetime import date
from pathlib import Path

from tariffs import Parcel, billable_weight, offers, parcel_in

TARIFFS = json.loads((Path(__file__).parents[1] / "data" / "tariffs.json").read_text())


def test_a_parcel_is_found_in_a_sentence():
    assert parcel_in("What does 2,5 kg to norway cost?", TARIFFS) == Parcel(2.5, "Norway")


def test_light_and_large_parcels_pay_for_their_volume():
    assert billable_weight(1, 50, 40, 30) == 12


def test_the_cheapest_offer_comes_first():
    found = offers(Parcel(2.5, "Norway"), TARIFFS, date(2026, 12, 1))
    assert [offer["price"] for offer in found] == [12.5, 27.6]
