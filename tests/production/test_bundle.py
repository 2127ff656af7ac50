"""databricks.yml of agents with an LLM on Databricks; breakages of the contract cover mistakes."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.bundles.apps import App
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema

from tests.conftest import Package, Render
from tests.helpers.template import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "tests" / "contract"))
READER: Any = import_module("harness.bundle")
CHECKS: Any = import_module("harness.bundle_checks")
sys.path.pop(0)

CLASSES: dict[str, Any] = {
    "apps": App,
    "experiments": MlflowExperiment,
    "jobs": Job,
    "registered_models": RegisteredModel,
    "schemas": Schema,
}
LLM = "databricks:/an-endpoint"
# A job with another setting, or with another setting of its task.
JOB = "resources: {{jobs: {{j: {{name: j, {}, tasks: [{{task_key: t, sql_task: {{}}}}]}}}}}}"
TASK = "resources: {{jobs: {{j: {{name: j, tasks: [{{task_key: t, sql_task: {{}}, {}}}]}}}}}}"
SCHEDULE = 'schedule: {{quartz_cron_expression: "{}", timezone_id: UTC}}'
# The app of the agent, and one in another folder.
APP = "resources: {{apps: {{a: {{name: agent, source_code_path: ., {}}}}}}}"
OTHER_APP = "resources: {{apps: {{a: {{name: page, source_code_path: {}}}}}}}"
QUERY = "resources: [{{name: llm, serving_endpoint: {{name: {}, permission: CAN_QUERY}}}}]"
MODEL = "resources: {{registered_models: {{m: {{catalog_name: {}, schema_name: {}, name: {}}}}}}}"
MISTAKES = [
    ("variables: {a: {default: [A]}}\n" + MODEL.format("a", "b", "'${var.a[0]}.b'"), "is 'A.b'"),
    ("resources: {apps: {a: {name: agent-, source_code_path: page}}}", "a.name is 'agent-'"),
    ("bundle: {name: A}\nresources: {experiments: {e: {name: '${bundle.name}'}}}", "e.name is 'A'"),
    ("resources: {experiments: {e: {name: /agent}}}", "experiments.e.name is '/agent'"),
    ("resources: {jobs: {j: {}}}", "jobs.j.name is None"),
    ("resources: {apps: {a: {name: '${app}', source_code_path: page}}}", "a.name is '${app}'"),
    ("resources: {schemas: {s: {catalog_name: a.b, name: c}}}", "s.catalog_name is 'a.b'"),
    ("resources: {schemas: {s: {catalog_name: a, name: b c}}}", "schemas.s.name is 'b c'"),
    (MODEL.format("a/b", "c", "d"), "m.catalog_name is 'a/b'"),
    (MODEL.format("a", "b.c", "d"), "m.schema_name is 'b.c'"),
    (MODEL.format("a", "b", "x" * 256), "one name without spaces"),
    (OTHER_APP.format("frontend"), "source_code_path is 'frontend', which is not a folder"),
    (APP.format("config: {env: {MODE: fast}}"), "apps.a.config.env is a mapping, not a list"),
    (APP.format("resources: {llm: {}}"), "apps.a.resources is a mapping, not a list"),
    (APP.format("config: {env: [{name: A, value_from: b}]}"), "config.env uses 'b', which is not"),
    (APP.format("config: {env: [{name: A, value: b}, {name: A, value: c}]}"), "'A' 2 times"),
    (APP.format("config: {env: [{name: AGENT_LLM, value: 'databricks:/x'}]}"), "of AGENT_LLM"),
    (JOB.format(SCHEDULE.format("0 30 2,7,11,15 * * *")), "has '0 30 2,7,11,15 * * *', not a cron"),
    (JOB.format(SCHEDULE.format("0 0 6 ? * ?")), "not a cron"),
    (JOB.format(SCHEDULE.format("0 0 25 * * ?")), "not a cron"),
    (JOB.format(SCHEDULE.format("0 60 6 * * ?")), "not a cron"),
    (JOB.format(SCHEDULE.format("0 0 6 ? * 0")), "not a cron"),
    (JOB.format(SCHEDULE.format("0 0 6 ? * MONDAY")), "not a cron"),
    (JOB.format(SCHEDULE.format("@daily")), "not a cron"),
    (
        JOB.format(SCHEDULE.format("0 0 6 * * ?") + ", continuous: {}, trigger: {a: 1}"),
        "and trigger",
    ),
    (JOB.format("environments: {agent: {}}"), "jobs.j.environments is a mapping, not a list"),
    (JOB.replace("task_key: t", "task_key: run it").format("a: b"), "has a task 'run it'"),
    (TASK.format("job_cluster_key: c"), "uses 'c', which is not in job_clusters"),
    (TASK.format("environment_variables_key: v"), "'v', which is not in environment_variables"),
    (TASK.format("for_each_task: {task: {environment_key: e}}"), "'e', which is not in environ"),
    ("resources: {jobs: {j: {name: '${var.a.b}'}}}", "${var.a.b} in resources.jobs.j.name is not"),
]
CORRECT = [
    "include:",
    "include: resources/*.yml\ntargets: {dev: }",
    "resources: {jobs: }",
    "variables: {a: {default: {b: agent}}}\n"
    "resources: {apps: {a: {name: '${var.a.b}', source_code_path: page}}}",
    "variables: {a: {default: [x]}}\nresources: {jobs: {j: {name: '${var.a[1]}'}}}",
    "targets: {dev: {resources: {jobs: {j: }}}}\n" + JOB.format("a: b"),
    APP.format(QUERY.format("x")) + "\ntargets: {dev: {resources: {apps: {a: {"
    "resources: [{name: llm, serving_endpoint: {name: llm}}]}}}}}",
    "variables: {a: {default: b}}\nresources: {jobs: {j: {name: '${variables.a.value}'}}}",
    "resources: {experiments: {e: {name: '${var.a}/agent'}}}\nvariables: {a: }",
    "resources: {jobs: {j: {name: '${bundle.git.branch}${artifacts.a.path}'}}}",
    "variables: {a: }\ntargets: {dev: {variables: {a: {default: agent}}}}\n"
    "resources: {apps: {a: {name: '${var.a}', source_code_path: page}}}",
    "variables: {a: {default: A_B}}\ntargets: {dev: {variables: {a: {lookup: {job: j}}}}}\n"
    "resources: {apps: {a: {name: '${var.a}', source_code_path: page}}}",
    OTHER_APP.format("page"),
    OTHER_APP.format("page, git_source: {branch: main}").replace("page,", "elsewhere,"),
    OTHER_APP.format("/Workspace/Shared/page"),
    OTHER_APP.format("'${workspace.file_path}/page'"),
    OTHER_APP.format("'${artifacts.page.path}'"),
    APP.format("lifecycle: {started: 'true'}, " + QUERY.format("llm")),
    "variables: {a: }\n" + APP.format("lifecycle: {started: '${var.a}'}, " + QUERY.format("llm")),
    "variables: {a: }\n" + APP.format(QUERY.format("'${var.a}'")),
    APP.format("config: {env: [{name: AGENT_LLM, value: 'openai:/x'}]}"),
    APP.format("config: {command: ['echo ${HOME}']}, " + QUERY.format("llm")),
    "variables: {a: }\n" + JOB.format(SCHEDULE.replace("UTC", "'${{var.a}}'").format("${var.a}")),
    *(
        JOB.format(SCHEDULE.format(cron))
        for cron in [
            *("0 0/15 6-19 ? * MON-FRI", "0  0 6 * * ?", "0 30 1 * * ? *", "0 0 12 L-3 * ?"),
            *(
                "0 0 6 ? jan,jul 2#1 2027-2030",
                "0 0 6 15W * ?",
                "59 59 23 31 12 ?",
                "0 */5 * ? * 6L",
            ),
        ]
    ),
    "resources: {jobs: {j: {name: j, job_clusters: [{job_cluster_key: c}], tasks: ["
    "{task_key: t, sql_task: {}}]}}}\n"
    "targets: {dev: {resources: {jobs: {j: {tasks: [{task_key: t, job_cluster_key: c}]}}}}}",
]
NAMES = ["a", "weather-agent", "the-longest-name-there-can-be1", "abcdefghij-klmnopqr-tuvwxyz"]


@pytest.fixture
def project(render: Render) -> Path:
    """A project with an LLM on Databricks."""
    return render(llm=LLM)


def read(project: Path) -> dict[str, Any]:
    """Return the parsed databricks.yml."""
    return yaml.safe_load((project / "databricks.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_bundle_is_valid_for_every_name(name: str, render: Render) -> None:
    project = render(project_name=name, llm=LLM)
    for bundle in READER.read_bundles(project):
        assert [*CHECKS.invalid_values(bundle)] == []
        assert [*CHECKS.broken_references(bundle, project, LLM)] == []
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
    _, production = READER.read_bundles(project)
    model = production.resources["registered_models"]["agent"]
    levels = (model["catalog_name"], model["schema_name"], model["name"])
    assert config["model_name"] == ".".join(levels)


def test_the_job_releases_the_registered_version(project: Path) -> None:
    """`mode: development` would add a name to that of the model."""
    document = read(project)
    assert "mode" not in document["targets"]["dev"]
    prod = document["targets"]["prod"]
    assert prod["mode"] == "production"
    assert prod["workspace"]["root_path"].startswith("/Workspace/Shared/")
    _, bundle = READER.read_bundles(project)
    job, app = bundle.resources["jobs"]["release"], bundle.resources["apps"]["agent"]
    assert job["tasks"][0]["python_wheel_task"] == {
        "package_name": "weather-agent",
        "entry_point": "weather-agent",
        "parameters": ["release", "--registered"],
    }
    assert job["environment_variables"][0]["spec"]["variables"] == {
        "MLFLOW_TRACKING_URI": "databricks",
        "AGENT_MODEL_NAME": "main.weather_agent.weather_agent",
    }
    assert app["lifecycle"]["started"] is True
    permissions = [one.popitem()[1]["permission"] for one in app["resources"]]
    assert permissions == ["CAN_EDIT", "CAN_QUERY"]


def test_the_job_answers_a_table(project: Path, package: Package) -> None:
    _, bundle = READER.read_bundles(project)
    job = bundle.resources["jobs"]["batch"]
    assert job["max_concurrent_runs"] == 1
    defaults = {one["name"]: one["default"] for one in job["parameters"]}
    assert defaults == {
        "questions": "main.weather_agent.questions",
        "answers": "main.weather_agent.answers",
    }
    # No extra: serverless compute has its own pyspark, and another one would replace it.
    (environment,) = job["environments"]
    assert "-e ${workspace.file_path}[deploy]" in environment["spec"]["dependencies"]
    (task,) = job["tasks"]
    name, *arguments = task["python_wheel_task"]["parameters"]
    assert arguments[:2] == [f"{{{{job.parameters.{one}}}}}" for one in defaults]
    command = package("commands.cli").main.commands[name]
    assert command.make_context(name, arguments).params["engine"] == "spark"
    assert job["environment_variables"][0]["spec"]["variables"] == {
        "MLFLOW_TRACKING_URI": "databricks",
        "MLFLOW_EXPERIMENT_ID": "${resources.experiments.agent.id}",
    }


def test_bundle_is_short(project: Path) -> None:
    assert len((project / "databricks.yml").read_text(encoding="utf-8").splitlines()) < 90


def test_other_agents_have_no_bundle(default_project: Path) -> None:
    assert not (default_project / "databricks.yml").exists()
    assert READER.read_bundles(default_project) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for databricks.yml, with an app in `page`."""
    (tmp_path / "page").mkdir()
    return tmp_path


