"""databricks.yml of agents with an LLM on Databricks; breakages of the contract cover mistakes."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.apps import App
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema

from tests.conftest import Render

CLASSES: dict[str, Any] = {
    "apps": App,
    "experiments": MlflowExperiment,
    "jobs": Job,
    "registered_models": RegisteredModel,
    "schemas": Schema,
}
LLM = "databricks:/an-endpoint"
NAMES = ["a", "weather-agent", "the-longest-name-there-can-be1", "abcdefghij-klmnopqr-tuvwxyz"]


@pytest.fixture
def project(render: Render) -> Path:
    """A project with an LLM on Databricks."""
    return render(llm=LLM)


def read(project: Path) -> dict[str, Any]:
    """Return the parsed databricks.yml."""
    return yaml.safe_load((project / "databricks.yml").read_text(encoding="utf-8"))


def checks_of(project: Path) -> Any:
    """Return the module of the contract that checks databricks.yml."""
    path = project / "tests" / "contract" / "harness" / "bundle.py"
    spec = importlib.util.spec_from_file_location("bundle_checks", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_bundle_is_valid_for_every_name(name: str, render: Render) -> None:
    project = render(project_name=name, llm=LLM)
    checks = checks_of(project)
    for bundle in checks.read_bundles(project):
        assert [*checks.invalid_values(bundle)] == []
        assert [*checks.broken_references(bundle, project, LLM)] == []
        assert "$" not in bundle.resources["apps"]["agent"]["name"]


def test_names_of_apps_are_cut(render: Render) -> None:
    projects = [render(project_name=name, llm=LLM) for name in NAMES]
    assert [(read(project)["targets"]["dev"]["variables"]["app"]) for project in projects] == [
        "agent-a-dev",
        "agent-weather-agent-dev",
        "agent-the-longest-name-the-dev",
        "agent-abcdefghij-klmnopqr-dev",
    ]


def test_resources_have_the_fields_of_databricks(project: Path) -> None:
    resources = read(project)["resources"]
    assert resources.keys() == CLASSES.keys()
    for kind, entries in resources.items():
        for entry in entries.values():
            CLASSES[kind].from_dict(entry)
    App.from_dict(resources["apps"]["agent"] | {"user_api_scopes": ["sql"]})  # as its comment says


@pytest.mark.parametrize(
    "mistake",
    [
        {"config": {"env": [{"name": "A", "valueFrom": "experiment"}]}},
        {"lifecycle": {"begun": True}},
        {"resources": [{"name": "e", "experiment": {"experiment_id": "1", "permission": "ALL"}}]},
        {"user_api_scopes": "sql"},
        {"name": None},
    ],
)
def test_fields_of_databricks_are_checked(project: Path, mistake: dict[str, Any]) -> None:
    app = read(project)["resources"]["apps"]["agent"] | mistake
    with pytest.raises((TypeError, ValueError)):
        App.from_dict(app)


def test_production_has_the_model_of_the_settings(project: Path) -> None:
    config = yaml.safe_load((project / "src/weather_agent/config.yml").read_text(encoding="utf-8"))
    _, production = checks_of(project).read_bundles(project)
    model = production.resources["registered_models"]["agent"]
    levels = (model["catalog_name"], model["schema_name"], model["name"])
    assert config["model_name"] == ".".join(levels)


def test_bundle_is_short(project: Path) -> None:
    assert len((project / "databricks.yml").read_text(encoding="utf-8").splitlines()) < 60


def test_other_agents_have_no_bundle(default_project: Path) -> None:
    assert not (default_project / "databricks.yml").exists()
    assert checks_of(default_project).read_bundles(default_project) == []
