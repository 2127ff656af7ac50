"""Reads the files of the package: settings, instructions and the input example."""

import os
import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import Annotated, Any, Literal, Self

import yaml
from mlflow.models import ModelConfig
from mlflow.models.resources import ResourceType
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    StrictBool,
    StrictInt,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from .validation import describe_validation_error, parse_json

_PACKAGE = files(__name__.rpartition(".runtime")[0])


class ConfigError(ValueError):
    """A file of the package is invalid; the message names the setting or the position."""


class Maximums(BaseModel):
    """The maximums of a quantity over the cases of an evaluation.

    Attributes:
        p50, p90, p95, p99, max: The maximum of this quantile.
        growth: The maximum growth since the champion's evaluation; 0.25 is 25 %. It is the median
            over the cases, and counts only if a paired test finds it significant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    p50: FiniteFloat | None = None
    p90: FiniteFloat | None = None
    p95: FiniteFloat | None = None
    p99: FiniteFloat | None = None
    max: FiniteFloat | None = None
    growth: FiniteFloat | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _require_one(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("Set at least one maximum")
        return self

    def quantiles(self) -> dict[int, float]:
        """Return the maximums by quantile in percent."""
        maximums = {50: self.p50, 90: self.p90, 95: self.p95, 99: self.p99, 100: self.max}
        return {percent: value for percent, value in maximums.items() if value is not None}


Share = Annotated[FiniteFloat, Field(ge=0, le=1, strict=True)]
# Without tags, an error would list the problems of both types.
Threshold = Annotated[
    Annotated[Share, Tag("share")] | Annotated[Maximums, Tag("maximums")],
    Discriminator(lambda value: "maximums" if isinstance(value, dict | Maximums) else "share"),
]

# How the names of secret environment variables end.
SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_SECRET = re.compile(r"\{\{secrets/[^{}/]+/[^{}/]+\}\}")

_OWN_FIELDS = {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"}
_CLIENT_ARGUMENTS = {
    *("extra_body", "extra_headers", "extra_query", "timeout"),
    *("api_key", "base_url", "default_headers", "http_client", "max_retries"),
}


class Serving(BaseModel):
    """How Model Serving runs the agent.

    Attributes:
        name: The name of the endpoint; the name of the project if it is empty.
        workload_size: How many requests it answers at once: Small 4, Medium 16, Large 64.
        scale_to_zero: Whether it stops when idle. The next request then waits for its start.
        environment: The environment variables of the agent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", pattern=r"^([A-Za-z0-9]([\w-]{0,61}[A-Za-z0-9])?)?$")
    workload_size: Literal["Small", "Medium", "Large"] = "Small"
    scale_to_zero: StrictBool = True
    environment: dict[Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")], str] = {}

    @field_validator("environment")
    @classmethod
    def require_references(cls, variables: dict[str, str]) -> dict[str, str]:
        """Reject secrets in clear text, because git and the logged model store the settings."""
        for name, value in variables.items():
            is_secret = name.endswith(SECRET_NAMES) or "{{" in value
            if is_secret and not _SECRET.fullmatch(value):
                raise ValueError(f"{name} must be a reference such as {{{{secrets/SCOPE/KEY}}}}")
        return variables


class Config(BaseModel):
    """The validated contents of `config.yml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: str
    max_rounds: StrictInt = Field(ge=1)
    answer_timeout_seconds: FiniteFloat = Field(gt=0, strict=True)
    llm_timeout_seconds: FiniteFloat = Field(gt=0, strict=True)
    llm_max_retries: StrictInt = Field(ge=0)
    tool_max_characters: StrictInt = Field(ge=1)
    llm_options: dict[str, Any] = {}
    model_name: str = ""
    thresholds: dict[str, Threshold] = {}
    max_regressions: StrictInt = Field(default=1, ge=0)
    judge: str | None = None
    serving: Serving = Serving()
    resources: dict[ResourceType, list[str]] = {}
    user_api_scopes: list[str] = []  # of ModelServingUserCredentials

    @field_validator("llm_options")
    @classmethod
    def reject_other_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Reject options that the agent sets itself, and arguments of OpenAI's Python client."""
        if own := sorted(_OWN_FIELDS.intersection(options)):
            raise ValueError(f"The agent sets {', '.join(own)} itself; remove it")
        if arguments := sorted(_CLIENT_ARGUMENTS.intersection(options)):
            raise ValueError(
                f"Remove {', '.join(arguments)}: it is for OpenAI's Python client, not for the "
                "API. Write the contents of extra_body directly under llm_options"
            )
        return options

    def llm_uri(self) -> str:
        """Return the URI of the LLM: the variable AGENT_LLM if it is set, otherwise `llm`."""
        return os.environ.get("AGENT_LLM") or self.llm

    def registered_model(self) -> str:
        """Return the name of the registered model: AGENT_MODEL_NAME if set, or `model_name`."""
        return os.environ.get("AGENT_MODEL_NAME") or self.model_name


def load_config() -> Config:
    """Read the settings. Call it while `agent.py` is imported.

    MLflow replaces the file with the settings logged with the model, but only during that import.

    Raises:
        ConfigError: The file is missing or is not valid YAML, or a setting is missing, unknown,
            repeated or out of range.
    """
    _reject_repeated_settings(_read("config.yml"))
    with as_file(_PACKAGE / "config.yml") as path:
        settings = ModelConfig(development_config=str(path)).to_dict()
    if not isinstance(settings, dict):
        raise ConfigError("config.yml contains no settings. Write lines such as `max_rounds: 8`.")
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = describe_validation_error(error)
        raise ConfigError(f"config.yml is invalid: {problems}.") from error


def _reject_repeated_settings(text: str) -> None:
    """Reject a setting that occurs twice, because YAML readers drop the first one silently."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        text = str(error).replace("<unicode string>", "config.yml")
        raise ConfigError(f"config.yml is not valid YAML: {text}.") from error
    if repeated := set(_repeated_keys(root)):
        raise ConfigError(f"config.yml sets {', '.join(sorted(repeated))} more than once.")


def _repeated_keys(node: yaml.Node | None, path: str = "") -> Iterator[str]:
    """Yield keys that occur twice in one mapping, such as `serving.name`."""
    if isinstance(node, yaml.MappingNode):
        names = [str(key.value) for key, _ in node.value]
        yield from (path + name for name in names if names.count(name) > 1)
        for name, (_, value) in zip(names, node.value, strict=True):
            yield from _repeated_keys(value, f"{path}{name}.")


def load_instructions() -> str:
    """Read the system message.

    Raises:
        ConfigError: The file is missing, empty or not UTF-8 text.
    """
    text = _read("instructions.md")
    if not text.strip():
        raise ConfigError("instructions.md is empty. Write what the agent is and does.")
    return text


def load_input_example() -> dict[str, Any]:
    """Read the request that logging, tests and the server share.

    Raises:
        ConfigError: The file is missing or is not valid JSON, or has a key twice in one object.
    """
    text = _read("input_example.json")
    try:
        return parse_json(text)
    except ValueError as error:
        raise ConfigError(f"input_example.json is not valid JSON: {error}.") from error


def _read(name: str) -> str:
    try:
        return (_PACKAGE / name).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        restore = f"git checkout -- src/{_PACKAGE.name}/{name}"
        raise ConfigError(f"{name} is missing. Restore it: `{restore}`.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text. Save it as UTF-8.") from error
