"""Takes the README's screenshots of the chat page, from a new agent and its server.

A local model server replies with the texts in this file, so no account is needed.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser

from tests.chat_page.browser import browser
from tests.helpers.agents import install
from tests.helpers.model_server import ChatServer, Turn, calls, chat_server
from tests.server.serving import Served, serving

ROOT = Path(__file__).parents[1]
QUESTION = "When is it noon in Tokyo, and how do I compute that?"
ANSWER = """It is the middle of the night in Europe then:

| place  | at noon in Tokyo |
|:-------|-----------------:|
| Berlin |            04:00 |
| Lisbon |            03:00 |

With `zoneinfo`, which knows **summer time** as well:

```python
noon = datetime(2026, 11, 24, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
print(noon.astimezone(ZoneInfo("Europe/Berlin")))
```
"""


def main() -> None:
    """Create an agent in a temporary folder, serve it, and take both screenshots."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "weather-agent"
        copy = ("copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD")
        subprocess.run([*copy, "--data=project_name=weather-agent", ROOT, folder], check=True)
        agent = install(folder)
        with chat_server() as llm:
            variables = {"AGENT_LLM": "openai:/m", "OPENAI_BASE_URL": f"{llm.url}/v1"}
            # The default store of an agent, so that the page shows the short trace command.
            variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
            with serving(agent, Path(temporary), **variables) as served, browser() as running:
                take_screenshot("light", 900, running, served, llm)
                take_screenshot("dark", 690, running, served, llm)


def take_screenshot(
    scheme: Literal["light", "dark"],
    height: int,
    running: Browser,
    served: Served,
    llm: ChatServer,
) -> None:
    """Ask the agent and take a screenshot. The light one shows the tool call expanded."""
    tool = calls(("current_time", {"place": "Tokyo"}))
    llm.reply(Turn(tool), Turn([{"content": ANSWER}]))
    page = running.new_page(viewport={"width": 820, "height": height}, color_scheme=scheme)
    page.goto(served.url)
    page.get_by_label("Your message").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Retry").wait_for()
    if scheme == "light":
        page.locator("details.item summary").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    picture = ROOT / "docs" / f"chat_page_{scheme}.png"
    page.screenshot(path=picture)
    page.close()
    print(f"Took {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
