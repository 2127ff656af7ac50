"""Masking of credentials and personal data in cases that come from traces."""

from typing import Any

import pytest

from tests.conftest import Package


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnopqrst1234",
        "dapi0123456789abcdef0123456789abcdef",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "sk-abcdefghijklmnopqrstuvwxyzabcdef",
        "xoxb-abcdefghijkl",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJlMTIz",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEow\nabcdefgh",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabcdefgh\n-----END PGP PRIVATE KEY BLOCK-----",
        "joe.doe+test@mail.example.co.uk",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "5500.0000.0000.0004",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "de89 3704 0044 0532 0130 00",
        "de89370400440532013000",
        "2345 6789 0123",
        "123-45-6789",
        "123 45 6789",
        "+1 (555) 123-4567",
        "+49 30 1234567",
        "(555) 123-4567",
        "1-800-555-0199",
        "030 1234567",
        "5551234567",
        "15551234567",
        "192.168.10.20",
        "2001:db8:85a3:0:0:8a2e:370:7334",
        "2001:db8::7334",
    ],
)
@pytest.mark.parametrize("text", ["{}", "My data is {}, thanks.", '"{}"', "x={}"])
def test_credentials_and_personal_data_are_masked(text: str, secret: str, package: Package) -> None:
    masked = package("ops.masking").mask(text.format(secret))
    assert secret not in masked
    assert "<" in masked
    assert not any(part in masked for part in secret.split() if len(part) > 5)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://joe:hunter2@db.example/x", "postgresql://<SECRET>@db.example/x"),
        ("postgresql://joe:hunt@r2@db.example/x", "postgresql://<SECRET>@db.example/x"),
        ("redis://:hunter2@db.example", "redis://<SECRET>@db.example"),
        ("password: hunter2", "<SECRET>"),
        ("my password is: hunter2", "my <SECRET>"),
        ("token == abc", "<SECRET>"),
        ("SECRET_KEY=hunter2 secret key: a", "<SECRET> <SECRET>"),
        ('"passwd": "a"', '"<SECRET>'),
        ("pwd=a, passphrase=b, passcode=c", "<SECRET> <SECRET> <SECRET>"),
        ("client_secret=a access_token=b", "client_<SECRET> access_<SECRET>"),
        ("api_key=a apikey=b x-api-key: c private key: d", "<SECRET> <SECRET> x-<SECRET> <SECRET>"),
        ("accessToken=a access key is b", "access<SECRET> <SECRET>"),
        ("Authorization: Basic am9lOmE=", "Authorization: Basic <SECRET>"),
        ("Authorization: token abc", "Authorization: token <SECRET>"),
        ("IBAN: NO93 8601 1117 947", "IBAN: <IBAN>"),
        ("My password is hunter2.", "My <SECRET>"),
        ("Authorization: Bearer abc", "Authorization: Bearer <SECRET>"),
    ],
)
def test_what_follows_a_name_of_a_credential_is_masked(
    text: str, masked: str, package: Package
) -> None:
    assert package("ops.masking").mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "What time is it in Tokyo?",
        "How many days are there between 2026-01-31 and 2026-12-24?",
        "Flight LH 400 at 10:45 costs 1,299.00 EUR, 12345 miles.",
        "Version 3.17.2 of mlflow, Python 3.12",
        "internationalization-and-localization",
        "From 2026-01-01/2026-12-31 at 12:00 2026-01-31",
        "Is the token valid? How do I reset my password?",
        "std::vector",
        "Order 12345678, mp34 file with text",
    ],
)
def test_ordinary_texts_stay(text: str, package: Package) -> None:
    assert package("ops.masking").mask(text) == text


def test_all_texts_of_a_value_are_masked(package: Package) -> None:
    value: dict[str, Any] = {"to": ["a@b.example", 7, None], "deep": {"c@d.example": True}}
    assert package("ops.masking").mask(value) == {
        "to": ["<EMAIL>", 7, None],
        "deep": {"<EMAIL>": True},
    }


def test_numbers_are_masked_like_texts(package: Package) -> None:
    value = {"phone": 5551234567, "card": 4111111111111111, "days": 327, "fast": True}
    assert package("ops.masking").mask(value) == {
        "phone": "<PHONE>",
        "card": "<CARD>",
        "days": 327,
        "fast": True,
    }


def test_fields_with_the_name_of_a_credential_are_masked(package: Package) -> None:
    value = {"password": 1234, "user": {"apiKey": "b", "access_token": "c"}, "max_tokens": 5}
    assert package("ops.masking").mask(value) == {
        "password": "<SECRET>",
        "user": {"apiKey": "<SECRET>", "access_token": "<SECRET>"},
        "max_tokens": 5,
    }


@pytest.mark.parametrize("text", ["x", "1", "a.", "A-"])
def test_long_words_take_linear_time(text: str, package: Package) -> None:
    """A word of a megabyte takes seconds; in quadratic time, it would take hours."""
    assert package("ops.masking").mask(text * 500_000)
