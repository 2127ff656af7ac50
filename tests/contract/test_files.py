"""The rule about files: how it reads .dockerignore, and which files it ignores."""

import runpy

import pytest

from tests.contract.breakages.changes import Patch, new_file
from tests.contract.workbench import Workbench
from tests.helpers.template import TEMPLATE

DATA = "src/agent/data/cities.csv"


@pytest.mark.parametrize(
    ("lines", "ignored"),
    [
        ([], False),
        (["*"], True),
        (["*", "!src"], False),
        (["*", "!/src/"], False),
        (["*", "!src/agent/*.py"], True),
        (["src/*/data"], True),
        (["src/*.csv"], False),
        (["src/**/*.csv"], True),
        (["**/*.csv"], True),
        (["**/data/**"], True),
        (["*.csv"], False),
        (["data"], False),
        (["./src/agent/data/"], True),
        (["src/agent/data/c?ties.[a-c]sv"], True),
        (["# src", "", "  src/agent/data  ", "! src/agent/data/cities.csv"], False),
        (["!src/agent/data", "src/agent/data"], True),
        (["src/agent/data/cities_csv", "src/agent/dat"], False),
    ],
)
def test_patterns_of_dockerignore(lines: list[str], ignored: bool) -> None:
    file = TEMPLATE / "tests/contract/harness/dockerignore.py"
    assert runpy.run_path(str(file))["is_ignored"](DATA, lines) == ignored


def test_files_that_no_developer_writes(workbench: Workbench) -> None:
    patches = [
        new_file("src/weather_agent/.cache", "x"),
        new_file("src/weather_agent/stale.pyc", "x"),
        Patch(".gitignore", ".venv/\n", ".venv/\n.cache\n"),
        new_file("src/weather_agent/cities.csv", "Oslo\n"),
    ]
    with workbench.agent.changed(patches):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "passed", finding.found


def test_a_wheel_that_needs_other_packages_is_not_built(workbench: Workbench) -> None:
    old, new = 'requires = ["hatchling>=1.26"]', 'requires = ["hatchling", "no-such-plugin"]'
    with workbench.agent.patched("pyproject.toml", old, new):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "passed", finding.found


def test_a_wheel_that_cannot_be_built(workbench: Workbench) -> None:
    with workbench.agent.patched("pyproject.toml", 'readme = "README.md"', 'readme = "READ.md"'):
        finding = workbench.findings("same-files")["same-files"]
    assert finding.result == "failed"
    assert finding.found == "The wheel cannot be built: Readme file does not exist: READ.md."


DOCKERFILES = {
    "a shell, here-documents and a variable": """
FROM python:3.12-slim AS build
ARG EXTRA=dist
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/
COPY --chown=10001:10001 pyproject.toml \\
    # The lock file pins all packages.
    uv.lock README.md ./
COPY ["src", "/app/src"]
COPY <<EOF /etc/agent.conf
copy nothing
EOF
RUN python - <<'PY'
from os import path
PY
ADD https://example.com/certificate.pem /etc/ssl/
COPY $EXTRA /extra
ENTRYPOINT ["tini", "--"]
CMD ["sh", "-c", "exec weather-agent serve --host=0.0.0.0 --port 8080"]
EXPOSE 8080
""",
    "a wheel that another step builds": """
FROM python:3.13
COPY .venv/*.whl /tmp/
RUN pip install /tmp/*.whl
ENV DATABRICKS_APP_PORT=80
EXPOSE 80/tcp
HEALTHCHECK --timeout=5s CMD curl --fail http://localhost/health
CMD weather-agent serve --host ::
""",
    "another server on a port in a variable": """
FROM registry.example.com/base:1
COPY ./ ./
EXPOSE $PORT
CMD ["gunicorn", "-c", "gunicorn.py", "app:app"]
""",
}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_sound_dockerfiles(workbench: Workbench, name: str) -> None:
    with workbench.agent.changed([Patch("Dockerfile", None, DOCKERFILES[name])]):
        findings = workbench.findings("same-files", "image")
    assert {rule: one.found for rule, one in findings.items() if one.result == "failed"} == {}
