"""The agent's settings, from `config.yml` or from the configuration logged with the model."""

from importlib.resources import as_file, files
from typing import Literal

from mlflow.models import ModelConfig
from pydantic import BaseModel, ConfigDict, Field

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


class Config(BaseModel):
    """The contents of `config.yml`, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: str
    max_rounds: int = Field(ge=1)
    answer_timeout_seconds: float = Field(gt=0)
    llm_timeout_seconds: float = Field(gt=0)
    llm_max_retries: int = Field(ge=0)
    resources: dict[ResourceKind, list[str]] = {}


def load_config() -> Config:
    """Read the settings; call it while the agent's file is imported.

    Only then does MLflow put the configuration logged with a model in the place of the file.

    Raises:
        pydantic.ValidationError: a setting is missing, unknown or out of bounds.
    """
    with as_file(_PACKAGE / "config.yml") as path:
        return Config.model_validate(ModelConfig(development_config=str(path)).to_dict())


def load_instructions() -> str:
    """Read what the agent is told before every request."""
    return (_PACKAGE / "instructions.md").read_text(encoding="utf-8")
