"""Rules about the logged model, which Databricks reads before it runs the agent."""

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.models import Model
from mlflow.pyfunc import ResponsesAgent
from mlflow.types.responses import (
    RESPONSES_AGENT_INPUT_SCHEMA,
    RESPONSES_AGENT_OUTPUT_SCHEMA,
    ResponsesAgentRequest,
)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import ValidationError

from .harness.agents import Item, LoadedAgent, read_example
from .harness.canaries import copied_variables
from .harness.errors import describe_error, describe_validation_error
from .harness.fixes import fix_for
from .harness.imports import (
    distributions_of,
    entry_of,
    foreign_imports,
    is_of_repository,
    prefixes,
    source_files,
)
from .harness.project import COMMAND, PACKAGE, ROOT
from .harness.resources import (
    resources_in_settings,
    resources_in_source,
    uses_user_credentials,
)
from .harness.rules import FailedRuleError, rule
from .harness.secret_patterns import secrets_below
from .harness.yaml_values import misread_values

PICKLES = {".pkl", ".pickle", ".cloudpickle", ".dill", ".joblib"}
REQUEST_KEYS = ResponsesAgentRequest.model_fields.keys()


@rule(
    "accepted",
    "MLflow logs the agent.",
    why="An agent that cannot be logged cannot be deployed, and most rules cannot be checked.",
    fix=f"Fix the error. To print the traceback, run `uv run {COMMAND} --debug log`.",
)
def test_accepted(
    url: str | None, external_model: Path | None, request: pytest.FixtureRequest
) -> None:
    if url or external_model:
        pytest.skip("with --url and --model-uri, the agent is already logged")
    logged = request.getfixturevalue("logged")
    if isinstance(logged, BaseException):
        raise FailedRuleError(describe_error(logged), fix_for(logged)) from logged


@rule(
    "task",
    "The logged model declares the task agent/v1/responses.",
    why="AI Playground, Review App and Model Serving choose the request format by the task.",
    fix="Derive the agent from mlflow.pyfunc.ResponsesAgent, and do not pass `task` in the "
    "`metadata` of log_model.",
)
def test_task(model: Model) -> None:
    task = (model.metadata or {}).get("task")
    assert task == "agent/v1/responses", f"The task is {task!r}."


@rule(
    "signature",
    "The input and output signature is the one that MLflow sets for a ResponsesAgent.",
    why="Databricks does not deploy an agent with another signature, or shows it without a chat.",
    fix="Remove every `signature=` and `set_signature`. If the signature is missing, log the model "
    "again with the MLflow version that deploys it.",
)
def test_signature(model: Model) -> None:
    signature = model.signature
    assert signature is not None, "The model has no signature."
    for side, schema, expected in (
        ("input", signature.inputs, RESPONSES_AGENT_INPUT_SCHEMA),
        ("output", signature.outputs, RESPONSES_AGENT_OUTPUT_SCHEMA),
    ):
        assert schema == expected, f"The {side} schema is {schema}, not MLflow's {expected}."


@rule(
    "input-example",
    "The saved input example is a valid Responses request with a user message.",
    why="Databricks shows the example to callers, and servers use it to test the model.",
    fix='Write `input_example.json` as {"input": [{"role": "user", "content": "…"}]}, with other '
    "data under `custom_inputs`, and content parts of type `input_text`. Pass "
    "`input_example=load_input_example()` to log_model.",
)
def test_input_example(
    url: str | None, external_model: Path | None, request: pytest.FixtureRequest
) -> None:
    package = ROOT / "src" / PACKAGE
    example = read_example(package if url else request.getfixturevalue("model_path"))
    assert example is not None, "The model has no input example."
    assert isinstance(example, dict), f"The example is not a JSON object: {example!r}."
    unknown = example.keys() - REQUEST_KEYS
    assert not unknown, f"The example has unknown keys: {', '.join(sorted(unknown))}."
    assert not example.get("stream"), "The example requests a stream."
    try:
        ResponsesAgentRequest.model_validate(example)
    except ValidationError as error:
        found = f"The example is not a valid request: {describe_validation_error(error)}."
        raise FailedRuleError(found) from error
    users = [item for item in example["input"] if item.get("role") == "user"]
    assert users, "The example has no message with the role user."
    for part in (part for item in users for part in content_parts(item)):
        type_ = part["type"]
        assert str(type_).startswith("input_"), f"A content part has the type {type_!r}."
    texts = [part.get("text", part["type"]) for part in content_parts(users[-1])]
    assert "".join(texts).strip(), "The user message in the example is empty."
    assert external_model or example == read_example(package), (
        f"The saved example differs from the one in the repository: {json.dumps(example)}."
    )


