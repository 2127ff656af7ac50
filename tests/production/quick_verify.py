"""Replaces the contract by a result that a test sets, and polls an endpoint without pauses."""

import importlib
import os
from types import SimpleNamespace

PACKAGE: str = globals()["PACKAGE"]


def verify(*, url: str | None = None, **_: object) -> SimpleNamespace:
    """Return a report like that of the contract; it fails if VERIFY_FAILS is set."""
    if url:
        print(f"verified {url} with {os.environ['AGENT_TOKEN'].partition('-')[0]}-…")
    passed = "VERIFY_FAILS" not in os.environ
    summary = "1 passed" if passed else "1 failed: answer-text"
    return SimpleNamespace(
        passed=passed,
        exit_code=int(not passed),
        summary=lambda: summary,
        to_json=lambda: '{"rules": []}',
    )


for name in ("release", "endpoint_check"):
    importlib.import_module(f"{PACKAGE}.commands.{name}").verify = verify  # ty: ignore
importlib.import_module(f"{PACKAGE}.ops.endpoint").POLL_SECONDS = 0  # ty: ignore
