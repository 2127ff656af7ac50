"""Runs an agent with MLflow alone, without the contract, from import to serving.

`workbench_program.py` calls `try_all` in the agent's folder and environment. As a program, this
file loads a model and calls it.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc

Request = dict[str, Any]

PLAIN_REQUEST: Request = {"input": [{"role": "user", "content": "Hello, who are you?"}]}


class NoticedError(Exception):
    """A step failed without an exception of its own."""


def try_all(package: str, folder: Path, notes: Path, *, has_provider: bool) -> None:
    """Do what the developer of an agent does, step by step, until a step fails.

    Args:
        package: The name of the agent's package.
        folder: An empty folder for MLflow's store.
        notes: A file to which the name of each step is added when it starts, and `end` after the
            last step. If a step hangs or ends the process, its name is the last line.
        has_provider: Whether OpenAI answers, for agents with a client of their own.
    """
    provider = provider_variables() if has_provider else {}
    os.environ |= provider
    os.environ["AGENT_LLM"] = "offline:/demo"
    store = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(store)
    mlflow.create_experiment("alone", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("alone")
    steps = Steps(package, folder, provider)
    for name, step in steps.all().items():
        with notes.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
        step()
    with notes.open("a", encoding="utf-8") as file:
        file.write("end\n")


def provider_variables() -> dict[str, str]:
    """Start the server that takes the provider's place, and return the variables that select it."""
    sys.path.append("tests/contract")
    return importlib.import_module("harness.provider").Provider().variables()


class Steps:
    """The steps of a developer; each raises the exception of MLflow if it fails."""

    def __init__(self, package: str, folder: Path, provider: dict[str, str]) -> None:
        self.package = package
        self.folder = folder
        self.provider = provider
        self.path = Path()
        self.model: Any = None
        self.requests: list[Request] = [PLAIN_REQUEST]

    def all(self) -> dict[str, Callable[[], None]]:
        """Return the steps by name, in order."""
        return {
            "import": self.import_agent,
            "log_model": self.log_model,
            "load_model": self.load_model,
            "predict": self.predict,
            "predict_stream": self.predict_stream,
            "served": self.serve,
            "another process": self.answer_elsewhere,
        }

    def import_agent(self) -> None:
        importlib.import_module(f"{self.package}.agent")

    def log_model(self) -> None:
        logged = importlib.import_module(f"{self.package}.ops.log_model").log_agent()
        self.path = Path(mlflow.artifacts.download_artifacts(logged.model_uri))

    def load_model(self) -> None:
        self.model = mlflow.pyfunc.load_model(str(self.path))
        self.requests.append(input_example(self.path))

    def predict(self) -> None:
        for request in self.requests:
            self.model.predict(request)

    def predict_stream(self) -> None:
        for request in self.requests:
            list(self.model.predict_stream(request))

    def serve(self) -> None:
        """Request a complete response and a stream from MLflow's server."""
        import httpx

        serving = importlib.import_module("plain_server").serving
        with serving(self.model.get_raw_model()) as url:
            for body in (PLAIN_REQUEST, PLAIN_REQUEST | {"stream": True}):
                response = httpx.post(f"{url}/invocations", json=body, timeout=60)
                if response.status_code != httpx.codes.OK or 'data: {"error"' in response.text:
                    raise NoticedError(response.text)

    def answer_elsewhere(self) -> None:
        """Load the model in another process and folder, without other credentials."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(elsewhere),
            "AGENT_LLM": "offline:/demo",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
            **self.provider,
        }
        process = subprocess.Popen(
            [sys.executable, __file__, self.path, Path.cwd()], cwd=elsewhere, env=environment
        )
        if process.wait():
            raise NoticedError("The process failed.")


def input_example(model: Path) -> Request:
    """Return the request that was saved with a model."""
    return json.loads((model / "input_example.json").read_text(encoding="utf-8"))


def main(path: Path, repository: Path) -> None:
    """Load a model without its repository, and call it with its own input example."""
    sys.path = [entry for entry in sys.path if Path(entry) != repository / "src"]
    model: Any = mlflow.pyfunc.load_model(str(path))
    model.predict(input_example(path))
    list(model.predict_stream(input_example(path)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
