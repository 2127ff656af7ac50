"""Logs the agent as an MLflow model. MLflow sets the signature; do not pass one."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.models.auth_policy import AuthPolicy, SystemAuthPolicy, UserAuthPolicy
from mlflow.models.model import ModelInfo
from mlflow.models.resources import DatabricksResource, Resource, ResourceType

from ..runtime.config import Config, load_config, load_input_example
from ..runtime.llm import LLMError, connect, split_uri
from .project import PACKAGE, require_checkout
from .requirements import locked_requirements

OFFLINE_LLM = "offline:/demo"
RESOURCE_CLASSES = {cls("").type: cls for cls in DatabricksResource.__subclasses__()}


def log_agent(registered_model_name: str | None = None) -> ModelInfo:
    """Log the agent in a new run, and register it if a name is passed.

    MLflow calls the agent once with the input example before it accepts the model.

    Raises:
        ConfigError, ProjectError: The settings, the example or the lock file are invalid.
        mlflow.MlflowException: MLflow rejects the agent, or its store is unreachable.
    """
    require_checkout()
    config = load_config()
    input_example = load_input_example()
    requirements = locked_requirements()
    # Pass the pins instead of letting MLflow copy uv's files; see `locked_requirements`.
    with environment_variable("MLFLOW_UV_AUTO_DETECT", "false"), mlflow.start_run():
        return mlflow.pyfunc.log_model(
            name="agent",
            python_model=PACKAGE / "agent.py",
            code_paths=[str(PACKAGE)],
            model_config=config.model_dump(mode="json"),
            input_example=input_example,
            pip_requirements=requirements,
            **permissions(config),
            registered_model_name=registered_model_name,
        )


def permissions(config: Config) -> dict[str, Any]:
    """Return the arguments that declare what the agent may access, itself and as its user."""
    resources = declared_resources(config)
    if not config.user_api_scopes:
        return {"resources": resources}
    user_policy = UserAuthPolicy(config.user_api_scopes)
    return {"auth_policy": AuthPolicy(user_policy, SystemAuthPolicy(resources))}


def declared_resources(config: Config) -> list[Resource]:
    """Return what a deployed agent may access: its LLM's endpoint and the configured resources."""
    declared = [(kind, name) for kind, names in config.resources.items() for name in names]
    scheme, endpoint = split_uri(config.llm)
    if scheme == "databricks":
        declared.insert(0, (ResourceType.SERVING_ENDPOINT, endpoint))
    return [RESOURCE_CLASSES[kind](name) for kind, name in dict.fromkeys(declared)]


@contextmanager
def llm_for_logging() -> Generator[str]:
    """Select the LLM that answers the input example; without credentials, the offline one.

    Yields:
        The URI of the LLM.
    """
    uri = load_config().llm_uri()
    try:
        connect(uri, timeout=1, max_retries=0)
    except LLMError:
        split_uri(uri)  # an invalid URI is an error, missing credentials are not
        with environment_variable("AGENT_LLM", OFFLINE_LLM):
            yield OFFLINE_LLM
    else:
        yield uri


@contextmanager
def environment_variable(name: str, value: str) -> Generator[None]:
    """Set an environment variable inside a block."""
    previous = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if previous is None:
            del os.environ[name]
        else:
            os.environ[name] = previous
