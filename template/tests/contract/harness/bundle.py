"""Finds mistakes in databricks.yml that a deployment reports late, or not at all."""

import re
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PART = r"[^\s./\x00-\x1f\x7f]{1,255}", "one name without spaces, dots and slashes"
# The names that a workspace accepts, by kind of resource and field.
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
# The lists of a job. A task refers to an entry by the key that names the entry.
LISTS = {
    "tasks": "task_key",
    "environments": "environment_key",
    "environment_variables": "environment_variables_key",
    "job_clusters": "job_cluster_key",
}
REFERENCE = re.compile(r"\$\{([^{}]*)\}")
# References that only the deployment can resolve.
LATER = re.compile(
    r"bundle\.(environment|uuid|git\.\w+)|artifacts\..+"
    r"|workspace\.((root|file|artifact|state|resource)_path|host|profile|current_user\.\w+)"
)
CRON = re.compile(r"([\d*/,-]+ ){3}[\dLW?*/,-]+ [\w*/,-]+ [\w?*/,#-]+( [\d*/,-]+)?", re.ASCII)


class Bundle:
    """The resources that one target deploys.

    Attributes:
        resources: The resources by kind and key, with the references that can be resolved.
        undefined: The references to nothing, each with its place.
    """

    def __init__(self, document: dict[str, Any], target: str) -> None:
        settings = section(document, "targets", target)
        self._raw = merge(section(document, "resources"), section(settings, "resources"))
        declared, values = section(document, "variables"), section(settings, "variables")
        defaults = {name: section(declared, name).get("default") for name in declared}
        self._variables = defaults | values
        self._bundle = {"name": section(document, "bundle").get("name"), "target": target}
        unknown = values.keys() - declared.keys()
        self.undefined = [f"{name} in targets.{target}.variables" for name in sorted(unknown)]
        self.resources = self._resolve(self._raw, "resources")

    def of_kind(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the resources of a kind, each with its place in the file."""
        for key in section(self.resources, kind):
            yield f"{kind}.{key}", section(self.resources, kind, key)

    def _resolve(self, node: Any, place: str) -> Any:
        match node:
            case dict():
                return {key: self._resolve(node[key], f"{place}.{key}") for key in node}
            case list():
                return [self._resolve(one, place) for one in node]
            case str() if match := REFERENCE.fullmatch(node):
                return self._value(match[1], place)
            case str():
                return REFERENCE.sub(lambda match: str(self._value(match[1], place)), node)
        return node

    def _value(self, reference: str, place: str) -> Any:
        """Return the value of a reference, or the reference if only the deployment knows it."""
        value = None
        match reference.split("."):
            case ["var", name, *_] | ["variables", name, "value"] if name in self._variables:
                value = self._variables[name]
            case ["bundle", ("name" | "target") as field]:
                value = self._bundle[field]
            case ["resources", kind, key, field, *_] if key in section(self._raw, kind):
                value = section(self._raw, kind, key).get(field)
            case _ if not LATER.fullmatch(reference):
                self.undefined.append(f"${{{reference}}} in {place}")
        return f"${{{reference}}}" if value is None else self._resolve(value, place)


def read_bundles(root: Path) -> list[Bundle]:
    """Return what each target of databricks.yml deploys; nothing if there is no such file.

    Raises:
        yaml.YAMLError: A file is not valid YAML.
        RecursionError: A reference leads to itself.
    """
    file = root / "databricks.yml"
    if not file.is_file():
        return []
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    for pattern in section(document).get("include", []):
        for path in sorted(root.glob(pattern)):
            document = merge(document, yaml.safe_load(path.read_text(encoding="utf-8")))
    return [Bundle(document, target) for target in section(document, "targets") or [""]]


def invalid_values(bundle: Bundle) -> Iterator[str]:
    """Yield the names and values that a workspace rejects."""
    for (kind, field), (pattern, requirement) in NAMES.items():
        for place, resource in bundle.of_kind(kind):
            value = resource.get(field)
            if not re.fullmatch(pattern, REFERENCE.sub("x", str(value or ""))):
                yield f"{place}.{field} is {value!r}, not {requirement}"
    for place, app in bundle.of_kind("apps"):
        started = section(app, "lifecycle").get("started", True)
        if not isinstance(started, bool):
            yield f"{place}.lifecycle.started is {started!r}, not true or false"
        for one in mappings(section(app, "config"), "env"):
            if not {"value", "value_from"} & one.keys():
                yield f"{place}.config.env has {one.get('name')!r} without value and value_from"
    for place, job in bundle.of_kind("jobs"):
        if schedule := section(job, "schedule"):
            cron, zone = str(schedule.get("quartz_cron_expression")), schedule.get("timezone_id")
            if not CRON.fullmatch(cron) or cron.count("?") != 1:
                yield f"{place}.schedule has {cron!r}, not a cron expression such as '0 0 6 * * ?'"
            if zone not in zoneinfo.available_timezones():
                yield f"{place}.schedule has {zone!r}, not a time zone such as 'Europe/Berlin'"
        for task in mappings(job, "tasks"):
            if not any(key.endswith("_task") for key in task):
                yield f"{place} has a task {task.get('task_key')!r} that runs nothing"


def broken_references(bundle: Bundle, root: Path, llm: str) -> Iterator[str]:
    """Yield what is used but does not exist, or exists twice."""
    yield from (f"{reference} is not defined" for reference in bundle.undefined)
    for place, app in bundle.of_kind("apps"):
        folder = str(app.get("source_code_path"))
        if not folder.startswith("/Workspace/") and not (root / folder).is_dir():
            yield f"{place}.source_code_path is {folder!r}, which is not a folder"
        resources = mappings(app, "resources")
        yield from repeated(resources, "name", f"{place}.resources")
        names = {one.get("name") for one in resources}
        env = mappings(section(app, "config"), "env")
        yield from repeated(env, "name", f"{place}.config.env")
        users = [(f"{place}.config.env", one.get("value_from")) for one in env]
        if (root / folder / "app.yaml").is_file():
            settings = yaml.safe_load((root / folder / "app.yaml").read_text(encoding="utf-8"))
            users += [("app.yaml", one.get("valueFrom")) for one in mappings(settings, "env")]
        for user, name in users:
            if name not in {None, *names}:
                yield f"{user} uses {name!r}, which is not in {place}.resources"
        endpoints = {section(one, "serving_endpoint").get("name") for one in resources}
        provider, _, endpoint = llm.partition(":/")
        if provider == "databricks" and endpoint not in endpoints:
            yield f"the LLM {endpoint!r} of config.yml is not in {place}.resources"
    for place, job in bundle.of_kind("jobs"):
        for field, key in LISTS.items():
            entries = mappings(job, field)
            yield from repeated(entries, key, f"{place}.{field}")
            for task in mappings(job, "tasks"):
                users = mappings(task, "depends_on") if field == "tasks" else [task]
                for name in {str(user[key]) for user in users if key in user}:
                    if name not in {str(entry.get(key)) for entry in entries}:
                        yield f"{place} has a task that uses {name!r}, which is not in {field}"


def repeated(entries: list[dict[str, Any]], key: str, place: str) -> Iterator[str]:
    """Yield a message for each name that several entries have."""
    for name, count in Counter(str(entry.get(key)) for entry in entries).items():
        if count > 1:
            yield f"{place} has {name!r} {count} times"


def section(node: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping at these keys; an empty one if there is none."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def mappings(node: Any, key: str) -> list[dict[str, Any]]:
    """Return the mappings in the list at a key."""
    found = section(node).get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def merge(base: Any, change: Any) -> Any:
    """Merge the settings of a target; entries of lists are merged by their names."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: merge(base.get(key), value) for key, value in change.items()}
    if isinstance(base, list) and isinstance(change, list):
        named = {_name(one): one for one in change}
        return [merge(one, named.pop(_name(one), None)) for one in base] + [*named.values()]
    return base if change is None else change


def _name(entry: Any) -> str:
    keys = (key for key in (*LISTS.values(), "name") if key in section(entry))
    return str(entry[key]) if (key := next(keys, None)) else repr(entry)
