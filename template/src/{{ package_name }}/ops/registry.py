"""Finds versions of the agent in MLflow's registry, local or in Unity Catalog."""

from collections.abc import Callable

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ..runtime.config import load_config
from ..runtime.validation import is_model_name
from .project import PROJECT_NAME, ProjectError

CHAMPION, CHALLENGER = "champion", "challenger"
READY = "READY"  # the status of a complete version
EVALUATION_RUN = "evaluation_run"  # the tag of a version that names the run of its evaluation


class Registry:
    """The registered model of the agent.

    Raises:
        ProjectError: Its name is missing or invalid, or does not have the three levels that Unity
            Catalog requires.
    """

    def __init__(self) -> None:
        self.client = MlflowClient()
        self.name = load_config().registered_model()
        in_unity_catalog = mlflow.get_registry_uri().startswith("databricks-uc")
        levels = self.name.split(".")
        has_levels = not in_unity_catalog or (len(levels) == 3 and all(levels))
        if not is_model_name(self.name) or not has_levels:
            raise ProjectError(
                f"{self.name!r} is not the name of a registered model. Set `model_name` in "
                "config.yml, or AGENT_MODEL_NAME, to CATALOG.SCHEMA.MODEL."
            )

    def get(self, number: str) -> ModelVersion:
        """Return a version.

        Raises:
            ProjectError: It does not exist or is not complete.
        """
        version = _find(lambda: self.client.get_model_version(self.name, number))
        if version is None or version.status != READY:
            raise ProjectError(
                f"{self.name} has no version {number} that is ready. See its versions in "
                "MLflow's UI."
            )
        return version

    def with_alias(self, alias: str) -> ModelVersion | None:
        """Return the version with an alias."""
        return _find(lambda: self.client.get_model_version_by_alias(self.name, alias))

    def version_or_challenger(self, number: str | None) -> ModelVersion:
        """Return a version; by default, the one that `register` registered last.

        Raises:
            ProjectError: It does not exist.
        """
        if number:
            return self.get(number)
        version = self.with_alias(CHALLENGER)
        if version is None:
            raise ProjectError(
                f"{self.name} has no challenger. Run `uv run {PROJECT_NAME} register`."
            )
        return version

    def of_commit(self, commit: str) -> ModelVersion | None:
        """Return the newest complete version of a commit."""
        found = mlflow.search_model_versions(filter_string=f"name='{self.name}'")
        for one in sorted(found, key=lambda version: int(version.version), reverse=True):
            if one.status == READY:
                # Unity Catalog returns no tags when it searches.
                version = self.client.get_model_version(self.name, one.version)
                if version.tags.get("git_commit") == commit:
                    return version
        return None

    def status(self) -> str:
        """Return a sentence that says which version is the champion."""
        try:
            champion = self.with_alias(CHAMPION)
        except MlflowException:
            return "Which version is the champion is unknown."
        name = f"Version {champion.version}" if champion else "No version"
        return f"{name} is the champion."

    def tag(self, version: ModelVersion, **tags: str) -> None:
        """Add tags to a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version.version, key, value)

    def point(self, alias: str, version: ModelVersion) -> None:
        """Give an alias to a version."""
        try:
            self.client.set_registered_model_alias(self.name, alias, version.version)
        except MlflowException:
            # If only the response was lost, the version has the alias nevertheless.
            now = self.with_alias(alias)
            if now is None or now.version != version.version:
                raise


def _find(get: Callable[[], ModelVersion]) -> ModelVersion | None:
    try:
        return get()
    except MlflowException as error:
        # A local registry reports a missing alias as an invalid parameter.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
