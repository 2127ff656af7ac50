"""What a reader does in the chat page, and what the page must never do."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.helpers.model_server import calls, text

TOOL = calls(("current_time", {"place": "Tokyo"}))
PLAIN = text("It is late.")
# All that an LLM writes, as a rule.
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


class Watch:
    """What a page must never do: fail, say so in the console, or speak to another server."""

    def __init__(self, page: Page) -> None:
        self.noticed: list[str] = []
        self.addresses: list[str] = []
        page.on("pageerror", lambda error: self.noticed.append(str(error)))
        page.on("console", lambda message: self.noticed.append(message.text))
        page.on("dialog", lambda dialog: self.noticed.append(dialog.message))
        page.on("request", lambda request: self.addresses.append(request.url))

    def strangers(self, url: str) -> list[str]:
        """The addresses that were asked for elsewhere."""
        return [address for address in self.addresses if not address.startswith(f"{url}/")]


def say(page: Page, message: str) -> None:
    """Type a message and send it."""
    page.get_by_label("Your message").fill(message)
    page.keyboard.press("Enter")


def answered(page: Page, turns: int = 1) -> Locator:
    """The last turn, once so many are there and it has ended."""
    expect(page.get_by_role("article")).to_have_count(turns, timeout=20_000)
    last = page.get_by_role("article").last
    expect(last.get_by_role("button", name="Retry")).to_be_visible(timeout=20_000)
    return last


def trace_of(turn: Locator) -> str:
    """The name of a turn's trace, unfolded."""
    turn.get_by_text("Trace", exact=True).click()
    return turn.locator("details.trace pre").first.inner_text()


def message_of(turn: Locator) -> Locator:
    return turn.locator(".message")
