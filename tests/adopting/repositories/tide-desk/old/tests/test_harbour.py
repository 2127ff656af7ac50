from datetime import datetime

from tide_desk.harbour import passages, price


def test_deep_boats_wait_for_a_higher_tide():
    found = passages(2.5, datetime(2026, 7, 1))
    print(found)
    assert [f"{tide.time:%d %H:%M}" for tide in found] == ["01 16:35", "02 17:25"]


def test_the_seventh_night_is_free():
    assert price(10, 7) == 150
