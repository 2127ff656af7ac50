"""A real browser and the chat page in it."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.chat_page.browser import browser as running_browser
from tests.chat_page.pages import Open, Watch
from tests.server.serving import Served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser; asyncio.run fails while it is there."""
    with running_browser() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the chat page in a browser that knows nothing yet; all is quiet at the end."""
    opened: list[tuple[str, Page, Watch]] = []

    def open_page(served: Served, *, loud: bool = False, **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(20_000)
        watch = Watch(page)
        if not loud:
            opened.append((served.url, page, watch))
        page.goto(served.url)
        return page

    yield open_page
    for url, page, watch in opened:
        # Stopped and refused requests are noted by the browser itself.
        noticed = [said for said in watch.noticed if "Failed to load resource" not in said]
        assert noticed == []
        assert watch.strangers(url) == []
        page.context.close()
