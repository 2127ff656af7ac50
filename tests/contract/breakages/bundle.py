"""Mistakes in databricks.yml, which the default agent does not have: each adds the whole file."""

import jinja2

from tests.contract.breakages.changes import Breakage, Patch, breaks, new_file
from tests.helpers.template import TEMPLATE

ANSWERS = {
    "project_name": "weather-agent",
    "package_name": "weather_agent",
    "app_name": "agent-weather-agent",
    "llm": "databricks:/an-endpoint",
}
USE_ENDPOINT = Patch("config.yml", "llm: offline:/demo", f"llm: {ANSWERS['llm']}")
TASK = "        - task_key: release\n"


def rendered(name: str) -> str:
    """Return the text of a file of agents with an LLM on Databricks."""
    source = TEMPLATE / f"{{% if databricks %}}{name}{{% endif %}}.jinja"
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(source.read_text(encoding="utf-8")).render(ANSWERS)


def edited(file: str, old: str, new: str) -> Patch:
    """Add a file with a mistake."""
    text = rendered(file)
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}."
    return new_file(file, text.replace(old, new))


def value(found: str, old: str, new: str) -> Breakage:
    """Return a breakage of `bundle-values`."""
    return breaks("bundle-values", found, edited("databricks.yml", old, new))


def reference(found: str, old: str, new: str) -> Breakage:
    """Return a breakage of `bundle-references`."""
    return breaks("bundle-references", found, edited("databricks.yml", old, new))


def with_schedule(cron: str, zone: str = "UTC") -> tuple[str, str]:
    """Return a change that adds a schedule to the job."""
    schedule = f'{{quartz_cron_expression: "{cron}", timezone_id: {zone}}}'
    return "      tasks:\n", f"      schedule: {schedule}\n      tasks:\n"


BUNDLE = {
    # Names and values
    "an app with a long name": value(
        "apps.agent.name is 'agent-weather-agent-for-everyone'",
        "app: agent-weather-agent,",
        "app: agent-weather-agent-for-everyone,",
    ),
    "an app with capitals and an underscore": value(
        "apps.agent.name is 'Weather_Agent'", "app: agent-weather-agent,", "app: Weather_Agent,"
    ),
    "an app that is started with a text": value(
        "started is 'always'", "{started: true}", "{started: always}"
    ),
    "a variable of an app with the key of app.yaml": value(
        "MODE",
        "      lifecycle: {started: true}\n",
        "      config: {command: [serve], env: [{name: MODE, valueFrom: experiment}]}\n",
    ),
    "a model with a dot in its name": value(
        "registered_models.agent.name is 'weather.agent'",
        "      name: weather_agent\n",
        "      name: weather.agent\n",
    ),
    "an experiment without a folder": value(
        "experiments.agent.name is 'agent-weather-agent-dev'",
        '"/Shared/${var.app}"',
        '"${var.app}"',
    ),
    "a schedule in words": value(
        "not a cron expression",
        *with_schedule("every night"),
    ),
    "a schedule in another format of cron": value(
        "not a cron expression",
        *with_schedule("0 6 * * *"),
    ),
    "a schedule on Mars": value(
        "not a time zone",
        *with_schedule("0 0 6 * * ?", zone="Mars"),
    ),
    "a task that runs nothing": value(
        "jobs.release has a task 'later'", TASK, "        - task_key: later\n" + TASK
    ),
    "a target that changes an unknown app": value(
        "apps.agnet.name is None",
        "    mode: production\n",
        "    resources: {apps: {agnet: {description: The agent}}}\n",
    ),
    # References
    "a target that sets an unknown variable": reference(
        "shcema in targets.dev.variables", "schema: weather_agent_dev}", "shcema: weather_agent}"
    ),
    "a reference to an unknown variable": reference(
        r"\$\{var.ap\} in resources.experiments.agent.name is not defined",
        '"/Shared/${var.app}"',
        '"/Shared/${var.ap}"',
    ),
    "a reference to an unknown resource": reference(
        r"\$\{resources.schemas.agents.name\}",
        "${resources.schemas.agent.name}",
        "${resources.schemas.agents.name}",
    ),
    "a reference to an unknown property of the workspace": reference(
        r"\$\{workspace.files\}", "${workspace.file_path}", "${workspace.files}"
    ),
    "a variable that refers to itself": reference(
        "leads to itself", "app: agent-weather-agent-dev", "app: '${var.app}-dev'"
    ),
    "an app in a folder that does not exist": reference(
        "'app', which is not a folder", "source_code_path: .", "source_code_path: app"
    ),
    "an app without the experiment of app.yaml": breaks(
        "bundle-references",
        "app.yaml uses 'experiment'",
        edited("databricks.yml", "- name: experiment\n", "- name: traces\n"),
        new_file("app.yaml", rendered("app.yaml")),
    ),
    "an app without the LLM of config.yml": breaks(
        "bundle-references",
        "the LLM 'an-endpoint' of config.yml",
        edited("databricks.yml", '{name: "an-endpoint"', '{name: "another-endpoint"'),
        USE_ENDPOINT,
    ),
    "two resources of an app with one name": reference(
        "apps.agent.resources has 'experiment' 2 times", "- name: llm\n", "- name: experiment\n"
    ),
    "two tasks with one name": reference(
        "jobs.release.tasks has 'release' 2 times",
        TASK,
        TASK + "          environment_key: agent\n          run_job_task: {job_id: 1}\n" + TASK,
    ),
    "a task after an unknown task": reference(
        "uses 'test', which is not in tasks",
        TASK,
        TASK + "          depends_on: [{task_key: test}]\n",
    ),
    "a task in an unknown environment": reference(
        "uses 'agent', which is not in environments",
        "        - environment_key: agent\n",
        "        - environment_key: python\n",
    ),
    "an invalid databricks.yml": reference("not valid YAML", "targets:\n", "targets:\n  - [\n"),
}
