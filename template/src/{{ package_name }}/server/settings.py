"""The settings of the server: limits, token and tracing."""

import os
import re
from difflib import get_close_matches

from pydantic import Field, FiniteFloat, PositiveInt, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..ops.project import ProjectError
from ..runtime.validation import invalid_fields, is_token


class ServerSettings(BaseSettings):
    """Settings from environment variables: `AGENT_TOKEN` sets `token`, and so on.

    Attributes:
        token: The bearer token that requests must send; empty to accept requests without one.
        allowed_hosts: The server's names in URLs, such as `agent.example.com,agent.lan`, if there
            is no token; `*` accepts any. Local names and addresses are always accepted.
        max_requests: The number of concurrent requests; others get status 429.
        traces_per_second: The number of requests per second to trace; others are not traced.
        stop_seconds: How long running requests may continue after SIGTERM.
        max_body_bytes: The maximum size of a request body; a larger one gets status 413.
        body_timeout_seconds: How long a request body may take to arrive before status 408.
        keep_alive_seconds: The interval of comments in a stream without events.
    """

    model_config = SettingsConfigDict(env_prefix="AGENT_", frozen=True, hide_input_in_errors=True)

    token: str = Field(default="", repr=False)
    allowed_hosts: str = ""
    max_requests: PositiveInt = 128
    traces_per_second: PositiveInt = 5
    stop_seconds: PositiveInt = 30
    max_body_bytes: PositiveInt = 10_000_000
    body_timeout_seconds: FiniteFloat = Field(default=30, gt=0)
    keep_alive_seconds: FiniteFloat = Field(default=15, gt=0)

    def hosts(self) -> frozenset[str] | None:
        """Return the allowed hosts; None if any is accepted."""
        names = frozenset(name.strip().lower() for name in self.allowed_hosts.split(","))
        # Databricks Apps authenticates users, and forwards only requests for the app's name.
        is_app = "DATABRICKS_APP_PORT" in os.environ
        return None if self.token or is_app or "*" in names else names

    @field_validator("allowed_hosts")
    @classmethod
    def check_hosts(cls, hosts: str) -> str:
        """Reject values that are not names of hosts, such as a URL, a port or a pattern."""
        for name in hosts.split(","):
            if not re.fullmatch(r"\*|(([\w-]+\.)*[\w-]+)?|\[[\da-f:.]+\]", name.strip(), re.ASCII):
                raise ValueError("Write names such as agent.example.com, separated by commas")
        return hosts

    @field_validator("token")
    @classmethod
    def check_token(cls, token: str) -> str:
        """Reject a token that clients cannot send in a header, such as one with a line break."""
        if not is_token(token):
            raise ValueError("Use ASCII characters without spaces and line breaks")
        return token


def load_settings() -> ServerSettings:
    """Read the settings from the environment.

    Raises:
        ProjectError: A variable has an invalid value, or a misspelled name.
    """
    _reject_misspelled_names()
    try:
        return ServerSettings()
    except ValidationError as error:
        problems = "; ".join(
            f"AGENT_{path[0].upper()} is invalid: {text}" for path, text in invalid_fields(error)
        )
        raise ProjectError(f"{problems}.") from error


def _reject_misspelled_names() -> None:
    """Reject AGENT_TOKENS, for example: without it, the server would accept every request.

    The variables of `config.yml` count, too, because nothing else checks their names.
    """
    known = [name.upper() for name in (*ServerSettings.model_fields, "llm", "model_name")]
    names = (name.removeprefix("AGENT_") for name in os.environ if name.startswith("AGENT_"))
    for name in names:
        close = get_close_matches(name, known, cutoff=0.88)
        if close and name not in close:
            raise ProjectError(f"AGENT_{name} is not a setting. Rename it to AGENT_{close[0]}.")
