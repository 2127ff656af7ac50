"""The access log: one line per request to the agent."""

import asyncio
import json
import logging
import re
import threading
from typing import Any

import httpx
import pytest
from mlflow.types.responses import ResponsesAgentRequest

from tests.server.conftest import RunApp
from tests.server.scripted import STREAM, Events, answer_with, delta, message
from tests.server.serving import HELLO, access_log, wait_until


def test_access_log(run_app: RunApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")

    async def answer(_request: ResponsesAgentRequest) -> Events:
        await asyncio.sleep(0.05)
        yield delta("Hi")
        await asyncio.sleep(0.05)
        yield message("Hi")

    app = run_app(answer, token="sesame")
    token = {"authorization": "Bearer sesame"}
    app.post(HELLO, headers=token)
    app.post(STREAM, "invocations", headers=token)
    app.post({"input": []}, headers=token)
    app.post(HELLO)
    httpx.get(f"{app.url}/health")
    wait_until(lambda: len(access_log(caplog)) == 4)
    traced = r"in (\d+\.\d{3}) s, first event (\d+\.\d{3}) s, trace tr-\w+"
    untraced = r"in \d+\.\d{3} s, first event -, trace -"
    for line, pattern in zip(
        access_log(caplog),
        (
            f"POST /responses 200 {traced}",
            f"POST /invocations 200 {traced}",
            f"POST /responses 400 {untraced}",
            f"POST /responses 401 {untraced}",
        ),
        strict=True,
    ):
        match = re.fullmatch(pattern, line)
        assert match, line
        if match.groups():
            total, first = map(float, match.groups())
            assert 0.05 <= first <= total - 0.05


def test_access_log_of_a_disconnect_before_the_end_of_the_body(
    run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    with run_app(answer_with("Hi")).open_request(b"{", length=100):
        pass
    wait_until(lambda: access_log(caplog))
    (line,) = access_log(caplog)
    assert line.startswith("POST /responses disconnected in 0.")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_access_log_of_a_disconnect(
    body: dict[str, Any], run_app: RunApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "weather_agent.server")
    started, closed = threading.Event(), threading.Event()

    async def answer(_request: ResponsesAgentRequest) -> Events:
        try:
            started.set()
            await asyncio.sleep(60)
            yield message("too late")
        finally:
            closed.set()

    app = run_app(answer)
    with app.open_request(json.dumps(body).encode()):
        assert started.wait(10)
    assert closed.wait(5), "The agent was not cancelled."
    wait_until(lambda: access_log(caplog))
    (line,) = access_log(caplog)
    assert line.startswith("POST /responses disconnected in 0.")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
