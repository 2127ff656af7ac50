"""The OpenAPI document describes what the server does."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.server.serving import Served


def run_schemathesis(served: Served, *options: str) -> None:
    """Send requests made from the document, and assert that all responses match it."""
    program = ["schemathesis", "run", f"{served.url}/openapi.json", "--checks=all", *options]
    done = subprocess.run(
        [*program, "--no-color", "--seed=1"],
        cwd=Path(served.log).parent,
        env=os.environ | {"SCHEMATHESIS_HOOKS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Tested: 2" in done.stdout


def test_the_document_describes_edge_cases(served: Served) -> None:
    run_schemathesis(served, "--phases=coverage")


@pytest.mark.proof
def test_the_document_describes_random_requests(served: Served) -> None:
    run_schemathesis(served, "--phases=coverage,fuzzing", "--max-examples=300")


def test_there_are_no_other_pages_of_documentation(served: Served) -> None:
    for path in ("docs", "redoc", "swagger"):
        assert httpx.get(f"{served.url}/{path}").status_code == httpx.codes.NOT_FOUND
