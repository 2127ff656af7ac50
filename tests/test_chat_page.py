"""The chat page of `serve`, in a real browser, in front of the real server."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.agents import Agent
from tests.browser import browser as running_browser
from tests.conftest import Package
from tests.fakes import ChatServer, Turn, calls, text
from tests.serving import (
    Serve,
    Served,
    free_port,
    mlflow_server,
    serving,
    stored_traces,
    wait_until,
)

TOKYO = "What time is it in Tokyo?"
TOOL = calls(("current_time", {"place": "Tokyo"}))
PLAIN = text("It is late.")

# What an LLM might be made to write, to run code in the reader's page or to learn of the reader.
HOSTILE = """
<script>document.title = "taken"</script>
<img src=x onerror="document.title='taken'"> and <svg onload="document.title='taken'">
[a](javascript:document.title='taken') [b](JaVaScRiPt&colon;alert(1))
[c](data:text/html,<script>alert(1)</script>)
[d]( java\tscript:alert(1)) [e](vbscript:x) [f](//evil.example) <javascript:alert(1)> [g](file:///etc/passwd)
![tracker](https://evil.example/pixel.png) [![x](https://evil.example/y.png)](https://evil.example/z)
<iframe src="https://evil.example"></iframe><style>* {display: none}</style><base href="https://evil.example">
<a href="javascript:alert(1)">here</a> `<b onclick=alert(1)>` [x"onmouseover="alert(1)](https://evil.example/"onclick=alert(1))
""".strip()

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def served(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The default agent, answered for by the offline LLM."""
    with serving(agent, tmp_path_factory.mktemp("page")) as running:
        yield running


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


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page in a browser that knows nothing yet; all is quiet at the end."""
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


def test_an_answer_is_seen_before_it_has_ended(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say(Turn(text("one two " + "three " * 60), seconds_between=0.1))
    say(page, "Count")
    expect(message_of(page.get_by_role("article"))).to_contain_text("onetwo")
    assert page.get_by_role("button", name="Stop").is_visible()
    assert page.get_by_role("article").get_attribute("aria-busy") == "true"
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    assert "three" * 60 in message_of(answered(page)).inner_text()


def test_a_tool_is_folded_and_opened_by_keyboard(served: Served, open_page: Open) -> None:
    page = open_page(served)
    say(page, TOKYO)
    turn = answered(page)
    call = turn.locator("details.call")
    expect(call.locator("summary")).to_contain_text("current_time")
    expect(call.locator("summary")).to_contain_text("done")
    output = call.get_by_text("(Asia/Tokyo)")
    assert not output.is_visible()
    call.locator("summary").focus()
    page.keyboard.press("Enter")
    assert output.is_visible()
    assert json.loads(call.locator("pre").first.inner_text()) == {"place": "Tokyo"}
    assert "Asia/Tokyo" in message_of(turn).inner_text()


def test_a_tool_that_failed_is_marked(serve: Serve, server: ChatServer, open_page: Open) -> None:
    page = open_page(serve())
    server.say(Turn(calls(("current_time", {"place": "Nowhere"}))), Turn(PLAIN))
    say(page, "What time is it in Nowhere?")
    expect(answered(page).locator("details.call .state")).to_have_text("failed")


def test_a_tool_without_output_says_so_and_is_not_sent_back(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say(Turn(TOOL, silent_for=0), Turn(text("slow " * 200), seconds_between=0.1))
    say(page, TOKYO)
    expect(page.locator(".message")).to_contain_text("slow")
    page.get_by_role("button", name="Stop").click()
    expect(answered(page)).to_contain_text("You stopped this answer.")
    assert server.gone.wait(timeout=20), "The model goes on, though nobody listens."
    server.say(PLAIN)
    say(page, "And now?")
    answered(page, turns=2)
    roles = [message["role"] for message in server.bodies[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert "slow" not in json.dumps(server.bodies[-1]["messages"])


def test_markdown_becomes_what_it_says(serve: Serve, server: ChatServer, open_page: Open) -> None:
    page = open_page(serve())
    pieces = [MARKDOWN[at : at + 3] for at in range(0, len(MARKDOWN), 3)]
    server.say([{"content": piece} for piece in pieces])
    say(page, "Show me")
    said = message_of(answered(page))
    texts = {
        "h3": "Title",
        "em": "emphasis",
        "strong": "strength",
        "del": "strokes",
        "p > code": "code <b>",
        "ol > li > ul > li:last-child": "other",
        "blockquote blockquote": "twice",
        "td.end": "1 | 2",
    }
    assert {place: said.locator(place).inner_text() for place in texts} == texts
    codes = said.locator("pre > code").all_inner_texts()
    assert codes == ["indented <i>\n\n  more", 'print("<b>")']
    links = said.locator("a").evaluate_all("all => all.map(a => [a.href, a.target, a.rel])")
    assert links == [
        ["https://example.com/a_b_c", "_blank", "noopener noreferrer"],
        ["https://example.com/x_y_z", "_blank", "noopener noreferrer"],
    ]
    assert said.locator("br").count() == said.locator("hr").count() == 1
    assert said.locator("ol > li").count() == 2
    # However it comes in, it is the same in the end.
    server.say([{"content": MARKDOWN}])
    say(page, "Again")
    assert message_of(answered(page, turns=2)).inner_text() == said.inner_text()


def test_what_is_copied_is_what_was_written(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve(), permissions=["clipboard-read", "clipboard-write"])
    server.say(Turn(TOOL), Turn([{"content": MARKDOWN}]))
    say(page, TOKYO)
    turn = answered(page)
    turn.locator("summary").first.click()
    copied = []
    for button in turn.get_by_role("button", name=re.compile("^Cop(y|ied)$")).all():
        button.click()
        expect(button).to_have_text("Copied")
        copied.append(page.evaluate("navigator.clipboard.readText()"))
    arguments, output, *code, answer = copied
    assert json.loads(arguments) == {"place": "Tokyo"}
    assert "(Asia/Tokyo)" in output
    assert code == ["indented <i>\n\n  more", 'print("<b>")']
    assert answer == MARKDOWN


def test_a_text_that_may_not_be_copied_is_selected(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    say(page, TOKYO)
    turn = answered(page)
    turn.get_by_role("button", name="Copy", exact=True).click()
    expect(turn.get_by_role("button", name="Selected: press Ctrl+C")).to_be_visible()
    assert "Asia/Tokyo" in page.evaluate("getSelection().toString()")


# What Markdown becomes, without the attributes that all links have.
BECOMES = {
    "a &lt;i&gt; &amp; &copy;&#39;&#x41;": "<p>a &lt;i&gt; &amp; ©'A</p>",
    "&#0; &#xd800; &none; &; `&lt;`": "<p>� � &amp;none; &amp;; <code>&amp;lt;</code></p>",
    "[a](https://b.c/?d=1&amp;e=2)": '<p><a href="https://b.c/?d=1&amp;e=2">a</a></p>',
    "One\n===\n\nTwo\n---": "<h3>One</h3><h4>Two</h4>",
    "- a\n---\nb\nc\n---": "<ul><li><p>a</p></li></ul><hr><p>b\nc</p><hr>",
    "a  \nb\\\nc<br>d<BR/>e<br id=x>": "<p>a<br>\nb<br>c<br>d<br>e&lt;br id=x&gt;</p>",
    "- [ ] a\n- [x] b": "<ul><li><p>☐ a</p></li><li><p>☑ b</p></li></ul>",
    "- a\n  1. b\n     - c": "<ul><li><p>a</p><ol><li><p>b</p>"
    "<ul><li><p>c</p></li></ul></li></ol></li></ul>",
    "[*a*][1], [B][], [b]\n\n[1]: https://a.b/ 'c'\n[b]: <https://b.c/>": (
        '<p><a href="https://a.b/"><em>a</em></a>, <a href="https://b.c/">B</a>, '
        '<a href="https://b.c/">b</a></p>'
    ),
    "[a][1] [b]\n\n[1]: javascript:alert(1)": "<p>[a][1] [b]</p><p>[1]: javascript:alert(1)</p>",
    "[see [1]](https://a.b/) ![c][1]\n\n[1]: https://b.c/": '<p><a href="https://a.b/">see [1]</a> '
    '![c]<a href="https://b.c/">1</a></p>',
    "[1]: https://a.b/": '<p>1: <a href="https://a.b/">https://a.b/</a></p>',
}


def test_markdown_is_read_as_it_is_meant(served: Served, open_page: Open) -> None:
    page = open_page(served)
    program = """async (source) => {
        const { MarkdownStream } = await import("./chat_page/markdown.js");
        return [source.length, 1].map((step) => {
            const parent = document.createElement("div");
            const stream = new MarkdownStream(parent);
            for (let at = 0; at < source.length; at += step) {
                stream.write(source.slice(at, at + step));
                stream.draw();
            }
            stream.end();
            for (const node of parent.querySelectorAll("[hidden]")) node.remove();
            return parent.innerHTML;
        });
    }"""
    given = re.compile(r' (target|rel|data-defines)="[^"]*"|</?span[^>]*>')
    for source, becomes in BECOMES.items():
        whole, in_pieces = (given.sub("", html) for html in page.evaluate(program, source))
        assert whole == becomes
        assert in_pieces == whole


def test_nothing_that_the_llm_writes_runs(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say([{"content": HOSTILE[at : at + 7]} for at in range(0, len(HOSTILE), 7)])
    say(page, "Attack")
    said = message_of(answered(page))
    assert page.title() == "weather-agent"
    made = said.locator("*").evaluate_all("all => all.map(node => node.localName)")
    assert set(made) <= {"p", "a", "code"}
    links = said.locator("a").evaluate_all("all => all.map(a => new URL(a.href).protocol)")
    assert set(links) <= {"http:", "https:"}
    assert "<script>" in said.inner_text()
    attributes = said.locator("*").evaluate_all("all => all.flatMap(n => n.getAttributeNames())")
    assert set(attributes) <= {"href", "target", "rel", "class", "tabindex", "type"}


EXTREMES = {
    "stars": "*" * 1_000_000,
    "openers": "*a **b _c " * 100_000,
    "closers": "*a " * 100_000 + "b_ " * 100_000,
    "thirds": "a **b " * 100_000 + "c*d" * 100_000,
    "brackets": "[" * 500_000 + "](" * 250_000,
    "links": "[a](b" * 100_000,
    "names": "[a][b] " * 50_000 + "\n\n" + "[b]: https://a.b\n" * 20_000,
    "names in names": "[" * 10_000 + "a" + "][b]" * 10_000 + "\n\n[b]: https://a.b",
    "entities": "&amp;" * 100_000 + "&" * 500_000 + "&#" * 100_000,
    "backticks": "".join("`" * (1 + at % 900) + "a" for at in range(2_000)),
    "quotes": "> " * 500_000,
    "spaces": " " * 500_000 + "x" + "\t" * 500_000 + "|",
    "rules": "- " * 400_000 + "x",
    "dots": "https://a" + "." * 900_000 + "a",
    "lists": "\n".join(" " * (2 * at) + "- a" for at in range(400)),
    "underlines": "a\n---\n" * 20_000,
    "indented": "    x\n\n" * 100_000,
    "fence": "```\n" + "x\n" * 100_000,
    "table": "|" * 1_000 + "\n" + "|-" * 999 + "|\n" + "|a\n" * 1_000,
}


def test_no_text_makes_the_page_hang(served: Served, open_page: Open) -> None:
    page = open_page(served)
    program = """async (source) => {
        const { MarkdownStream } = await import("./chat_page/markdown.js");
        const begun = performance.now();
        const parent = document.createElement("div");
        const stream = new MarkdownStream(parent);
        stream.write(source);
        stream.end();
        let deepest = 0;
        for (const node of parent.querySelectorAll("*")) {
            if (node.firstElementChild) continue;
            let depth = 0;
            for (let up = node; up !== parent; up = up.parentNode) depth += 1;
            deepest = Math.max(deepest, depth);
        }
        return [performance.now() - begun, deepest];
    }"""
    for name, source in EXTREMES.items():
        milliseconds, depth = page.evaluate(program, source)
        assert milliseconds < 5_000, name
        assert depth < 80, name


def test_a_long_answer_costs_no_more_for_each_word(served: Served, open_page: Open) -> None:
    page = open_page(served)
    program = """async (paragraphs) => {
        const { MarkdownStream } = await import("./chat_page/markdown.js");
        const stream = new MarkdownStream(document.createElement("div"));
        const begun = performance.now();
        for (let at = 0; at < paragraphs; at += 1) {
            stream.write(`Some *words* of **one** paragraph.\\n\\n`);
            stream.draw();
            if (performance.now() - begun > 10_000) return Infinity;
        }
        return performance.now() - begun;
    }"""
    page.evaluate(program, 500)
    few, many = (min(page.evaluate(program, count) for _ in range(3)) for count in (500, 4_000))
    assert many < 8 * few * 4, "Eight times as much should take eight times as long, not 64 times."


def test_a_stopped_answer_is_marked_and_the_next_one_comes(
    serve: Serve, server: ChatServer, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(serve())
    server.say(Turn(text("word " * 500), seconds_between=0.05))
    say(page, "Talk")
    expect(page.locator(".message")).to_contain_text("word")
    page.keyboard.press("Escape")
    expect(answered(page)).to_contain_text("You stopped this answer.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert server.gone.wait(timeout=20)
    named = trace_of(answered(page))
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    wait_until(lambda: [trace.info.trace_id for trace in stored_traces(store)] == [named])
    server.say(PLAIN)
    say(page, "Enough")
    assert "late" in message_of(answered(page, turns=2)).inner_text()
    sent = [message["content"] for message in server.bodies[-1]["messages"][1:]]
    assert sent == ["Talk", "Enough"]
    expect(page.get_by_role("button", name="Retry")).to_have_count(1)


def test_a_failure_is_said_in_words_and_can_be_tried_again(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say(Turn(status=400, error="secret-7"))
    say(page, "Hello")
    failed = answered(page)
    expect(failed.locator(".error")).to_contain_text("The agent could not answer.")
    assert trace_of(failed)
    assert "secret-7" not in page.content()
    server.say(PLAIN)
    failed.get_by_role("button", name="Retry").click()
    expect(page.locator(".message")).to_contain_text("late")
    answered(page)
    expect(page.locator(".error:visible")).to_have_count(0)
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["system", "user"]


def test_a_server_that_is_gone_or_busy_is_said_in_words(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    served = serve(AGENT_MAX_REQUESTS="1")
    page, other = open_page(served), open_page(served)
    server.say(Turn(text("word " * 500), seconds_between=0.1))
    say(page, "Talk")
    expect(page.locator(".message")).to_contain_text("word")
    say(other, "Hello")
    expect(answered(other).locator(".error")).to_contain_text("1 requests are under way")
    served.process.kill()
    expect(answered(page).locator(".error")).to_contain_text("connection was lost")
    other.get_by_role("button", name="Retry").click()
    expect(other.locator(".error:visible")).to_contain_text("cannot be reached")


def test_a_message_that_is_too_long_is_refused_in_words(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.get_by_label("Your message").evaluate("node => node.value = 'x'.repeat(11_000_000)")
    page.get_by_role("button", name="Send").click()
    error = answered(page).locator(".error")
    expect(error).to_contain_text(re.compile("longer than 10,000,000 bytes|cannot be reached"))


def test_custom_inputs_are_checked_and_sent(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say(PLAIN)
    page.get_by_text("Custom inputs").click()
    field = page.get_by_label("A JSON object")
    for wrong in ('{"user": ', "[1]", "null", '"text"'):
        field.fill(wrong)
        page.get_by_label("Your message").fill("Hello")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot be sent")
        assert page.get_by_role("article").count() == 0
    assert server.bodies == []
    field.fill('{"user": "Ada"}')
    page.get_by_role("button", name="Send").click()
    turn = answered(page)
    assert '{"user": "Ada"}' in server.bodies[-1]["messages"][0]["content"]
    turn.get_by_text("Request and events").click()
    request = turn.locator(".raw pre").first
    expect(request).not_to_be_empty()
    assert json.loads(request.inner_text())["custom_inputs"] == {"user": "Ada"}


def test_custom_inputs_of_the_example_stand_there(
    agent: Agent, serve: Serve, open_page: Open
) -> None:
    example = (agent.package / "input_example.json").read_text(encoding="utf-8")
    richer = json.dumps(json.loads(example) | {"custom_inputs": {"tenant": "north"}})
    with agent.patched("input_example.json", example, richer):
        page = open_page(serve(AGENT_LLM="offline:/demo"))
        expect(page.get_by_role("button", name=TOKYO)).to_be_visible()
        assert json.loads(page.locator("#custom-inputs").input_value()) == {"tenant": "north"}


def test_the_request_and_its_events_are_there_on_demand(served: Served, open_page: Open) -> None:
    page = open_page(served)
    say(page, TOKYO)
    turn = answered(page)
    request, events = turn.locator(".raw pre").all()
    assert not request.is_visible()
    turn.get_by_text("Request and events").click()
    expect(events).not_to_be_empty()
    assert json.loads(request.inner_text()) == {
        "input": [{"role": "user", "content": TOKYO}],
        "stream": True,
    }
    types = [json.loads(line).get("type") for line in events.inner_text().splitlines()]
    assert types[0] == "response.created"
    assert types[-2:] == ["response.completed", None]  # the last one brings the trace's id


def test_the_conversation_is_sent_back_with_its_tools(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve())
    server.say(Turn(TOOL), Turn(PLAIN))
    say(page, TOKYO)
    answered(page)
    say(page, "And in Paris?")
    answered(page, turns=2)
    messages = server.bodies[-1]["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert messages[2]["tool_calls"][0]["function"]["name"] == "current_time"
    assert "Asia/Tokyo" in messages[3]["content"]
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("article")).to_have_count(0)
    say(page, "Hello")
    answered(page)
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["system", "user"]


def test_the_token_is_asked_for_and_kept_in_the_tab(serve: Serve, open_page: Open) -> None:
    served = serve(AGENT_TOKEN="sesame", AGENT_LLM="offline:/demo")
    settings = f"{served.url}/chat_page/settings.json"
    assert httpx.get(settings).status_code == httpx.codes.UNAUTHORIZED
    assert "sesame" not in httpx.get(served.url).text
    page = open_page(served)
    dialog = page.get_by_role("dialog", name="This server asks for its token")
    dialog.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("did not take that token")
    dialog.get_by_label("Token").fill("sesame")
    dialog.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("button", name=TOKYO)).to_be_visible()
    page.reload()
    page.get_by_role("button", name=TOKYO).click()
    assert "Asia/Tokyo" in message_of(answered(page)).inner_text()
    page.evaluate("sessionStorage.clear()")
    page.reload()
    dialog.get_by_role("button", name="Not now").click()
    say(page, TOKYO)
    dialog.get_by_label("Token").fill("sesame")
    page.keyboard.press("Enter")
    expect(message_of(page.get_by_role("article"))).to_contain_text("Asia/Tokyo")


def test_the_keyboard_is_enough(serve: Serve, server: ChatServer, open_page: Open) -> None:
    page = open_page(serve())
    server.say(Turn(TOOL), Turn(PLAIN))
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    answered(page)
    assert server.bodies[0]["messages"][-1]["content"] == "one\ntwo"
    expect(page.get_by_label("Your message")).to_be_focused()
    reached = []
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert [words.partition(" ")[0] for words in reached] == [
        "Trace",
        "Request",
        "Copy",
        "Retry",
        "current_time",
        "New",
    ]


def test_enter_that_ends_a_composed_word_sends_nothing(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.get_by_label("Your message").fill("こん")
    options = "{key: 'Enter', isComposing: true, bubbles: true, cancelable: true}"
    page.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {options}))")
    assert page.get_by_role("article").count() == 0
    page.keyboard.press("Enter")
    answered(page)


def test_what_a_screen_reader_is_told(serve: Serve, server: ChatServer, open_page: Open) -> None:
    page = open_page(serve())
    server.say(Turn(text("one two three four five"), seconds_between=0.2))
    page.evaluate(
        """() => {
        window.told = [];
        const status = document.querySelector("[role=status]");
        const note = () => window.told.push(status.textContent);
        new MutationObserver(note).observe(status, {childList: true, characterData: true});
        }"""
    )
    say(page, "Count")
    answered(page)
    assert page.evaluate("window.told") == [
        "weather-agent is answering.",
        "weather-agent: onetwothreefourfive",
    ]
    expect(page.locator("body")).to_match_aria_snapshot(
        """
        - banner:
          - heading "weather-agent" [level=1]
          - button "New chat"
        - main "Conversation":
          - article:
            - heading "You" [level=2]
            - text: Count
            - heading "weather-agent" [level=2]
            - paragraph: onetwothreefourfive
            - button "Retry"
            - button "Copy"
            - group: Request and events
            - group: Trace
        - contentinfo:
          - textbox "Your message"
          - button "Send"
          - group: Custom inputs
        - status: "weather-agent: onetwothreefourfive"
        """
    )


# The least contrast of all texts that are seen, after WCAG 2.2.
CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        const colour = getComputedStyle(node).backgroundColor;
        return numbers(colour)[3] === 0 ? ground(node.parentElement) : colour;
    };
    const isSeen = (node) => node.checkVisibility({visibilityProperty: true});
    const says = (node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
    return [...document.body.querySelectorAll("*")].filter((n) => isSeen(n) && says(n))
        .map((node) => {
            const pair = [light(getComputedStyle(node).color), light(ground(node))];
            return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_in_light_and_dark(
    scheme: Any, serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve(), color_scheme=scheme)
    server.say(Turn(TOOL), Turn([{"content": MARKDOWN}]))
    say(page, TOKYO)
    answered(page).locator("summary").first.click()
    server.say(Turn(status=400, error="no"))
    say(page, "Fail")
    answered(page, turns=2).get_by_text("Request and events").click()
    page.get_by_text("Custom inputs").click()
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 30
    assert min(ratios) >= 4.5
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3]))
    assert (brightness < 150) == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 375])
def test_a_narrow_screen_needs_no_scrolling_sideways(
    width: int, serve: Serve, server: ChatServer, open_page: Open
) -> None:
    page = open_page(serve(), viewport={"width": width, "height": 640})
    server.say(Turn(TOOL), Turn([{"content": MARKDOWN + "\n\n" + "x" * 300}]))
    say(page, TOKYO)
    answered(page).locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_unfolded_comes_into_view(served: Served, open_page: Open) -> None:
    page = open_page(served, viewport={"width": 360, "height": 640})
    for turn in range(1, 4):
        say(page, TOKYO)
        answered(page, turn)
    last = answered(page, turns=3)
    for name in ("Request and events", "Trace"):
        last.get_by_text(name, exact=True).click()
        unfolded = last.locator("details[open]")
        expect(unfolded.locator("pre").last).to_be_in_viewport()
        field = page.locator("footer").bounding_box()
        lowest = unfolded.bounding_box()
        assert field
        assert lowest
        assert lowest["y"] + min(lowest["height"], 300) <= field["y"]
        last.get_by_text(name, exact=True).click()


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


def test_the_page_and_nothing_else_is_given_to_everybody(serve: Serve) -> None:
    served = serve(AGENT_TOKEN="sesame", AGENT_LLM="offline:/demo")
    page = httpx.get(served.url)
    assert page.status_code == httpx.codes.OK
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    others = ["/chat_page/", "/chat_page/index.html", "/chat_page/../page.py", "/agent/info"]
    for path in [*others, "/chat_page/%2e%2e/page.py", "/chat_page/settings.json"]:
        assert httpx.get(served.url + path).status_code == httpx.codes.UNAUTHORIZED, path
    assert httpx.post(served.url).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.head(f"{served.url}/chat_page/chat.js").status_code == httpx.codes.OK


def test_the_page_is_small(agent: Agent) -> None:
    sizes = {file.name: file.stat().st_size for file in (agent.package / "chat_page").iterdir()}
    assert sum(sizes.values()) < 60_000, sizes
