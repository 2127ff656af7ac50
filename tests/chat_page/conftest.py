"""A browser, and servers for the chat page that the tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.chat_page.browser import browser as running_browser
from tests.chat_page.pages import Activity, Open
from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, chat_server
from tests.server.serving import Served, serving


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A real browser. Playwright runs an event loop, so `asyncio.run` fails in these tests."""
    with running_browser() as running:
        yield running


@pytest.fixture(scope="package")
def shared_llm() -> Iterator[ChatServer]:
    """The model server behind `app`. Tests use `llm`."""
    with chat_server() as running:
        yield running


@pytest.fixture(scope="package")
def app(
    agent: Agent, shared_llm: ChatServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The default agent behind `serve`, with `llm` as its LLM. Tests must not stop it."""
    llm = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{shared_llm.url}/v1"}
    with serving(agent, tmp_path_factory.mktemp("app"), **llm) as running:
        yield running


@pytest.fixture
def llm(shared_llm: ChatServer) -> ChatServer:
    """The LLM of `app`, without recorded requests. The test sets its turns."""
    shared_llm.turns.clear()
    shared_llm.bodies.clear()
    shared_llm.disconnected.clear()
    return shared_llm


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open the chat page with an empty profile. Errors and external requests fail the test."""
    opened: list[tuple[Page, Activity]] = []

    def open_page(served: Served, **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(20_000)
        opened.append((page, Activity(page, served.url)))
        page.goto(served.url)
        return page

    yield open_page
    for page, activity in opened:
        # The browser reports stopped and rejected requests itself.
        problems = [text for text in activity.problems if "Failed to load resource" not in text]
        assert problems == []
        assert activity.external_requests == []
        page.context.close()