def problems(folder: Path, text: str) -> str:
    """Return what the contract reports for a databricks.yml of an agent with an LLM."""
    (folder / "databricks.yml").write_text(text, encoding="utf-8")
    return "; ".join(
        found
        for bundle in READER.read_bundles(folder)
        for found in (
            *CHECKS.invalid_values(bundle),
            *CHECKS.broken_references(bundle, folder, "databricks:/llm"),
        )
    )


@pytest.mark.parametrize(("text", "found"), MISTAKES)
def test_mistakes_are_found(text: str, found: str, folder: Path) -> None:
    assert found in problems(folder, text)


@pytest.mark.parametrize("text", CORRECT)
def test_correct_files_are_accepted(text: str, folder: Path) -> None:
    assert problems(folder, text) == ""


@pytest.mark.parametrize("text", [OTHER_APP, f"targets: {{{{dev: {{{{{OTHER_APP}}}}}}}}}"])
def test_paths_are_relative_to_the_file_that_contains_them(text: str, folder: Path) -> None:
    (folder / "resources").mkdir()
    included = folder / "resources" / "page.app.yml"
    included.write_text(text.format("../page"), encoding="utf-8")
    assert problems(folder, "include: [resources/*.yml]") == ""
    included.write_text(text.format("page"), encoding="utf-8")
    found = "apps.a.source_code_path is 'resources/page', which is not a folder"
    assert problems(folder, "include: [resources/*.yml]") == found


@pytest.mark.parametrize("name", ["app.yaml", "app.yml"])
def test_both_names_of_the_settings_of_an_app_are_read(name: str, folder: Path) -> None:
    text = "env: [{name: A, valueFrom: traces}, {name: AGENT_LLM, value: 'openai:/x'}]"
    (folder / name).write_text(text, encoding="utf-8")
    found = f"{name} uses 'traces', which is not in apps.a.resources"
    assert problems(folder, APP.format("description: x")) == found
