"""`evaluate --url`: what the server at the URL answers."""

import json
from typing import Any
from unittest.mock import Mock

import httpx
import mlflow
import pytest

from tests.conftest import Package

URL = "http://agent.example"
MESSAGE = {"type": "message", "id": "1", "role": "assistant", "content": []}


@pytest.fixture
def answer(package: Package, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that sets what the server answers, and returns the module."""
    remote = package("ops.remote")

    def answers(body: object, status: int = 200) -> Any:
        text = body if isinstance(body, str) else json.dumps(body)
        response = httpx.Response(status, text=text)
        monkeypatch.setattr(httpx, "post", lambda *_, **__: response)
        return remote

    return answers


@pytest.mark.parametrize("status", [302, 401, 403])
def test_a_server_that_demands_a_login_is_reported(answer: Any, status: int) -> None:
    """Databricks Apps redirects to its login."""
    with pytest.raises(RuntimeError, match=f"answered {status}. Set AGENT_TOKEN to a token"):
        answer("", status).require_agent_at(URL)


@pytest.mark.parametrize("status", [404, 405])
def test_a_url_without_an_agent_is_reported(answer: Any, status: int) -> None:
    with pytest.raises(RuntimeError, match=f"No agent answers at {URL}/invoc.*{status}"):
        answer("", status).require_agent_at(URL)


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_errors_contain_no_password(answer: Any, status: int) -> None:
    remote = answer("<html>", status)
    check = remote.require_agent_at if status in (401, 404) else remote.respond_at
    options = {} if status in (401, 404) else {"request": {}, "timeout": 1}
    with pytest.raises(RuntimeError, match=r"http://joe:\*\*\*@agent.example") as raised:
        check("http://joe:hunter2@agent.example", **options)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("status", [302, 429, 500])
def test_a_status_that_is_no_success_fails_the_case(answer: Any, status: int) -> None:
    with pytest.raises(RuntimeError, match=f"{URL} answered {status}: Busy"):
        answer("Busy", status).respond_at(URL, {}, timeout=1)


def test_a_server_that_does_not_answer_in_time_is_reported(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpx, "post", Mock(side_effect=httpx.ReadTimeout("timed out")))
    with pytest.raises(RuntimeError, match=f"^{URL} did not answer within 60 s. Check its log"):
        package("ops.remote").require_agent_at(URL)


@pytest.mark.parametrize(
    "body", ["<html>", "", [1], None, {"choices": []}, {"output": None}, {"output": ["a"]}]
)
def test_other_answers_fail_the_case(answer: Any, body: object) -> None:
    with pytest.raises(RuntimeError, match="did not answer with a response of the Responses API"):
        answer(body).respond_at(URL, {}, timeout=1)


def test_the_trace_has_the_tokens_of_the_answer(answer: Any) -> None:
    usage = {"input_tokens": 20, "output_tokens": 3, "total_tokens": 23}
    remote = answer({"output": [MESSAGE], "usage": usage | {"input_tokens_details": None}})
    with mlflow.start_span("case") as span:
        remote.respond_at(URL, {}, timeout=1)
    trace = mlflow.get_trace(span.trace_id)
    assert trace is not None
    assert trace.info.token_usage == usage


@pytest.mark.parametrize("arguments", ["", "{", "{}"])
def test_calls_with_unusual_arguments_do_not_fail_the_case(answer: Any, arguments: str) -> None:
    call = {"type": "function_call", "call_id": "1", "name": "now", "arguments": arguments}
    response = {"output": [call, MESSAGE]}
    assert answer(response).respond_at(URL, {}, timeout=1) == response


@pytest.mark.parametrize("content", ["Hello", None, [{"type": "output_text", "text": None}]])
def test_the_report_shows_invalid_responses(package: Package, content: object) -> None:
    """The scorer `contract` fails, and nothing is lost."""
    response = {"output": [MESSAGE | {"content": content}]}
    assert package("ops.evaluate").response_text(response) == json.dumps(response)
