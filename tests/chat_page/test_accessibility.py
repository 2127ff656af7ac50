"""Accessibility of the chat page: keyboard, screen readers, small screens and contrast."""

import json
import re
from threading import Event
from typing import Literal

from playwright.sync_api import Locator, Page, expect

from tests.chat_page.pages import MARKDOWN, PLAIN, TOOL, Open, finished_turn, send_message
from tests.helpers.model_server import ChatServer, Turn, text
from tests.server.serving import TOKYO, Served, wait_until


def test_copy_buttons_copy_the_source_text(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app, permissions=["clipboard-read", "clipboard-write"])
    llm.reply(Turn(TOOL), Turn([{"content": MARKDOWN}]))
    send_message(page, TOKYO)
    turn = finished_turn(page)
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


def test_text_is_selected_if_the_browser_forbids_copying(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    send_message(page, TOKYO)
    turn = finished_turn(page)
    turn.get_by_role("button", name="Copy", exact=True).click()
    expect(turn.get_by_role("button", name="Press Ctrl+C to copy")).to_be_visible()
    assert "Asia/Tokyo" in page.evaluate("getSelection().toString()")


def test_the_page_works_with_the_keyboard(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    llm.reply(Turn(TOOL), Turn(PLAIN))
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    finished_turn(page)
    assert llm.bodies[0]["messages"][-1]["content"] == "one\ntwo"
    expect(page.get_by_label("Your message")).to_be_focused()
    focused = []
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
        focused.append(page.evaluate("document.activeElement.textContent"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert [words.partition(" ")[0] for words in focused] == [
        "Trace",
        "Request",
        "Copy",
        "Retry",
        "current_time",
        "New",
    ]


def test_enter_in_an_input_method_does_not_send(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.get_by_label("Your message").fill("こん")
    options = "{key: 'Enter', isComposing: true, bubbles: true, cancelable: true}"
    page.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {options}))")
    assert page.get_by_role("article").count() == 0
    page.keyboard.press("Enter")
    finished_turn(page)


def test_screen_readers_announce_the_answer(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    llm.reply(Turn(text("one two three four five"), seconds_between=0.2))
    page.evaluate(
        """() => {
        window.announced = [];
        const status = document.querySelector("[role=status]");
        const record = () => window.announced.push(status.textContent);
        new MutationObserver(record).observe(status, {childList: true, characterData: true});
        }"""
    )
    send_message(page, "Count")
    finished_turn(page)
    assert page.evaluate("window.announced") == [
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
            - text: /\\d+\\.\\d s/
        - contentinfo:
          - textbox "Your message"
          - button "Send"
          - group: Custom inputs
        - status: "weather-agent: onetwothreefourfive"
        """
    )


# The contrast ratios of all visible texts, as defined by WCAG 2.2.
CONTRAST = """() => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => {
        const [r, g, b] = numbers(color).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = (node) => {
        const color = getComputedStyle(node).backgroundColor;
        return numbers(color)[3] === 0 ? background(node.parentElement) : color;
    };
    const isVisible = (node) => node.checkVisibility({visibilityProperty: true});
    const hasText = (node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim());
    return [...document.body.querySelectorAll("*")].filter((n) => isVisible(n) && hasText(n))
        .map((node) => {
            const pair = [luminance(getComputedStyle(node).color), luminance(background(node))];
            return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        });
}"""


def test_text_has_enough_contrast_in_light_and_dark(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(TOOL), Turn([{"content": MARKDOWN}]))
    send_message(page, TOKYO)
    finished_turn(page).locator("summary").first.click()
    llm.reply(Turn(status=400, error="no"))
    send_message(page, "Fail")
    finished_turn(page, count=2).get_by_text("Request and events").click()
    page.get_by_text("Custom inputs").click()
    assert_readable(page, "light")
    assert_readable(page, "dark")


def assert_readable(page: Page, scheme: Literal["light", "dark"]) -> None:
    """The page uses the color scheme, and all visible texts have enough contrast."""
    page.emulate_media(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness < 150) == (scheme == "dark")
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 30
    assert min(ratios) >= 4.5, scheme


def test_narrow_screens_do_not_scroll_sideways(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(TOOL), Turn([{"content": MARKDOWN + "\n\n" + "x" * 300}]))
    send_message(page, TOKYO)
    finished_turn(page).locator("summary").first.click()
    for width in (320, 375):
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


PHONE = {"width": 390, "height": 844}
IS_AT_END = "innerHeight + scrollY >= document.documentElement.scrollHeight - 1"


def test_the_end_of_an_answer_and_its_buttons_are_visible_on_a_phone(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app, viewport=PHONE, has_touch=True)
    llm.reply(Turn(TOOL), Turn([{"content": f"Line {n}.\n\n"} for n in range(40)]))
    for count in range(1, 4):
        send_message(page, TOKYO)
        turn = finished_turn(page, count)
        expect(turn.get_by_text("Line 39.")).to_be_in_viewport()
        footer = page.locator("footer").bounding_box()
        assert footer
        for control in turn.locator(".actions > *").all():
            box = control.bounding_box()
            assert box
            assert 0 <= box["y"] <= footer["y"] - box["height"]
        llm.reply(Turn([{"content": f"Line {n}.\n\n"} for n in range(40)]))


def test_the_page_does_not_jump_if_the_reader_scrolled_up(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app, viewport=PHONE)
    more = Event()
    lines = [{"content": f"Line {n}.\n\n"} for n in range(40)]
    llm.reply(Turn([*lines, {"content": "The end."}], hold_last=more))
    send_message(page, "Talk")
    expect(page.get_by_text("Line 39.")).to_be_in_viewport()
    wait_until(lambda: page.evaluate(IS_AT_END))
    page.evaluate("scrollBy(0, -500)")
    page.evaluate("new Promise(requestAnimationFrame)")  # scroll events come with a frame
    position = page.evaluate("scrollY")
    more.set()
    finished_turn(page)
    assert page.evaluate("scrollY") == position


SCROLL_UP_WITH_THE_NEXT_FRAME = """
new ResizeObserver((_, observer) => {
    if (scrollY < 500) return;
    scrollBy(0, -500);
    observer.disconnect();
}).observe(document.querySelector("#turns"))
"""


def test_the_page_does_not_jump_if_the_reader_scrolled_up_as_it_grew(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app, viewport=PHONE)
    more = Event()
    lines = "".join(f"Line {n}.\n\n" for n in range(40))
    llm.reply(Turn([{"content": lines}, {"content": "The end."}], hold_last=more))
    page.evaluate(SCROLL_UP_WITH_THE_NEXT_FRAME)
    send_message(page, "Talk")
    expect(page.get_by_text("Line 39.")).to_be_visible()
    wait_until(lambda: page.evaluate("scrollY > 0"))
    position = page.evaluate("scrollY")
    more.set()
    finished_turn(page)
    assert page.evaluate("scrollY") == position


def test_wide_tables_scroll_sideways_and_show_it(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    remark = "A remark that is long enough to fill several lines of a narrow column."
    table = "| city | Monday | Tuesday | Wednesday | remark |\n|--|--|--|--|--|\n"
    table += f"| Berlin | 12 °C, some rain | 14 °C, clouds | 15 °C, sun | {remark} |\n"
    small = f"\n| place | remark |\n|--|--|\n| Berlin | {remark} |\n"
    page = open_page(app, viewport=PHONE)
    llm.reply(Turn([{"content": table + small}]))
    send_message(page, "How is the weather?")
    turn = finished_turn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    overflows = "(node) => node.scrollWidth > node.clientWidth"
    wide, narrow = turn.locator(".table").all()
    assert wide.evaluate(overflows)
    assert not narrow.evaluate(overflows)
    assert "local" in wide.evaluate("(node) => getComputedStyle(node).backgroundAttachment")
    row = wide.locator("tbody tr").bounding_box()
    assert row
    assert row["height"] < 120


def is_above_footer(section: Locator) -> bool:
    """Return whether the footer does not cover the start of a section."""
    footer, box = section.page.locator("footer").bounding_box(), section.bounding_box()
    assert footer
    assert box
    return box["y"] + min(box["height"], 300) <= footer["y"]


def test_expanded_sections_scroll_into_view(served: Served, open_page: Open) -> None:
    page = open_page(served, viewport={"width": 360, "height": 640})
    for turn in range(1, 4):
        send_message(page, TOKYO)
        finished_turn(page, turn)
    last = finished_turn(page, count=3)
    expanded = last.locator("details[open]")
    for name in ("Request and events", "Trace"):
        last.get_by_text(name, exact=True).click()
        expect(expanded.locator("pre").last).to_be_in_viewport()
        wait_until(lambda: is_above_footer(expanded))
        last.get_by_text(name, exact=True).click()