def content_parts(message: Item) -> list[dict[str, Any]]:
    """Return the parts of a message's content; a string is one part."""
    content = message["content"]
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


@rule(
    "models-from-code",
    "The model consists of source code and contains no pickled objects.",
    why="A pickle breaks with other Python or library versions, can run any code when it is "
    "loaded, and cannot be reviewed.",
    fix="Pass the path of agent.py as `python_model`, and end that file with "
    "`mlflow.models.set_model(AGENT)`.",
)
def test_models_from_code(model: Model, model_path: Path) -> None:
    pickles = [
        path.relative_to(model_path).as_posix()
        for path in model_path.rglob("*")
        if path.suffix in PICKLES
    ]
    assert not pickles, f"The model contains pickled objects: {', '.join(pickles)}."
    flavor = model.flavors.get("python_function", {})
    assert flavor.get("model_code_path"), "The model was not logged from a source file."


@rule(
    "base-class",
    "The object passed to `set_model` is an instance of mlflow.pyfunc.ResponsesAgent.",
    why="Only a ResponsesAgent takes `input` and returns `output`. Callers of the Responses API "
    "cannot use another base class.",
    fix="Derive the agent's class from mlflow.pyfunc.ResponsesAgent, and pass an instance of it to "
    "`set_model`.",
)
def test_base_class(loaded: LoadedAgent) -> None:
    cls = type(loaded.instance)
    bases = ", ".join(base.__name__ for base in cls.__mro__[1:-1])
    assert issubclass(cls, ResponsesAgent), (
        f"It is an instance of {cls.__name__}, derived from {bases or 'object'}."
    )


@rule(
    "no-secrets",
    "The model contains no credentials.",
    why="Everybody who can read the model can read its source, settings and input example.",
    fix="Revoke the credential first. Then remove it, and read it from the environment when a "
    "request is answered. On Databricks, set the variable to {{secrets/SCOPE/KEY}}.",
)
def test_no_secrets(model_path: Path) -> None:
    found = list(secrets_below(model_path))
    if copied := copied_variables((model_path / "MLmodel").read_text(encoding="utf-8")):
        found.append(f"MLmodel contains {copied}")
    assert not found, "; ".join(found) + "."


PINNED_REQUIREMENTS = rule(
    "pinned-requirements",
    "The requirements pin the installed versions, including MLflow's.",
    why="A server must install the versions that were tested. Another version of MLflow can have "
    "another signature, which Databricks does not accept.",
    fix="Pass `pip_requirements=locked_requirements()` to log_model, and run `uv sync`.",
)


@PINNED_REQUIREMENTS
def test_pinned_requirements(model_path: Path, requirements: dict[str, Requirement]) -> None:
    assert requirements.keys() & {"mlflow", "mlflow-skinny"}, "MLflow is not in the requirements."
    others = (line for line in requirement_lines(model_path) if not (parse(line) or is_index(line)))
    problems = [f"`{without_password(line)}` is not a released version" for line in others]
    problems += [problem for one in requirements.values() if (problem := problem_with_pin(one))]
    assert not problems, f"{'; '.join(problems)}."


def problem_with_pin(requirement: Requirement) -> str:
    """Return why a requirement does not install the version in use, or an empty string."""
    if requirement.url:
        return f"{without_password(str(requirement))} is not a released version"
    pins = [one.version for one in requirement.specifier if one.operator == "=="]
    if len(pins) != 1 or "*" in pins[0]:
        return f"{requirement} is not pinned"
    installed = installed_version(requirement.name)
    if installed and Version(installed) != Version(pins[0]):
        return f"{requirement} is required, but {installed} is installed"
    return ""


# Commands of a Dockerfile that do not install the versions in uv.lock.
UNLOCKED = (
    r"\buv sync\b(?![^\n&|;]*--(locked|frozen)\b)( --upgrade\b)?",
    r"\buv sync\b[^\n&|;]* (--upgrade|-U)\b",
    r"\brm\b[^\n&|;]*\buv\.lock\b(?=(?s:.*)\buv sync\b)",
    r"\bpip install\b(?![^\n&|;]*--no-deps\b)[^\n&|;]* \.(\[[\w,-]+\])?(?=[\s&|;]|$)",
)


