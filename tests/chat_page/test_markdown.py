"""Markdown on the chat page: it is rendered, and runs and loads nothing."""

import re

from tests.chat_page.pages import MARKDOWN, Open, agent_message, finished_turn, send_message
from tests.helpers.model_server import ChatServer
from tests.server.serving import Served

# Attempts to run code in the page or to reveal the user to another server.
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


def test_markdown_is_rendered(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    pieces = [MARKDOWN[at : at + 3] for at in range(0, len(MARKDOWN), 3)]
    llm.reply([{"content": piece} for piece in pieces])
    send_message(page, "Show me")
    message = agent_message(finished_turn(page))
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
    assert {selector: message.locator(selector).inner_text() for selector in texts} == texts
    codes = message.locator("pre > code").all_inner_texts()
    assert codes == ["indented <i>\n\n  more", 'print("<b>")']
    links = message.locator("a").evaluate_all("all => all.map(a => [a.href, a.target, a.rel])")
    assert links == [
        ["https://example.com/a_b_c", "_blank", "noopener noreferrer"],
        ["https://example.com/x_y_z", "_blank", "noopener noreferrer"],
    ]
    assert message.locator("br").count() == message.locator("hr").count() == 1
    assert message.locator("ol > li").count() == 2
    # The result does not depend on the deltas.
    llm.reply([{"content": MARKDOWN}])
    send_message(page, "Again")
    assert agent_message(finished_turn(page, count=2)).inner_text() == message.inner_text()


# The HTML of Markdown, without the attributes that all links have.
RENDERED = {
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


def test_markdown_follows_commonmark(served: Served, open_page: Open) -> None:
    page = open_page(served)
    program = """async (source) => {
        const { MarkdownStream } = await import("./static/markdown.js");
        return [source.length, 1].map((step) => {
            const parent = document.createElement("div");
            const stream = new MarkdownStream(parent);
            for (let at = 0; at < source.length; at += step) {
                stream.write(source.slice(at, at + step));
                stream.render();
            }
            stream.finish();
            for (const node of parent.querySelectorAll("[hidden]")) node.remove();
            return parent.innerHTML;
        });
    }"""
    attributes = re.compile(r' (target|rel|data-definition)="[^"]*"|</?span[^>]*>')
    for source, expected in RENDERED.items():
        at_once, streamed = (attributes.sub("", html) for html in page.evaluate(program, source))
        assert at_once == expected
        assert streamed == expected


def test_markdown_runs_and_loads_nothing(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    llm.reply([{"content": HOSTILE[at : at + 7]} for at in range(0, len(HOSTILE), 7)])
    send_message(page, "Attack")
    message = agent_message(finished_turn(page))
    assert page.title() == "weather-agent"
    elements = message.locator("*").evaluate_all("all => all.map(node => node.localName)")
    assert set(elements) <= {"p", "a", "code", "span"}
    links = message.locator("a").evaluate_all("all => all.map(a => new URL(a.href).protocol)")
    assert set(links) <= {"http:", "https:"}
    assert "<script>" in message.inner_text()
    names = message.locator("*").evaluate_all("all => all.flatMap(n => n.getAttributeNames())")
    assert set(names) <= {"href", "target", "rel", "class", "tabindex", "type", "data-reference"}


HUGE_TEXTS = {
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


def test_huge_texts_render_within_a_minute(served: Served, open_page: Open) -> None:
    page = open_page(served)
    program = """async (source) => {
        const { MarkdownStream } = await import("./static/markdown.js");
        const start = performance.now();
        const parent = document.createElement("div");
        const stream = new MarkdownStream(parent);
        stream.write(source);
        stream.finish();
        let deepest = 0;
        for (const node of parent.querySelectorAll("*")) {
            if (node.firstElementChild) continue;
            let depth = 0;
            for (let up = node; up !== parent; up = up.parentNode) depth += 1;
            deepest = Math.max(deepest, depth);
        }
        return [performance.now() - start, deepest];
    }"""
    for name, source in HUGE_TEXTS.items():
        milliseconds, depth = page.evaluate(program, source)
        assert milliseconds < 60_000, name
        assert depth < 80, name


def test_rendering_time_is_linear_in_the_length_of_the_answer(
    served: Served, open_page: Open
) -> None:
    page = open_page(served)
    program = """async (paragraphs) => {
        const { MarkdownStream } = await import("./static/markdown.js");
        const stream = new MarkdownStream(document.createElement("div"));
        const start = performance.now();
        for (let at = 0; at < paragraphs; at += 1) {
            stream.write(`Some *words* of **one** paragraph.\\n\\n`);
            stream.render();
            if (performance.now() - start > 10_000) return Infinity;
        }
        return performance.now() - start;
    }"""
    page.evaluate(program, 500)
    few, many = (min(page.evaluate(program, count) for _ in range(3)) for count in (500, 4_000))
    assert many < 8 * few * 4, "8 times the text should take 8 times as long, not 64 times."
