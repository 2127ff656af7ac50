"""The default agent over HTTP: responses, streams, failures, and the processes of `serve`."""

import base64
import json
import re
import socket
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.conftest import RunApp
from tests.server.serving import (
    HELLO,
    TOKYO,
    Serve,
    Served,
    free_port,
    hides_internals,
    is_running,
    output_text,
    port_of,
    wait_until,
)


def test_openai_client_gets_a_complete_response(served: Served) -> None:
    answer = served.client().responses.create(model="agent", input=TOKYO)
    assert re.fullmatch(r"resp_\w+", answer.id)
    assert (answer.status, answer.model, answer.object) == (
        "completed",
        "weather-agent",
        "response",
    )
    assert abs(answer.created_at - time.time()) < 60
    assert "Asia/Tokyo" in answer.output_text
    kinds = [item.type for item in answer.output]
    assert kinds == ["function_call", "function_call_output", "message"]


def test_usage_is_part_of_responses_and_streams(server: ChatServer, run_agent: RunApp) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    server.reply(Turn(text("Hello"), usage=usage))
    client = run_agent().client()
    complete = client.responses.create(model="agent", input="Hello")
    with client.responses.stream(model="agent", input="Hello") as stream:
        streamed = stream.get_final_response()
    for response in (complete, streamed):
        assert response.usage
        assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 2)
        assert response.usage.total_tokens == 9


def test_events_have_numbers_and_positions(served: Served) -> None:
    *events, last = served.events({"input": TOKYO})
    assert [event["sequence_number"] for event in [*events, last]] == [*range(len(events) + 1)]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == [0, 1, 2]
    assert last["response"]["output"] == [event["item"] for event in done]
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["item"]["id"] for event in added] == [event["item"]["id"] for event in done]


def test_conversation_continues_with_the_output_items(served: Served) -> None:
    client = served.client()
    first = client.responses.create(model="agent", input=TOKYO)
    turns: Any = [{"role": "user", "content": TOKYO}]
    turns += [item.model_dump(exclude_none=True) for item in first.output]
    turns += [{"role": "user", "content": "What time is it in Paris?"}]
    assert "Europe/Paris" in client.responses.create(model="agent", input=turns).output_text


def test_client_that_offers_http_2(served: Served) -> None:
    settings = base64.urlsafe_b64encode(bytes.fromhex("000300000064")).decode()
    upgrade = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": settings,
    }
    assert "Asia/Tokyo" in output_text(served.post({"input": TOKYO}, headers=upgrade).json())


def test_client_that_speaks_http_1_0(served: Served) -> None:
    body = json.dumps({"input": TOKYO, "stream": True}).encode()
    address = httpx.URL(served.url)
    with socket.create_connection((address.host, address.port or 80), timeout=60) as connection:
        head = f"POST /responses HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        response = connection.makefile("rb").read()
    headers, _, content = response.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in headers.lower()
    assert content.startswith(b"data: {")
    assert content.endswith(b"data: [DONE]\n\n")


def test_idle_connections_stay_open(served: Served) -> None:
    with closing(HTTPConnection("127.0.0.1", port_of(served.url), timeout=60)) as connection:
        for pause in (0, 6):  # seconds; the default of uvicorn is 5
            time.sleep(pause)
            connection.request("GET", "/health")
            response = connection.getresponse()
            assert (response.status, response.will_close) == (200, False)
            response.read()
            assert connection.sock  # `request` would connect again


def test_large_headers_are_accepted(served: Served) -> None:
    headers = {"x-forwarded-access-token": "t" * 40_000}
    assert served.post(HELLO, headers=headers).status_code == httpx.codes.OK


def test_server_passes_the_contract(agent: Agent, served: Served) -> None:
    output = agent.check("weather-agent", "verify", "--json", "--url", served.url)
    results = [finding["result"] for finding in json.loads(output)["rules"]]
    assert results.count("passed") >= 15
    assert "failed" not in results