def instructions_of_image() -> str:
    """Return the instructions of the Dockerfile, one per line, without comments; "" without it."""
    path = ROOT / "Dockerfile"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")


@PINNED_REQUIREMENTS
def test_versions_in_image(url: str | None, external_model: Path | None) -> None:
    if url or external_model:
        pytest.skip("omit --url and --model-uri to check the Dockerfile")
    commands = instructions_of_image()
    is_locked = re.search(r"\bUV_(LOCKED|FROZEN)=", commands)
    patterns = UNLOCKED[1:] if is_locked else UNLOCKED
    for unlocked in filter(None, (re.search(pattern, commands) for pattern in patterns)):
        found = f"The Dockerfile installs other versions than those of uv.lock: `{unlocked[0]}`."
        raise FailedRuleError(found, "Install the packages with `uv sync --locked`.")


@rule(
    "package-indexes",
    "The requirements contain the package indexes of the project.",
    why="Without its index, a server installs a private package from PyPI: it finds none, or the "
    "package of somebody else.",
    fix="Pass `pip_requirements=locked_requirements()` to log_model. It includes the indexes.",
)
def test_package_indexes(
    external_model: Path | None, model_path: Path, requirements: dict[str, Requirement]
) -> None:
    if external_model:
        pytest.skip("with --model-uri, the lock file of the model is unknown")
    options = "".join(filter(is_index, requirement_lines(model_path)))
    settings = "".join(files_of_project("pyproject.toml", "uv.toml"))
    missing = {
        url: name
        for (name, version), url in locked_indexes().items()
        if str(requirements.get(name)) == f"{name}=={version}"
        # Only their ends are the same: credentials can precede the host.
        and (end := url.partition("://")[2]) in settings
        and end not in options
    }
    problems = [f"{name} comes from {url}, which is missing" for url, name in missing.items()]
    assert not problems, f"{'; '.join(problems)}."


def locked_indexes() -> dict[tuple[str, str], str]:
    """Return the index of each package in uv.lock, by name and version."""
    return {
        (one["name"], one["version"]): one["source"]["registry"]
        for content in files_of_project("uv.lock")
        for one in tomllib.loads(content)["package"]
        if "registry" in one["source"]
    }


def files_of_project(*names: str) -> list[str]:
    """Return the content of files in the repository, and then in the workspaces around it."""
    paths = [folder / name for folder in (ROOT, *ROOT.parents) for name in names]
    return [path.read_text(encoding="utf-8") for path in paths if path.is_file()]


@rule(
    "covered-imports",
    "Every package that the agent imports is a direct dependency.",
    why="A package that only another package depends on can disappear with any update. An import "
    "in a function then fails only when a request reaches it.",
    fix="Add the package with `uv add`, without `--dev`, and pass "
    "`pip_requirements=locked_requirements()` to log_model.",
)
def test_covered_imports(
    external_model: Path | None,
    model: Model,
    model_path: Path,
    requirements: dict[str, Requirement],
) -> None:
    direct = None if external_model else direct_dependencies()
    problems, fixes = [], set()
    for module, file in foreign_imports(entry_of(model, model_path), model_path / "code").items():
        if is_of_repository(module, ROOT):
            continue
        owners = distributions_of(module)
        names = sorted(map(canonicalize_name, owners or prefixes(module)))
        if direct is not None and direct.isdisjoint(names):
            problems.append(f"{file} imports {module}, which is not a dependency in pyproject.toml")
            unknown = f"Add the package that provides `{module}` with `uv add`."
            fixes.add(f"Run `uv add {names[0]}`." if owners else unknown)
        elif requirements.keys().isdisjoint(names):
            problems.append(f"{file} imports {module}, which is not in the model's requirements")
    if problems:
        raise FailedRuleError(f"{'; '.join(problems)}.", " ".join(sorted(fixes)) or None)


