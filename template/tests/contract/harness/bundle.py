"""Reads databricks.yml as the Databricks CLI does: what each target deploys."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The lists of a job. A task refers to an entry by the key that names the entry.
LISTS = {
    "tasks": "task_key",
    "environments": "environment_key",
    "environment_variables": "environment_variables_key",
    "job_clusters": "job_cluster_key",
}
REFERENCE = re.compile(r"\$\{([^{}.]+\.[^{}]*)\}")  # without a dot, it is a variable of a shell
# References that only the deployment can resolve.
LATER = re.compile(
    r"bundle\.(environment|uuid|git\.\w+)|artifacts\..+"
    r"|workspace\.((root|file|artifact|state|resource)_path|host|profile|current_user\.\w+)"
)


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
        self._variables = {name: default_of(declared[name]) for name in declared} | {
            name: default_of(value) for name, value in values.items()
        }
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
        value, rest = None, []
        match re.findall(r"[^.\[\]]+", reference):
            case ["variables", name, "value"] if name in self._variables:
                value = self._variables[name]
            case ["var", name, *rest] if name in self._variables:
                value = self._variables[name]
            case ["bundle", ("name" | "target") as field]:
                value = self._bundle[field]
            case ["resources", kind, key, *rest] if key in section(self._raw, kind):
                value = section(self._raw, kind, key)
            case _ if not LATER.fullmatch(reference):
                self.undefined.append(f"${{{reference}}} in {place}")
        for key in rest:
            is_index = isinstance(value, list) and key.isdigit() and int(key) < len(value)
            value = value[int(key)] if is_index else section(value).get(key)
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
    document = load(file, root)
    patterns = section(document).get("include")
    for pattern in patterns if isinstance(patterns, list) else []:
        for path in sorted(root.glob(pattern)):
            document = merge(document, load(path, root))
    return [Bundle(document, target) for target in section(document, "targets") or [""]]


def load(file: Path, root: Path) -> Any:
    """Return the contents of a file; the paths in it become relative to the root."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    for one in (document, *section(document, "targets").values()):
        apps = section(one, "resources", "apps")
        for app in (section(apps, key) for key in apps):
            path = str(app.get("source_code_path", "/"))
            if not path.startswith("/"):
                app["source_code_path"] = os.path.relpath(file.parent / path, root)
    return document


def is_known(value: Any) -> bool:
    """Return whether a value has no reference that only the deployment can resolve."""
    return not REFERENCE.search(str(value))


def default_of(variable: Any) -> Any:
    """Return the value of a variable: a plain one, or its default; None if it is looked up."""
    return variable.get("default") if isinstance(variable, dict) else variable


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
