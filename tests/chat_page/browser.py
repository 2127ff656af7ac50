"""A headless Chromium, for tests of the chat page and for pictures of it.

`python -m tests.chat_page.browser` starts it and prints its version.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.helpers.template import ROOT

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium's sandbox refuses root, which CI runs as. The other options keep it off the network.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def system_chromium() -> str | None:
    """Return the path of the Chromium on PATH; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Generator[Browser]:
    """Run a browser: the system's Chromium, or else the one that `make browser` downloaded."""
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(ROOT / ".uv" / "browsers"))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=system_chromium(), args=OPTIONS)
        try:
            yield running
        finally:
            running.close()


if __name__ == "__main__":
    with browser() as started:
        print(f"Chromium {started.version}")