def direct_dependencies() -> set[str] | None:
    """Return the dependencies and extras in pyproject.toml, or None if they are dynamic."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = content.get("project", {})
    if "dependencies" not in project:
        return None
    extras = project.get("optional-dependencies", {}).values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {canonicalize_name(one.name) for line in lines if (one := parse(line))}


@rule(
    "declared-resources",
    "Every Databricks resource that the agent uses is declared as a resource of the model.",
    why="A deployed agent can access only its declared resources; others respond with status 403.",
    fix="Pass `**permissions(config)` to log_model, and list the resources that the agent uses "
    "besides its LLM under `resources` in config.yml.",
)
def test_declared_resources(model: Model, model_path: Path) -> None:
    declared = declared_resources(model_path)
    used = resources_in_settings(settings_of(model))
    used |= resources_in_source(source_files(entry_of(model, model_path), model_path / "code"))
    # A used name can be a pattern: an MCP server with all functions of a schema.
    missing = [
        f"{kind} {name}"
        for kind, name in sorted(used)
        if not any(kind == other and fnmatchcase(one, name) for other, one in declared)
    ]
    assert not missing, f"These resources are not declared: {', '.join(missing)}."


@rule(
    "user-scopes",
    "An agent that uses its user's credentials declares the API scopes it needs.",
    why="A deployed agent gets the token of its user only with these scopes. Without any, "
    "`ModelServingUserCredentials` fails for every request.",
    fix="Pass `**permissions(config)` to log_model, and add a line to config.yml with the scopes "
    "that it needs, such as `user_api_scopes: [serving.serving-endpoints, sql.warehouses]`.",
)
def test_user_scopes(model: Model, model_path: Path) -> None:
    files = source_files(entry_of(model, model_path), model_path / "code")
    users = ", ".join(file.name for file in files if uses_user_credentials(file))
    policy = (model.auth_policy or {}).get("user_auth_policy") or {}
    assert policy.get("api_scopes") or not users, (
        f"The model has no user scopes, but {users} uses the credentials of its user."
    )


SENSIBLE_SETTINGS = rule(
    "sensible-settings",
    "The logged settings are plausible, and name the LLM of config.yml.",
    why="Settings that are valid one by one can still make an agent useless: a timeout in "
    "milliseconds never ends, and a table without its catalog cannot be declared.",
    fix="Correct the setting in config.yml: times are seconds, and the LLM's timeout is shorter "
    "than the answer's. Names of tables, functions and indexes are CATALOG.SCHEMA.NAME.",
)

# The plausible values of settings.
RANGES = {
    "max_rounds": (1, 100),
    "answer_timeout_seconds": (5, 3600),
    "llm_timeout_seconds": (1, 1800),
    "llm_max_retries": (0, 10),
    "tool_max_characters": (200, 2_000_000),
}
# Fewer tokens end an answer within a sentence.
OPTIONS = {"max_tokens": (16, 1_000_000), "max_completion_tokens": (16, 1_000_000)}
NUMBER_WITH_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d{1,2}")
# As a sequence that stops the LLM, these end an answer within a sentence, too.
PROSE = (" ", ",", ".", ":", "?", "!", "-", "a", "e", "the", "The")
MAX_GROWTH = 5
POSITIVE = ("latency_seconds", "total_tokens")
JUDGES = ("openai:/", "databricks:/")
# Without the backticks of SQL, the parentheses of a call, and placeholders.
LEVEL = r"[^.\s/`'\"(){}<>$]+"
QUALIFIED_NAME = rf"{LEVEL}\.{LEVEL}\.{LEVEL}"
TWO_LEVELS = r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$"  # of a registered model, without its catalog
ONE_LEVEL = r"[\w-]+"
AN_ID = r"(?=\D*\d)[\w-]+"  # an id of a workspace, or a placeholder such as abc123
NAME_RULES = {
    "function": (QUALIFIED_NAME, "CATALOG.SCHEMA.FUNCTION"),
    "table": (QUALIFIED_NAME, "CATALOG.SCHEMA.TABLE"),
    "vector_search_index": (QUALIFIED_NAME, "CATALOG.SCHEMA.INDEX"),
    "serving_endpoint": (
        rf"(?!{QUALIFIED_NAME}$)[\w.-]+",
        "the name of an endpoint, not of a model, a URL or a URI",
    ),
    "uc_connection": (ONE_LEVEL, "the name of a connection, without a catalog or schema"),
    "app": (ONE_LEVEL, "the name of an app"),
    "lakebase": (ONE_LEVEL, "the name of an instance"),
    "sql_warehouse": (AN_ID, "the id of a warehouse, such as 0123456789abcdef"),
    "genie_space": (AN_ID, "the id of a space, such as 01ef0123456789abcdef0123456789ab"),
}


@SENSIBLE_SETTINGS
def test_plausible_settings(model: Model) -> None:
    settings = settings_of(model)
    check_ranges(settings, RANGES)
    options = settings.get("llm_options") or {}
    check_ranges(options, OPTIONS)
    for path, value in texts_in(options, "llm_options"):
        assert not NUMBER_WITH_EXPONENT.fullmatch(value), (
            f"{path} is the text {value!r}: in YAML, a number with an exponent has a point and a "
            f"sign. Write {float(value)!r}."
        )
    stops = options.get("stop") or []
    sequences = stops if isinstance(stops, list) else [stops]
    early = next((one for one in sequences if one in PROSE), "")
    assert not early, f"An answer ends before its first {early!r}, because llm_options sets `stop`."
    name = settings.get("model_name") or ""
    assert not re.search(rf"[/:\s]|^\.|\.$|\.\.|{TWO_LEVELS}", name), (
        f"model_name is {name!r}, not CATALOG.SCHEMA.MODEL or the name of a registered model."
    )
    judge = settings.get("judge") or "openai:/"
    assert judge.startswith(JUDGES), (
        f"judge is {judge!r}, not {' or '.join(f'{one}MODEL' for one in JUDGES)}."
    )
    variables = (settings.get("serving") or {}).get("environment") or {}
    assert "AGENT_LLM" not in variables, (
        f"serving.environment sets AGENT_LLM to {variables['AGENT_LLM']!r}, so the endpoint does "
        "not use `llm`, which `evaluate` measures."
    )
    for variable, value in variables.items():
        assert not re.search(r"//(localhost|127\.0\.0\.1|0\.0\.0\.0)\b", str(value)), (
            f"serving.environment sets {variable} to {value!r}, which the endpoint cannot reach."
        )
    answer, llm = (settings.get(f"{name}_timeout_seconds") for name in ("answer", "llm"))
    if isinstance(answer, int | float) and isinstance(llm, int | float):
        assert llm < answer, (
            f"llm_timeout_seconds is {llm}, but the whole answer ends after "
            f"answer_timeout_seconds, {answer}."
        )


def texts_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield each text in nested data with its path, such as `llm_options.stop`."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(inner, f"{path}.{key}")


def check_ranges(settings: dict[str, Any], ranges: dict[str, tuple[int, int]]) -> None:
    """Assert that numbers in settings are plausible."""
    for name, (least, most) in ranges.items():
        value = settings.get(name)
        if isinstance(value, int | float):
            assert least <= value <= most, f"{name} is {value}, not between {least} and {most}."


@SENSIBLE_SETTINGS
def test_values_in_yaml(model_path: Path) -> None:
    for path in sorted((model_path / "code" / PACKAGE).rglob("*.y*ml")):
        with suppress(yaml.YAMLError):  # it may have tags for another program
            for problem in misread_values(path.read_text(encoding="utf-8", errors="replace")):
                raise FailedRuleError(
                    f"{path.name} has {problem}.",
                    "YAML keeps only the last of several equal keys: remove the others. Put a time "
                    'in quotation marks, such as "10:30".',
                )


@SENSIBLE_SETTINGS
def test_effective_thresholds(model: Model) -> None:
    settings = settings_of(model)
    thresholds, answer = (settings.get(key) for key in ("thresholds", "answer_timeout_seconds"))
    for name, maximums in thresholds.items() if isinstance(thresholds, dict) else ():
        if not isinstance(maximums, dict):
            assert maximums, f"The threshold of {name} is 0, so every agent passes. Remove it."
            continue
        growth = maximums.get("growth") or 0
        assert growth <= MAX_GROWTH, (
            f"The threshold of {name} allows a growth of {growth:.0%}; 0.25 is 25 %."
        )
        limits = {key: value for key, value in maximums.items() if key != "growth"}
        zero = next((key for key, value in limits.items() if value == 0), None)
        assert not zero or name not in POSITIVE, (
            f"The threshold of {name} is 0 for {zero}, so no agent passes."
        )
        quantiles = [*filter(None, limits.values())]
        if name == "latency_seconds" and quantiles and isinstance(answer, int | float):
            assert min(quantiles) < answer, (
                f"No answer exceeds the threshold of latency_seconds, {min(quantiles)}: each ends "
                f"after answer_timeout_seconds, {answer}."
            )


@SENSIBLE_SETTINGS
def test_scorers_of_thresholds(model: Model, external_model: Path | None) -> None:
    if external_model:
        pytest.skip("omit --model-uri to compare the model with evaluation/")
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("evaluation/*.py"))
    words = {*re.findall(r"\w+", code), "contract"}
    for name in settings_of(model).get("thresholds") or {}:
        # A scorer may come from another package, so only misspelled names are reported.
        similar = [] if name in words else get_close_matches(name, words, n=1, cutoff=0.9)
        assert not similar, (
            f"The threshold of {name} judges nothing, because the scorer is named {similar[0]}."
        )


@SENSIBLE_SETTINGS
def test_names_of_resources(model_path: Path) -> None:
    for kind, name in sorted(declared_resources(model_path)):
        form, description = NAME_RULES.get(kind, (".*", ""))
        assert re.fullmatch(form, name), f"The {kind} is named {name!r}, not {description}."


@SENSIBLE_SETTINGS
def test_llm_of_settings(model: Model, external_model: Path | None) -> None:
    if external_model:
        pytest.skip("omit --model-uri to compare the model with config.yml")
    path = ROOT / "src" / PACKAGE / "config.yml"
    configured = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    logged = settings_of(model)
    if not isinstance(configured, dict) or not logged:
        return
    if "llm" in configured and "llm" in logged:
        assert logged["llm"] == configured["llm"], (
            f"The model is logged with the LLM {logged['llm']!r}, not {configured['llm']!r} of "
            "config.yml. AGENT_LLM applies to this process only: log `config.llm`, and not "
            "`config.llm_uri()`."
        )
    values: dict[str, Any] = {"llm_options": configured.get("llm_options") or {}}
    values |= {name: value for name, value in configured.items() if isinstance(value, int | float)}
    other = next((name for name, value in values.items() if logged.get(name, {}) != value), "")
    if other:
        raise FailedRuleError(
            f"The model is logged with {other} {logged.get(other)!r}, not {values[other]!r} of "
            "config.yml.",
            "Pass `model_config=config.model_dump(mode='json')` to log_model.",
        )


@SENSIBLE_SETTINGS
def test_settings_of_image(url: str | None, external_model: Path | None) -> None:
    if url or external_model:
        pytest.skip("omit --url and --model-uri to check the Dockerfile")
    commands = instructions_of_image()
    if llm := re.search(r"^ENV\b.*\bAGENT_LLM[= ]\s*\S+", commands, re.MULTILINE):
        raise FailedRuleError(
            f"The image does not use the LLM of config.yml, because of `{llm[0]}`.",
            "Remove AGENT_LLM from the Dockerfile. Set the LLM in config.yml.",
        )


def settings_of(model: Model) -> dict[str, Any]:
    """Return the settings that are logged with a model."""
    return model.flavors.get("python_function", {}).get("config") or {}


def declared_resources(model_path: Path) -> set[tuple[str, str]]:
    """Return the type and name of each resource that a logged model declares."""
    content = yaml.safe_load((model_path / "MLmodel").read_text(encoding="utf-8"))
    policy = (content.get("auth_policy") or {}).get("system_auth_policy") or {}
    return declared_in(content.get("resources") or policy.get("resources") or {})


def declared_in(resources: Any) -> set[tuple[str, str]]:
    """Return the type and name of each resource in an MLmodel file."""
    assert isinstance(resources, dict), f"The resources are not resource objects: {resources}."
    kinds = resources.get("databricks", {})
    return {(kind, one["name"]) for kind, names in kinds.items() for one in names}


def requirement_lines(model_path: Path) -> list[str]:
    """Return the lines of the model's requirements, without comments."""
    lines = (model_path / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def requirements(model_path: Path) -> dict[str, Requirement]:
    """The model's requirements by the names of their packages."""
    lines = requirement_lines(model_path)
    return {canonicalize_name(one.name): one for line in lines if (one := parse(line))}


def parse(line: str) -> Requirement | None:
    """Parse a requirement; None for a path or an option of pip."""
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def is_index(line: str) -> bool:
    """Return whether a line is an option of pip for a package index."""
    options = ("-i ", "--index-url", "--extra-index-url", "-f ", "--find-links")
    return line.startswith(options)


def without_password(requirement: str) -> str:
    """Remove the user and the password from the URL of a requirement."""
    return re.sub(r"://[^/@\s]+@", "://", requirement)


def installed_version(name: str) -> str | None:
    """Return the installed version of a package, or None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
