from datetime import date

import pytest
from catalogue import machine
from tools import find_part, next_service


def test_machines_are_found_however_they_are_written():
    assert machine("crema2").name == "Crema 2"


def test_many_cups_bring_the_service_forward():
    crema = machine("Crema 2")
    assert crema.next_service(date(2026, 1, 1), 8000, date(2026, 4, 11)) == date(2026, 4, 11)


def test_a_service_that_is_due_is_due_now():
    assert next_service("Kiosk One", "2025-01-01", 10) == "due now"


def test_a_part_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="no grinder"):
        find_part("Kiosk One", "grinder")
