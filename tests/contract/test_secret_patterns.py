"""The credentials that the rule `no-secrets` finds, and the code that it accepts."""

import runpy
from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers.template import TEMPLATE

HARNESS: dict[str, Any] = runpy.run_path(
    str(TEMPLATE / "tests/contract/harness/secret_patterns.py")
)
secret_in: Callable[[str], str] = HARNESS["secret_in"]


@pytest.mark.parametrize(
    "line",
    [
        "connect(access_token=config.oauth2_access_token)",
        "connect(password=settings.s3_bucket_password)",
        "openai_api_key=settings.openai_api_key_v2,",
        'login = {"password": settings.s3_bucket_password}',
        "def refresh(token: oauth2.AccessTokenResponse) -> None:",
        'login = {"token": create_token_for_oauth2_client()}',
        'API_KEY_VARIABLE = "AZURE_OPENAI_API_KEY_2"',
        "A URL such as postgresql://user:password@host/db.",
    ],
)
def test_code_without_secrets(line: str) -> None:
    assert not secret_in(line)


@pytest.mark.parametrize(
    "line",
    [
        'ACCESS_TOKEN = "7f3kD02mQx81nZ4pLw6v"',
        'connect(token="7f3kD02mQx81nZ4pLw6v")',
        '{"clientSecret": "7f3kD02mQx81nZ4pLw6v"}',
        "api_key: 7f3kD02mQx81nZ4pLw6v",
        "token: MTk4NjIyNDgzNDc.Cl2FMQ.ZnCjm1XVW7vRze4b7",
        "OPENAI_API_KEY=7f3kD02mQx81nZ4pLw6v",
        "postgresql://agent:hunter2secret@db.example.com/prod",
    ],
)
def test_secrets(line: str) -> None:
    assert secret_in(line)
