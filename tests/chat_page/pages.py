"""Actions on the chat page, and a record of its errors and requests."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, Request, expect

from tests.helpers.model_server import calls, text

TOOL = calls(("current_time", {"place": "Tokyo"}))
PLAIN = text("It is late.")
# The kinds of Markdown that LLMs usually write.
MARKDOWN = """
# Title

Some *emphasis*, **strength**, ~~strokes~~, `code <b>` and [a link](https://example.com/a_b_c "t").
Broken  \nhere, not\nhere. See https://example.com/x_y_z.

1. first
   - inner
   - other
2. second

> quoted
> > twice

| left | right |
|:-----|------:|
| a    | 1 \\| 2 |

---

    indented <i>

      more

```python
print("<b>")
```
""".strip()

Open = Callable[..., Page]


class Activity:
    """Records errors, console messages, dialogs and external requests of a page."""

    def __init__(self, page: Page, url: str) -> None:
        self.problems: list[str] = []
        self.external_requests: list[str] = []
        self._url = f"{url}/"
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self.problems.append(message.text))
        page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        page.on("request", self._record_request)

    def _record_request(self, request: Request) -> None:
        if not request.url.startswith(self._url):
            self.external_requests.append(request.url)


def send_message(page: Page, message: str) -> None:
    """Type a message and send it."""
    page.get_by_label("Your message").fill(message)
    page.keyboard.press("Enter")


def finished_turn(page: Page, count: int = 1) -> Locator:
    """Wait until the page shows `count` turns and the last one is finished, and return that."""
    expect(page.get_by_role("article")).to_have_count(count, timeout=20_000)
    last = page.get_by_role("article").last
    expect(last.get_by_role("button", name="Retry")).to_be_visible(timeout=20_000)
    return last


def trace_id(turn: Locator) -> str:
    """Expand the trace section of a turn and return the trace id."""
    turn.get_by_text("Trace", exact=True).click()
    return turn.locator("details.trace pre").first.inner_text()


def agent_message(turn: Locator) -> Locator:
    """Return the agent's message in a turn."""
    return turn.locator(".message")
