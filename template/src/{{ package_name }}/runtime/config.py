"""Reads the files of the package: settings, instructions and the input example."""

import json
import os
from importlib.resources import as_file, files
from typing import Any

from mlflow.models import ModelConfig
from mlflow.models.resources import ResourceType
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .validation import describe_validation_error

_PACKAGE = files(__name__.rpartition(".runtime")[0])


class ConfigError(ValueError):
    """A file of the package is invalid; the message names the setting or the position."""


class Config(BaseModel):
    """The validated contents of `config.yml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: str
    max_rounds: int = Field(ge=1)
    answer_timeout_seconds: float = Field(gt=0)
    llm_timeout_seconds: float = Field(gt=0)
    llm_max_retries: int = Field(ge=0)
    tool_max_characters: int = Field(ge=1)
    resources: dict[ResourceType, list[str]] = {}

    def llm_uri(self) -> str:
        """Return the URI of the LLM: the variable AGENT_LLM if it is set, otherwise `llm`."""
        return os.environ.get("AGENT_LLM") or self.llm


def load_config() -> Config:
    """Read the settings. Call it while `agent.py` is imported.

    Only during that import does MLflow replace the file by the settings logged with the model.

    Raises:
        ConfigError: A setting is missing, unknown or out of range.
    """
    with as_file(_PACKAGE / "config.yml") as path:
        settings = ModelConfig(development_config=str(path)).to_dict()
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = describe_validation_error(error)
        raise ConfigError(f"config.yml is invalid: {problems}.") from error


def load_instructions() -> str:
    """Read the system message."""
    return (_PACKAGE / "instructions.md").read_text(encoding="utf-8")


def load_input_example() -> dict[str, Any]:
    """Read the request that logging, tests and the server share.

    Raises:
        ConfigError: The file is not valid JSON.
    """
    try:
        return json.loads((_PACKAGE / "input_example.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"input_example.json is not valid JSON: {error}.") from error
