"""Finds mistakes in databricks.yml that a deployment reports late, or not at all."""

import re
import zoneinfo
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from .bundle import LISTS, Bundle, is_known, mappings, section

# The names that a workspace accepts, by kind of resource and field.
PART = r"[^\s./\x00-\x1f\x7f]{1,255}", "one name without spaces, dots and slashes"
NAMES = {
    ("apps", "name"): (
        r"(?=.{2,30}$)[a-z0-9]+(-+[a-z0-9]+)*",
        "2 to 30 lowercase letters, digits and hyphens",
    ),
    ("experiments", "name"): (r"(/[^/]+){2,}", "a path such as /Shared/NAME"),
    ("jobs", "name"): (r".{1,4096}", "1 to 4096 characters"),
    ("registered_models", "catalog_name"): PART,
    ("registered_models", "schema_name"): PART,
    ("registered_models", "name"): PART,
    ("schemas", "catalog_name"): PART,
    ("schemas", "name"): PART,
}
# The texts that the Databricks CLI reads as true or false.
BOOLEANS = {"true", "false", "yes", "no", "on", "off", "y", "n"}

# A list of values, ranges and steps, and the same for each field of a cron expression.
_LIST = r"(\*|({0})(-({0}))?)(/\d+)?(,(\*|({0})(-({0}))?)(/\d+)?)*"
_MINUTE, _DAY = r"[0-5]?\d", r"0?[1-9]|[12]\d|3[01]"
_MONTH = r"0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_WEEKDAY = r"[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT"
CRON = " ".join(
    [
        _LIST.format(_MINUTE),
        _LIST.format(_MINUTE),
        _LIST.format(r"[01]?\d|2[0-3]"),
        rf"({_LIST.format(_DAY)}|\?|L(-({_DAY}))?|LW|({_DAY})W)",
        _LIST.format(_MONTH),
        rf"({_LIST.format(_WEEKDAY)}|\?|L|({_WEEKDAY})(L|#[1-5]))( {_LIST.format('[0-9]{4}')})?",
    ]
)


def invalid_values(bundle: Bundle) -> Iterator[str]:
    """Yield the names and values that a workspace rejects."""
    for (kind, field), (pattern, requirement) in NAMES.items():
        for place, resource in bundle.of_kind(kind):
            value = resource.get(field)
            if is_known(value) and not re.fullmatch(pattern, str(value or "")):
                yield f"{place}.{field} is {value!r}, not {requirement}"
    for place, app in bundle.of_kind("apps"):
        started = section(app, "lifecycle").get("started", True)
        if str(started).lower() not in BOOLEANS and is_known(started):
            yield f"{place}.lifecycle.started is {started!r}, not true or false"
        yield from not_lists(app, ["resources"], place)
        yield from not_lists(section(app, "config"), ["env"], f"{place}.config")
        for one in mappings(section(app, "config"), "env"):
            if not {"value", "value_from"} & one.keys():
                yield f"{place}.config.env has {one.get('name')!r} without value and value_from"
    for place, job in bundle.of_kind("jobs"):
        yield from not_lists(job, LISTS, place)
        if schedule := section(job, "schedule"):
            cron, zone = schedule.get("quartz_cron_expression"), schedule.get("timezone_id")
            if is_known(cron) and not is_cron(str(cron)):
                yield f"{place}.schedule has {cron!r}, not a cron expression such as '0 0 6 * * ?'"
            if is_known(zone) and zone not in zoneinfo.available_timezones():
                yield f"{place}.schedule has {zone!r}, not a time zone such as 'Europe/Berlin'"
        if len(found := [key for key in ("schedule", "trigger", "continuous") if job.get(key)]) > 1:
            yield f"{place} has {' and '.join(found)}; a job has one of them"
        for task in mappings(job, "tasks"):
            key = str(task.get("task_key", ""))
            if is_known(key) and not re.fullmatch(r"[\w-]{1,100}", key, re.ASCII):
                yield f"{place} has a task {key!r}, not 1 to 100 letters, digits, hyphens and _"
            if not any(key.endswith("_task") for key in task):
                yield f"{place} has a task {task.get('task_key')!r} that runs nothing"


def broken_references(bundle: Bundle, root: Path, llm: str) -> Iterator[str]:
    """Yield what is used but does not exist, or exists twice."""
    yield from (f"{reference} is not defined" for reference in bundle.undefined)
    for place, app in bundle.of_kind("apps"):
        folder = str(app.get("source_code_path", "."))
        is_local = is_known(folder) and "git_source" not in app
        if is_local and not folder.startswith("/Workspace/") and not (root / folder).is_dir():
            yield f"{place}.source_code_path is {folder!r}, which is not a folder"
        resources = mappings(app, "resources")
        yield from repeated(resources, "name", f"{place}.resources")
        names = {one.get("name") for one in resources}
        env = mappings(section(app, "config"), "env")
        yield from repeated(env, "name", f"{place}.config.env")
        users = [(f"{place}.config.env", one.get("value_from")) for one in env]
        for file in ("app.yaml", "app.yml"):
            if (root / folder / file).is_file():
                settings = yaml.safe_load((root / folder / file).read_text(encoding="utf-8"))
                env += mappings(settings, "env")
                users += [(file, one.get("valueFrom")) for one in mappings(settings, "env")]
        for user, name in users:
            if name not in {None, *names}:
                yield f"{user} uses {name!r}, which is not in {place}.resources"
        endpoints = [section(one, "serving_endpoint").get("name") for one in resources]
        chosen = [str(one.get("value")) for one in env if one.get("name") == "AGENT_LLM"]
        provider, _, endpoint = (chosen or [llm])[0].partition(":/")
        is_agent = is_local and (root / folder).resolve() == root.resolve()
        is_missing = endpoint not in endpoints and all(map(is_known, [endpoint, *endpoints]))
        if is_agent and provider == "databricks" and is_missing:
            where = "AGENT_LLM" if chosen else "config.yml"
            yield f"the LLM {endpoint!r} of {where} is not in {place}.resources"
    for place, job in bundle.of_kind("jobs"):
        for field, key in LISTS.items():
            entries = mappings(job, field)
            yield from repeated(entries, key, f"{place}.{field}")
            for task in mappings(job, "tasks"):
                nested = section(task, "for_each_task", "task")
                users = mappings(task, "depends_on") if field == "tasks" else [task, nested]
                for name in {str(user[key]) for user in users if key in user}:
                    if name not in {str(entry.get(key)) for entry in entries}:
                        yield f"{place} has a task that uses {name!r}, which is not in {field}"


def not_lists(node: dict[str, Any], keys: Iterable[str], place: str) -> Iterator[str]:
    """Yield a message for each value at these keys that is not a list."""
    for key in keys:
        if isinstance(node.get(key), dict):
            yield f"{place}.{key} is a mapping, not a list"


def is_cron(text: str) -> bool:
    """Return whether a text is a cron expression of Quartz, with ? for one of the days."""
    fields = " ".join(text.upper().split())
    return bool(re.fullmatch(CRON, fields, re.ASCII)) and fields.count("?") == 1


def repeated(entries: list[dict[str, Any]], key: str, place: str) -> Iterator[str]:
    """Yield a message for each name that several entries have."""
    for name, count in Counter(str(entry.get(key)) for entry in entries).items():
        if count > 1:
            yield f"{place} has {name!r} {count} times"
