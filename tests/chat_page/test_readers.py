"""The chat page for whoever reads it: by keyboard, by ear, on a small screen, in the dark."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.chat_page.pages import MARKDOWN, PLAIN, TOOL, Open, answered, say
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.serving import TOKYO, Serve, Served, wait_until


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


def above_the_field(unfolded: Locator) -> bool:
    """Whether the beginning of what is unfolded can be seen above the field for messages."""
    field = unfolded.page.locator("footer").bounding_box()
    seen = unfolded.bounding_box()
    assert field
    assert seen
    return seen["y"] + min(seen["height"], 300) <= field["y"]


def test_what_is_unfolded_comes_into_view(served: Served, open_page: Open) -> None:
    page = open_page(served, viewport={"width": 360, "height": 640})
    for turn in range(1, 4):
        say(page, TOKYO)
        answered(page, turn)
    last = answered(page, turns=3)
    unfolded = last.locator("details[open]")
    for name in ("Request and events", "Trace"):
        last.get_by_text(name, exact=True).click()
        expect(unfolded.locator("pre").last).to_be_in_viewport()
        wait_until(lambda: above_the_field(unfolded))
        last.get_by_text(name, exact=True).click()
