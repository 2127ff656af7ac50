"""Logging the agent as an MLflow model, without a signature: MLflow sets the right one."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.models import resources as mlflow_resources
from mlflow.models.model import ModelInfo
from mlflow.models.resources import Resource

from .config import Config, load_config
from .llm import LLMError, connect, split_uri
from .project import PACKAGE, ROOT, ProjectError, require_checkout
from .requirements import locked_requirements

OFFLINE_LLM = "offline:/demo"

RESOURCE_TYPES = {
    "serving_endpoint": mlflow_resources.DatabricksServingEndpoint,
    "function": mlflow_resources.DatabricksFunction,
    "vector_search_index": mlflow_resources.DatabricksVectorSearchIndex,
    "table": mlflow_resources.DatabricksTable,
    "sql_warehouse": mlflow_resources.DatabricksSQLWarehouse,
    "genie_space": mlflow_resources.DatabricksGenieSpace,
    "uc_connection": mlflow_resources.DatabricksUCConnection,
    "app": mlflow_resources.DatabricksApp,
}


def input_example() -> dict[str, Any]:
    """The one request that logging, tests and documentation share.

    Raises:
        ProjectError: the file holds no JSON.
    """
    path = PACKAGE / "input_example.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProjectError(f"{path.relative_to(ROOT)} holds no JSON: {error}.") from error


def log_agent(registered_model_name: str | None = None) -> ModelInfo:
    """Log the agent in a run of its own, and register it when a name is given.

    MLflow asks the agent once, with the input example, before it accepts the model.

    Raises:
        ConfigError, ProjectError: the settings, the example or the lock file cannot be used.
        mlflow.MlflowException: MLflow does not accept the agent, or its store cannot be reached.
    """
    require_checkout()
    config = load_config()
    example = input_example()
    requirements = locked_requirements()
    # The pins are given, so MLflow need not copy uv's files; see `locked_requirements`.
    with environment_variable("MLFLOW_UV_AUTO_DETECT", "false"), mlflow.start_run():
        return mlflow.pyfunc.log_model(
            name="agent",
            python_model=PACKAGE / "agent.py",
            code_paths=[str(PACKAGE)],
            model_config=config.model_dump(),
            input_example=example,
            pip_requirements=requirements,
            resources=declared_resources(config),
            registered_model_name=registered_model_name,
        )


def declared_resources(config: Config) -> list[Resource]:
    """What a deployed agent may reach: its LLM's endpoint, and `resources` of the settings."""
    names = {kind: list(listed) for kind, listed in config.resources.items()}
    scheme, endpoint = split_uri(config.llm)
    if scheme == "databricks":
        endpoints = names.setdefault("serving_endpoint", [])
        endpoints[:] = dict.fromkeys([endpoint, *endpoints])
    return [RESOURCE_TYPES[kind](name) for kind, listed in names.items() for name in listed]


@contextmanager
def llm_for_logging() -> Generator[str]:
    """Let the configured LLM answer the input example, or the offline one without credentials.

    Yields:
        The URI of the LLM that will answer.
    """
    configured = os.environ.get("AGENT_LLM") or load_config().llm
    try:
        connect(configured, timeout=1, max_retries=0)
    except LLMError:
        split_uri(configured)  # a wrong URI is an error, missing credentials are none
        with environment_variable("AGENT_LLM", OFFLINE_LLM):
            yield OFFLINE_LLM
    else:
        yield configured


@contextmanager
def environment_variable(name: str, value: str) -> Generator[None]:
    """Set an environment variable for the length of a block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
