"""Checks the agent behind an endpoint after it was deployed."""

import os
import time
from typing import TYPE_CHECKING

import click
import httpx
from mlflow.types.responses import ResponsesAgentResponse
from pydantic import ValidationError

from ..ops.project import ProjectError
from ..runtime.config import load_input_example
from ..runtime.validation import describe_validation_error
from .verify import verify

if TYPE_CHECKING:
    from ..ops.endpoint import Endpoint

COLD_START = 600  # seconds until an idle endpoint answers


def check_endpoint(endpoint: "Endpoint") -> None:
    """Send the input example to an endpoint, and verify its answers.

    Raises:
        ProjectError: The endpoint fails, gives an invalid answer, or breaks the contract.
    """
    authorization = endpoint.workspace.config.authenticate()["Authorization"]
    os.environ["AGENT_TOKEN"] = authorization.removeprefix("Bearer ")
    start = time.monotonic()
    response = httpx.post(
        endpoint.url,
        json=load_input_example(),
        headers={"Authorization": authorization},
        timeout=COLD_START,
    )
    if response.status_code != httpx.codes.OK:
        text = response.text[:500].strip().rstrip(".")
        raise ProjectError(
            f"The input example got status {response.status_code}: {text}. See the logs of "
            f"{endpoint.name}."
        )
    try:
        ResponsesAgentResponse.model_validate_json(response.content)
    except ValidationError as error:
        raise ProjectError(
            "The deployed version gives an invalid answer to the input example "
            f"({describe_validation_error(error)}). See the logs of {endpoint.name}."
        ) from error
    click.echo(f"The endpoint answered the input example in {time.monotonic() - start:.1f} s")
    report = verify(url=endpoint.url)
    if not report.passed:
        raise ProjectError(
            f"The deployed agent breaks the contract: {report.summary()}. Fix the rules in the "
            f"report above, or see the logs of {endpoint.name}."
        )