def test_failing_llm_is_a_502_without_details(
    server: ChatServer, run_agent: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = run_agent()
    server.reply(Turn(status=500, error="secret-7 of /opt/model.py"))
    response = app.post(HELLO)
    assert response.status_code == httpx.codes.BAD_GATEWAY
    events = list(app.events(HELLO))
    assert [event["type"] for event in events] == ["response.created", "error", "response.failed"]
    for body in (response.text, json.dumps(events)):
        assert hides_internals(body)
        assert "secret-7" not in body
        (error_id,) = set(re.findall(r"See error (\w+) in", body))
        assert f"Error {error_id}" in caplog.text
    assert caplog.text.count("LLMError: openai:/m returned status 500: secret-7") == 2
    server.reply(text("Good day"))
    assert output_text(app.post(HELLO).json()) == "Goodday"


def test_server_starts_without_a_store(serve: Serve, server: ChatServer) -> None:
    server.reply(text("Good day"))
    served = serve(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert output_text(served.post(HELLO).json()) == "Goodday"
    log = served.read_log()
    assert log.count("Tracing is off until the server restarts") == 1
    untraced = re.compile(r"POST /responses 200 .* trace -$", re.MULTILINE)
    wait_until(lambda: untraced.search(served.read_log()))
    assert "Retrying" not in log


def test_several_workers_share_a_new_store(serve: Serve, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    served = serve("--workers=2", AGENT_LLM="offline:/demo", MLFLOW_TRACKING_URI=new)
    answers = [output_text(served.post(HELLO).json()) for _ in range(6)]
    assert len(set(answers)) == 1
    wait_until(lambda: "LLM: offline:/demo. Traces: sqlite:" in served.read_log())
    assert served.read_log().count(f"Serving at {served.url} ") == 1
    workers = served.child_processes()
    assert served.stop()
    wait_until(lambda: not any(map(is_running, workers)))
    lines = re.findall(r"INFO POST /responses 200 in .*", served.read_log())
    assert len(lines) == 6


@pytest.mark.proof
def test_reload_restarts_when_the_package_changes(agent: Agent, serve: Serve) -> None:
    served = serve("--reload", AGENT_LLM="offline:/demo")
    project = agent.package / "ops" / "project.py"
    instructions = agent.package / "instructions.md"
    before = project.read_text(encoding="utf-8"), instructions.read_text(encoding="utf-8")

    def model() -> str | None:
        with suppress(httpx.TransportError):
            return served.post(HELLO).json()["model"]
        return None

    assert model() == "weather-agent"
    wait_until(lambda: f"Serving at {served.url} " in served.read_log())
    try:
        project.write_text(before[0].replace('"weather-agent"', '"other-agent"'), encoding="utf-8")
        wait_until(lambda: model() == "other-agent")
        instructions.write_text("Be brief.\n", encoding="utf-8")
        wait_until(lambda: "instructions.md" in served.read_log())
    finally:
        project.write_text(before[0], encoding="utf-8")
        instructions.write_text(before[1], encoding="utf-8")
    assert served.stop()


def test_reload_shows_where_a_type_error_comes_from(agent: Agent, serve: Serve) -> None:
    served = serve("--reload", AGENT_LLM="offline:/demo")
    code = agent.package / "agent.py"
    before = code.read_text(encoding="utf-8")
    try:
        code.write_text(f"{before}\nlen(5)\n", encoding="utf-8")
        wait_until(lambda: "object of type 'int' has no len()" in served.read_log())
        assert "    len(5)" in served.read_log()
    finally:
        code.write_text(before, encoding="utf-8")
    assert served.stop()


RUN_SERVE = """
import sys
from weather_agent.commands.cli import main
try:
    main(["serve", *sys.argv[1:]])
finally:
    print("mlflow" in sys.modules)
"""


def test_serve_reports_its_addresses_llm_and_store(serve: Serve) -> None:
    served = serve(AGENT_LLM="offline:/demo")
    wait_until(lambda: "LLM: " in served.read_log())
    first, second, *_ = served.read_log().splitlines()
    assert first.endswith(
        f" INFO Serving at {served.url} (chat page) and {served.url}/responses (API)."
    )
    assert re.search(r" LLM: offline:/demo. Traces: sqlite:///\S+/mlflow.db. Press Ctrl", second)


def test_an_error_while_the_agent_is_imported_has_a_traceback(
    agent: Agent,
) -> None:
    tools = agent.folder / "src/weather_agent/tools.py"
    with agent.patched("tools.py", "TOOLS = [", "TOOLS = len(7), ["):
        done = agent.run("weather-agent", "--debug", "serve", f"--port={free_port()}")
    assert done.returncode == 1
    assert f'File "{tools}"' in done.stderr
    assert "object of type 'int' has no len()" in done.stderr


def test_port_in_use_is_an_error_before_mlflow_is_imported(served: Served, agent: Agent) -> None:
    done = agent.run("python", "-c", RUN_SERVE, f"--port={port_of(served.url)}")
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert done.stderr == (
        f"error: Port {port_of(served.url)} is in use. Stop the program that uses it, or pass "
        "another --port.\n"
    )
