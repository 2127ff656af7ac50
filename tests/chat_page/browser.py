"""Debian's Chromium without a window, for tests of the chat page and for pictures of it."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, as continuous integration runs as root; no word to the browser's maker.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of the browser.

    Raises:
        AssertionError: there is none.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "No Chromium is on PATH, which the chat page is tested in: apt install chromium."
    return found


@contextmanager
def browser() -> Generator[Browser]:
    """A running browser."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        try:
            yield running
        finally:
            running.close()
