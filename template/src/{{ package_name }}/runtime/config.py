"""The agent's settings, from `config.yml` or from the configuration logged with the model."""

from importlib.resources import as_file, files
from typing import Literal

from mlflow.models import ModelConfig
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_PACKAGE = files(__package__ or __name__)

ResourceKind = Literal[
    "serving_endpoint",
    "function",
    "vector_search_index",
    "table",
    "sql_warehouse",
    "genie_space",
    "uc_connection",
    "app",
]


class ConfigError(ValueError):
    """The settings cannot be used; the message names the one that is wrong."""


class Config(BaseModel):
    """The contents of `config.yml`, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: str
    max_rounds: int = Field(ge=1)
    answer_timeout_seconds: float = Field(gt=0)
    llm_timeout_seconds: float = Field(gt=0)
    llm_max_retries: int = Field(ge=0)
    tool_max_characters: int = Field(default=100_000, ge=1)
    resources: dict[ResourceKind, list[str]] = {}


def load_config() -> Config:
    """Read the settings; call it while the agent's file is imported.

    Only then does MLflow put the configuration logged with a model in the place of the file.

    Raises:
        ConfigError: a setting is missing, unknown or out of bounds.
    """
    with as_file(_PACKAGE / "config.yml") as path:
        settings = ModelConfig(development_config=str(path)).to_dict()
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"config.yml is wrong at {'; '.join(problems)}.") from error


def load_instructions() -> str:
    """Read what the agent is told before every request."""
    return (_PACKAGE / "instructions.md").read_text(encoding="utf-8")
