"""`verify` of a logged model, and of a server at a URL."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.verify import only, results_of
from tests.helpers.agents import Agent, clean_environment

# Serves the agent until stdin is closed.
PLAIN_SERVER = Path(__file__).with_name("plain_server.py")


# Only the repository's own server guarantees these rules.
RULES_OF_OWN_SERVER = {"complete-responses", "responsive-server"}


def test_folder_without_a_model(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--model-uri", "docs")
    assert done.returncode == 1
    assert "error: docs is not a logged model: it contains no file MLmodel." in done.stderr


@pytest.fixture(scope="module")
def model_with_a_token(agent: Agent) -> str:
    """The output of `log --register` for an agent with a token in its source."""
    token = f"dapi{'0123456789abcdef' * 2}"
    with agent.patched("tools.py", "TOOLS = [", f'TOKEN = "{token}"\nTOOLS = ['):
        return agent.check("weather-agent", "log", "--register", "checked")


@pytest.mark.usefixtures("model_with_a_token")
def test_registered_model(agent: Agent) -> None:
    rules = only("task", "no-secrets", "last-turn", "print-call")
    results = results_of(agent, "--model-uri", "models:/checked/1", *rules)
    assert {rule: result for rule, (result, _) in results.items()} == {
        "task": "passed",
        "no-secrets": "failed",
        "last-turn": "passed",
        "print-call": "skipped",
    }


def test_folder_of_a_model(agent: Agent, model_with_a_token: str) -> None:
    (model,) = re.findall(r"Logged models:/(\S+)", model_with_a_token)
    folder = agent.folder / "mlartifacts" / "models" / model / "artifacts"
    result, found = results_of(agent, "--model-uri", str(folder), *only("no-secrets"))["no-secrets"]
    assert result == "failed"
    assert "tools.py:" in found


def test_missing_model(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--model-uri", "models:/no-such-model/1")
    assert done.returncode == 1
    assert "error: Could not load models:/no-such-model/1 from sqlite:///" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def mlflow_server(agent: Agent) -> Iterator[str]:
    """The URL of the agent behind MLflow's server, which guarantees less than the agent's own."""
    with subprocess.Popen(
        ["uv", "run", "--no-sync", "python", PLAIN_SERVER, agent.package.name],
        cwd=agent.folder,
        env=clean_environment() | {"AGENT_LLM": "offline:/demo"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()


def test_server_at_a_url(agent: Agent, mlflow_server: str) -> None:
    found = results_of(agent, "--url", mlflow_server)
    results = {rule: result for rule, (result, _) in found.items()}
    passed = {"every-request", "stream-text", "served-answers", "openai-client", "bad-requests"}
    assert {results[rule] for rule in passed} == {"passed"}
    assert {results[rule] for rule in RULES_OF_OWN_SERVER | {"task", "token"}} == {"skipped"}
    assert {*results.values()} == {"passed", "skipped"}
    for rule in RULES_OF_OWN_SERVER:
        assert (
            found[rule][1] == "omit --url to check what only the repository's own server guarantees"
        )


def test_settings_do_not_affect_the_agent_under_test(agent: Agent) -> None:
    rules = ("accepted", "one-trace", "token", "responsive-server", "openai-client")
    settings = {
        "AGENT_TOKEN": "a-token",
        "AGENT_MAX_REQUESTS": "1",
        "AGENT_MAX_BODY_BYTES": "1",
        "AGENT_TRACES_PER_SECOND": "many",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "SSL_CERT_FILE": "/nonexistent",
        "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "MLFLOW_TRACING_DESTINATION": "0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    results = results_of(agent, *only(*rules), **settings)
    assert results == dict.fromkeys(rules, ("passed", ""))


class TokenRecorder(BaseHTTPRequestHandler):
    """Records the tokens of all requests, which get the same answer."""

    tokens: set[str | None]
    body = json.dumps({"output": [{"type": "message", "content": [{"text": "Hello"}]}]}).encode()

    def do_POST(self) -> None:
        self.tokens.add(self.headers["Authorization"])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, the base class has it
        """Log nothing."""


def test_token_for_a_server(agent: Agent) -> None:
    TokenRecorder.tokens = set()
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenRecorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/invocations"
        options = ("--url", url, *only("last-turn"))
        done = agent.run("weather-agent", "verify", *options, AGENT_TOKEN="a-token")
        server.shutdown()
    assert "✗ last-turn" in done.stdout, done.stderr
    assert TokenRecorder.tokens == {"Bearer a-token"}


@pytest.mark.parametrize("token", ["sesame\n", "sesamë"])
def test_token_that_cannot_be_sent(agent: Agent, token: str) -> None:
    done = agent.run("weather-agent", "verify", "--url", "http://127.0.0.1:9", AGENT_TOKEN=token)
    assert done.returncode == 1
    assert "error: AGENT_TOKEN contains a space, a line break" in done.stderr
    assert "sesam" not in done.stderr


def test_unreachable_url(agent: Agent) -> None:
    done = agent.run("weather-agent", "verify", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "error: Could not reach http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
