"""Links from answers on the chat page to their traces."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.chat_page.pages import Open, finished_turn, send_message, trace_id
from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.server.serving import TOKYO, Serve, Served, free_port, mlflow_server, wait_until


def test_the_page_shows_the_trace_id_and_the_command_and_link_of_the_viewer(
    served: Served, open_page: Open
) -> None:
    page = open_page(served)
    send_message(page, TOKYO)
    turn = finished_turn(page)
    trace = trace_id(turn)
    expect(turn.locator("details.trace")).to_contain_text("uv run mlflow ui")
    address = turn.get_by_role("link", name="Open the trace").get_attribute("href") or ""
    assert re.fullmatch(rf"http://127\.0\.0\.1:5000/#/experiments/\d+/traces\?\w+={trace}", address)
    wait_until(lambda: f"trace {trace}" in served.read_log())


def test_the_page_links_to_the_trace_if_its_url_is_known(served: Served, open_page: Open) -> None:
    settings = httpx.get(f"{served.url}/chat/settings").json()
    remote = {"trace_url": "https://traces.example/#/experiments/1/traces?id={trace_id}"}
    settings.pop("trace_command")
    page = open_page(served)
    page.route("**/chat/settings", lambda route: route.fulfill(json=settings | remote))
    page.reload()
    send_message(page, TOKYO)
    link = finished_turn(page).get_by_role("link", name="Trace")
    address = link.get_attribute("href") or ""
    assert re.fullmatch(r"https://traces\.example/#/experiments/1/traces\?id=tr-\w+", address)
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_the_link_opens_the_trace_in_mlflow(
    serve: Serve, agent: Agent, open_page: Open, tmp_path: Path
) -> None:
    with mlflow_server(agent, tmp_path, free_port()) as store:
        page = open_page(serve(AGENT_LLM="offline:/demo", MLFLOW_TRACKING_URI=store.url))
        send_message(page, TOKYO)
        trace = finished_turn(page).get_by_role("link", name="Trace")
        send_message(page, "Hello")
        finished_turn(page, count=2)
        with page.expect_popup() as opened:
            trace.first.click()
        span = opened.value.get_by_text("current_time", exact=True)
        expect(span.first).to_be_visible(timeout=60_000)
        opened.value.close()


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/7/traces?"),
        (
            "https://me:secret@mlflow.example/ml/",
            "https://mlflow.example/ml/#/experiments/7/traces?",
        ),
        ("databricks", "https://dbc.example/ml/experiments/7/traces?"),
        ("sqlite:////elsewhere/mlflow.db", "uv run mlflow ui --backend-store-uri STORE_URI"),
        ("postgresql://me:secret@db.example/x", "uv run mlflow ui --backend-store-uri STORE_URI"),
    ],
)
def test_each_store_has_a_trace_url_or_a_command(
    store: str, expected: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = package("ops.traces")
    monkeypatch.setattr(traces.mlflow, "get_tracking_uri", lambda: store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    monkeypatch.setenv("DATABRICKS_HOST", "https://dbc.example/")
    location = traces.trace_location()
    assert location.get("trace_command", location["trace_url"]).startswith(expected)
    assert location["trace_url"].endswith("/7/traces?selectedEvaluationId={trace_id}")
    assert "secret" not in str(location)
