"""`app.yaml` starts the server as Databricks Apps does, with a fake workspace."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import Render
from tests.helpers.agents import Agent, clean_environment, install
from tests.server.serving import (
    HELLO,
    Served,
    free_port,
    output_text,
    wait_until,
    wait_until_healthy,
)

EXPERIMENT = {"experiment_id": "42", "name": "/Shared/weather", "lifecycle_stage": "active"}
# The app's resources, by the keys that the README names; `valueFrom` refers to them.
RESOURCES = {"experiment": "42"}


@dataclass
class Workspace:
    """A fake workspace with one experiment, and the traces that it received."""

    url: str
    traces: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A running fake workspace."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def respond(self, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            is_experiment = self.path.startswith("/api/2.0/mlflow/experiments/get?experiment_id=42")
            self.respond({"experiment": EXPERIMENT} if is_experiment else {})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/api/3.0/mlflow/traces":
                running.traces.append(body["trace"]["trace_info"])
            self.respond({})

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = Workspace(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        server.shutdown()


@pytest.fixture
def databricks_agent(render: Render, tmp_path: Path) -> Agent:
    """A project with an LLM on Databricks, installed as Databricks Apps does."""
    folder = tmp_path / "weather-agent"
    shutil.copytree(render(llm="databricks:/an-endpoint"), folder)
    return install(folder)


def variables(app: dict[str, Any]) -> dict[str, str]:
    """Return the variables that `app.yaml` sets, with the values of the resources."""
    return {
        entry["name"]: entry["value"] if "value" in entry else RESOURCES[entry["valueFrom"]]
        for entry in app["env"]
    }


def test_other_projects_have_no_app_yaml(default_project: Path) -> None:
    assert not (default_project / "app.yaml").exists()
    assert "Databricks Apps" not in (default_project / "README.md").read_text(encoding="utf-8")


def test_apps_install_with_uv_only(databricks_agent: Agent) -> None:
    names = {path.name for path in databricks_agent.folder.iterdir()}
    assert {"pyproject.toml", "uv.lock"} <= names
    assert not {"requirements.txt", "package.json"} & names


def test_app_serves_at_its_port_and_traces_to_its_experiment(
    databricks_agent: Agent, workspace: Workspace, tmp_path: Path
) -> None:
    app = yaml.safe_load((databricks_agent.folder / "app.yaml").read_text(encoding="utf-8"))
    assert app.keys() == {"command", "env"}
    assert app["command"][-2:] == ["--host", "0.0.0.0"]
    port, log = free_port(), tmp_path / "serve.log"
    environment = {
        "DATABRICKS_APP_PORT": str(port),
        "DATABRICKS_APP_NAME": "weather",
        "DATABRICKS_HOST": workspace.url,
        "DATABRICKS_TOKEN": "dapi-1",
        "AGENT_LLM": "offline:/demo",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            app["command"],
            cwd=databricks_agent.folder,
            env=clean_environment() | environment | variables(app),
            stderr=output,
        )
    served = Served(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_healthy(served)
        info = httpx.get(f"{served.url}/agent/info").json()
        assert (info["name"], info["use_case"], info["agent_api"]) == (
            "weather",
            "agent",
            "responses",
        )
        assert output_text(served.post(HELLO, "invocations").json())
        wait_until(lambda: workspace.traces)
    finally:
        process.terminate()
        process.wait(60)
    (trace,) = workspace.traces
    assert trace["trace_location"]["mlflow_experiment"] == {"experiment_id": "42"}
