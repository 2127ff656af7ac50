"""The way from an answer in the chat page to its trace."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.chat_page.pages import Open, answered, say, trace_of
from tests.conftest import Package
from tests.helpers.agents import Agent
from tests.server.serving import TOKYO, Serve, Served, free_port, mlflow_server, wait_until


def test_the_trace_is_named_with_the_command_that_shows_it(
    agent: Agent, served: Served, open_page: Open
) -> None:
    page = open_page(served)
    say(page, TOKYO)
    turn = answered(page)
    trace = trace_of(turn)
    expect(turn.locator("details.trace")).to_contain_text("uv run mlflow ui")
    wait_until(lambda: f"trace {trace}" in served.log.read_text(encoding="utf-8"))


def test_the_trace_is_a_link_where_a_website_shows_it(served: Served, open_page: Open) -> None:
    settings = httpx.get(f"{served.url}/chat_page/settings.json").json()
    elsewhere = {"trace_url": "https://traces.example/#/experiments/1/traces?id={trace_id}"}
    page = open_page(served)
    page.route("**/settings.json", lambda route: route.fulfill(json=settings | elsewhere))
    page.reload()
    say(page, TOKYO)
    link = answered(page).get_by_role("link", name="Trace")
    address = link.get_attribute("href") or ""
    assert re.fullmatch(r"https://traces\.example/#/experiments/1/traces\?id=tr-\w+", address)
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_the_link_opens_the_trace_in_mlflow(
    serve: Serve, agent: Agent, open_page: Open, tmp_path: Path
) -> None:
    with mlflow_server(agent, tmp_path, free_port()) as store:
        page = open_page(serve(AGENT_LLM="offline:/demo", MLFLOW_TRACKING_URI=store.url))
        say(page, TOKYO)
        asked = answered(page).get_by_role("link", name="Trace")
        say(page, "Hello")
        answered(page, turns=2)
        with page.expect_popup() as opened:
            asked.first.click()
        span = opened.value.get_by_text("current_time", exact=True)
        expect(span.first).to_be_visible(timeout=60_000)
        opened.value.close()


@pytest.mark.parametrize(
    ("store", "shown_by"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/7/traces?"),
        (
            "https://me:secret@mlflow.example/ml/",
            "https://mlflow.example/ml/#/experiments/7/traces?",
        ),
        ("databricks", "https://dbc.example/ml/experiments/7/traces?"),
        ("sqlite:////elsewhere/mlflow.db", 'uv run mlflow ui --backend-store-uri "$'),
        ("postgresql://me:secret@db.example/x", 'uv run mlflow ui --backend-store-uri "$'),
    ],
)
def test_each_store_is_shown_where_it_can_be(
    store: str, shown_by: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = package("page")
    monkeypatch.setattr(page.mlflow, "get_tracking_uri", lambda: store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    monkeypatch.setenv("DATABRICKS_HOST", "https://dbc.example/")
    (shown,) = page.where_traces_are().values()
    assert shown.startswith(shown_by)
    assert "secret" not in shown
    assert shown.startswith("uv run") or shown.endswith("selectedEvaluationId={trace_id}")
