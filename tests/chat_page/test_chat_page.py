"""The chat page of `serve`, in a real browser and with the real server."""

import json
import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.chat_page.pages import (
    PLAIN,
    TOOL,
    Open,
    agent_message,
    finished_turn,
    send_message,
    trace_id,
)
from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, calls, text
from tests.server.serving import TOKYO, Serve, Served, store_in, stored_traces, wait_until


def test_answers_appear_while_they_stream(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    llm.reply(Turn(text("one two " + "three " * 30), seconds_between=0.1))
    send_message(page, "Count")
    expect(agent_message(page.get_by_role("article"))).to_contain_text("onetwo")
    assert page.get_by_role("button", name="Stop").is_visible()
    assert page.get_by_role("article").get_attribute("aria-busy") == "true"
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    assert "three" * 30 in agent_message(finished_turn(page)).inner_text()


def test_tool_calls_are_collapsed_and_expand_with_the_keyboard(
    served: Served, open_page: Open
) -> None:
    page = open_page(served)
    send_message(page, TOKYO)
    turn = finished_turn(page)
    call = turn.locator("details.item")
    expect(call.locator("summary")).to_contain_text("current_time")
    expect(call.locator("summary")).to_contain_text("done")
    output = call.get_by_text("(Asia/Tokyo)")
    assert not output.is_visible()
    call.locator("summary").focus()
    page.keyboard.press("Enter")
    assert output.is_visible()
    assert json.loads(call.locator("pre").first.inner_text()) == {"place": "Tokyo"}
    assert "Asia/Tokyo" in agent_message(turn).inner_text()


def test_failed_tool_calls_are_marked(app: Served, llm: ChatServer, open_page: Open) -> None:
    page = open_page(app)
    llm.reply(Turn(calls(("current_time", {"place": "Nowhere"}))), Turn(PLAIN))
    send_message(page, "What time is it in Nowhere?")
    expect(finished_turn(page).locator("details.item .status")).to_have_text("failed")


def test_the_next_request_omits_the_unfinished_message_of_a_stopped_answer(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(TOOL), Turn(text("slow " * 200), seconds_between=0.1))
    send_message(page, TOKYO)
    expect(page.locator(".message")).to_contain_text("slow")
    page.get_by_role("button", name="Stop").click()
    expect(finished_turn(page)).to_contain_text("You stopped this answer.")
    assert llm.disconnected.wait(timeout=20), "The server did not cancel the request to the LLM."
    llm.reply(PLAIN)
    send_message(page, "And now?")
    finished_turn(page, count=2)
    roles = [message["role"] for message in llm.bodies[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert "slow" not in json.dumps(llm.bodies[-1]["messages"])


def test_unanswered_tool_calls_are_marked_and_not_sent_again(
    served: Served, open_page: Open
) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "search"}
    items = [{"type": "reasoning", "id": "rs_1", "summary": []}, call | {"arguments": "{}"}]
    events = [{"type": "response.output_item.done", "item": item} for item in items]
    events.append({"type": "error", "message": "The answer broke off."})
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    page = open_page(served)
    options = {"body": stream, "content_type": "text/event-stream"}
    page.route("**/responses", lambda route: route.fulfill(**options))
    send_message(page, TOKYO)
    expect(finished_turn(page).locator(".status")).to_have_text("no output")
    expect(page.locator(".error:visible")).to_have_text("The answer broke off.")
    page.unroute("**/responses")
    with page.expect_request("**/responses") as request:
        send_message(page, "Hello")
    sent = json.loads(request.value.post_data or "")["input"]
    assert sent == [{"role": "user", "content": message} for message in (TOKYO, "Hello")]
    finished_turn(page, count=2)


def test_a_failure_without_details_is_reported(served: Served, open_page: Open) -> None:
    stream = 'data: {"type": "response.failed", "response": {"error": null}}\n\ndata: [DONE]\n\n'
    page = open_page(served)
    options = {"body": stream, "content_type": "text/event-stream"}
    page.route("**/responses", lambda route: route.fulfill(**options))
    send_message(page, TOKYO)
    expect(finished_turn(page).locator(".error")).to_have_text("The agent could not answer.")


def test_a_stopped_answer_is_marked_and_traced(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(text("word " * 500), seconds_between=0.05))
    send_message(page, "Talk")
    expect(page.locator(".message")).to_contain_text("word")
    page.keyboard.press("Escape")
    expect(finished_turn(page)).to_contain_text("You stopped this answer.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert llm.disconnected.wait(timeout=20)
    stopped, store = trace_id(finished_turn(page)), store_in(app.log.parent)
    wait_until(lambda: stopped in {trace.info.trace_id for trace in stored_traces(store)})
    llm.reply(PLAIN)
    send_message(page, "Enough")
    assert "late" in agent_message(finished_turn(page, count=2)).inner_text()
    sent = [message["content"] for message in llm.bodies[-1]["messages"][1:]]
    assert sent == ["Talk", "Enough"]
    expect(page.get_by_role("button", name="Retry")).to_have_count(1)


def test_a_failed_answer_shows_the_error_and_can_be_retried(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(status=400, error="secret-7"))
    send_message(page, "Hello")
    failed = finished_turn(page)
    expect(failed.locator(".error")).to_have_text("The agent could not answer.")
    expect(failed).to_contain_text("Tell the operator. A retry does not help.")
    error_id = failed.locator("h3:has-text('Error ID') + button").locator("xpath=../..")
    assert f"Error {error_id.locator('pre').inner_text()}" in app.read_log()
    assert trace_id(failed)
    assert "secret-7" not in page.content()
    llm.reply(PLAIN)
    failed.get_by_role("button", name="Retry").click()
    expect(page.locator(".message")).to_contain_text("late")
    finished_turn(page)
    expect(page.locator(".error:visible")).to_have_count(0)
    assert [message["role"] for message in llm.bodies[-1]["messages"]] == ["system", "user"]


def test_errors_name_the_limits_and_lost_connections(
    serve: Serve, server: ChatServer, open_page: Open
) -> None:
    limited = serve(AGENT_MAX_REQUESTS="1", AGENT_MAX_BODY_BYTES="10000")
    page, other = open_page(limited), open_page(limited)
    send_message(other, "x" * 10_000)
    error = finished_turn(other).locator(".error")
    expect(error).to_have_text("The request body is larger than 10,000 bytes.")
    expect(finished_turn(other)).to_contain_text("Start a new chat, or send less.")
    other.get_by_role("button", name="New chat").click()
    server.reply(Turn(text("word " * 500), seconds_between=0.1))
    send_message(page, "Talk")
    expect(page.locator(".message")).to_contain_text("word")
    send_message(other, "Hello")
    error = finished_turn(other).locator(".error")
    expect(error).to_have_text("The server is at its limit of concurrent requests (1). Try again.")
    expect(finished_turn(other)).to_contain_text("Wait 1 s, then retry.")
    limited.process.kill()
    error = finished_turn(page).locator(".error")
    expect(error).to_have_text("The connection was lost before the answer was complete.")
    expect(finished_turn(page)).to_contain_text("Check your connection, then retry.")
    other.get_by_role("button", name="Retry").click()
    expect(other.locator(".error:visible")).to_contain_text("Could not reach the server.")


def test_errors_of_a_proxy_show_the_status(served: Served, open_page: Open) -> None:
    page = open_page(served)
    page.route("**/responses", lambda route: route.fulfill(status=502, body="<html></html>"))
    send_message(page, "Hello")
    error = finished_turn(page).locator(".error")
    expect(error).to_have_text("The server responded with 502 Bad Gateway.")
    expect(finished_turn(page)).to_contain_text("Wait, then retry.")
    page.route("**/responses", lambda route: route.fulfill(status=200, body="<html></html>"))
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".error:visible")).to_contain_text("A proxy in front of the server")
    expect(finished_turn(page)).to_contain_text("Reload the page, and log in if it asks you to.")


@pytest.mark.parametrize(
    ("turn", "error", "advice"),
    [
        (
            Turn(text("Well"), finish_reason="length"),
            "The answer is incomplete: it reached the limit of output tokens.",
            "Ask the agent to continue, or for a shorter answer.",
        ),
        (
            Turn(text("Well"), finish_reason="content_filter"),
            "The answer is incomplete: the LLM's content filter stopped it.",
            "Rephrase your message.",
        ),
        (
            Turn(status=400, error="This model's maximum context length is 10 tokens."),
            "The conversation is too long for the LLM. Send fewer or shorter items.",
            "Start a new chat, or send less.",
        ),
        (
            Turn(status=429, error="Slow down.", headers={"retry-after": "7"}),
            "The LLM has too many requests. Try again later.",
            "Wait 7 s, then retry.",
        ),
        (Turn(text("Well"), cut=True), "The agent could not answer.", "Wait, then retry."),
    ],
    ids=["tokens", "filter", "too long", "too many", "cut"],
)
def test_failed_and_incomplete_answers_say_what_to_do(
    turn: Turn, error: str, advice: str, app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(turn)
    send_message(page, "Hello")
    failed = finished_turn(page)
    expect(failed.locator(".error")).to_have_text(error)
    expect(failed).to_contain_text(advice)
    if turn.deltas:
        expect(agent_message(failed)).to_have_text("Well")


def test_answers_show_their_duration_and_tokens(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(PLAIN)
    send_message(page, "Hello")
    duration = finished_turn(page).locator(".actions > span")
    expect(duration).to_have_text(re.compile(r"^\d+\.\d s$"))
    usage = {"prompt_tokens": 1200, "completion_tokens": 345, "total_tokens": 1545}
    llm.reply(Turn(PLAIN, usage=usage))
    send_message(page, "Hello")
    duration = finished_turn(page, count=2).locator(".actions > span")
    expect(duration).to_have_text(re.compile(r"^\d+\.\d s, 1,545 tokens$"))


def test_custom_inputs_are_validated_and_sent(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(PLAIN)
    page.get_by_text("Custom inputs").click()
    field = page.get_by_label("A JSON object")
    for invalid in ('{"user": ', "[1]", "null", '"text"'):
        field.fill(invalid)
        page.get_by_label("Your message").fill("Hello")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_contain_text("Invalid custom inputs")
        assert page.get_by_role("article").count() == 0
    assert llm.bodies == []
    field.fill('{"user": "Ada"}')
    page.get_by_role("button", name="Send").click()
    turn = finished_turn(page)
    assert '{"user": "Ada"}' in llm.bodies[-1]["messages"][0]["content"]
    turn.get_by_text("Request and events").click()
    request = turn.locator(".raw pre").first
    expect(request).not_to_be_empty()
    assert json.loads(request.inner_text())["custom_inputs"] == {"user": "Ada"}


def test_the_field_contains_the_custom_inputs_of_the_example(
    served: Served, open_page: Open
) -> None:
    settings = httpx.get(f"{served.url}/chat/settings").json()
    example = settings["example"] | {"custom_inputs": {"tenant": "north"}}
    page = open_page(served)
    expect(page.get_by_role("button", name=TOKYO)).to_be_visible()
    assert page.locator("#custom-inputs").input_value() == ""
    page.route("**/chat/settings", lambda route: route.fulfill(json={"example": example}))
    page.reload()
    expect(page.get_by_role("button", name=TOKYO)).to_be_visible()
    assert json.loads(page.locator("#custom-inputs").input_value()) == {"tenant": "north"}


def test_the_request_and_the_events_can_be_expanded(served: Served, open_page: Open) -> None:
    page = open_page(served)
    send_message(page, TOKYO)
    turn = finished_turn(page)
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
    assert types[-2:] == ["response.completed", None]  # the last event contains the trace id


def test_requests_contain_the_conversation_with_its_tool_calls(
    app: Served, llm: ChatServer, open_page: Open
) -> None:
    page = open_page(app)
    llm.reply(Turn(TOOL), Turn(PLAIN))
    send_message(page, TOKYO)
    finished_turn(page)
    send_message(page, "And in Paris?")
    finished_turn(page, count=2)
    messages = llm.bodies[-1]["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert messages[2]["tool_calls"][0]["function"]["name"] == "current_time"
    assert "Asia/Tokyo" in messages[3]["content"]
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("article")).to_have_count(0)
    send_message(page, "Hello")
    finished_turn(page)
    assert [message["role"] for message in llm.bodies[-1]["messages"]] == ["system", "user"]


def test_the_page_asks_for_the_token_and_stores_it_in_the_tab(
    serve: Serve, open_page: Open
) -> None:
    served = serve(AGENT_TOKEN="sesame", AGENT_LLM="offline:/demo")
    page = open_page(served)
    dialog = page.get_by_role("dialog", name="This server requires a token")
    dialog.get_by_label("Token").fill("ses…me")  # headers cannot contain it
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Token")).to_have_js_property("validity.patternMismatch", True)
    dialog.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("The server rejected the token.")
    dialog.get_by_label("Token").fill("sesame")
    dialog.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name=TOKYO)).to_be_visible()
    page.reload()
    page.get_by_role("button", name=TOKYO).click()
    assert "Asia/Tokyo" in agent_message(finished_turn(page)).inner_text()
    page.evaluate("sessionStorage.clear()")
    page.reload()
    dialog.get_by_role("button", name="Cancel").click()
    send_message(page, TOKYO)
    expect(page.locator(".error:visible")).to_have_text("The server requires a valid token.")
    dialog.get_by_label("Token").fill("sesame")
    page.keyboard.press("Enter")
    expect(agent_message(page.get_by_role("article"))).to_contain_text("Asia/Tokyo")
    assert_only_the_page_is_public(served)


def assert_only_the_page_is_public(served: Served) -> None:
    """Without the token, the server responds with the page and its files only."""
    page = httpx.get(served.url)
    assert page.status_code == httpx.codes.OK
    assert "sesame" not in page.text
    assert httpx.head(f"{served.url}/static/chat.js").status_code == httpx.codes.OK
    private = ["/static/", "/static/index.html", "/static/../page.py", "/static/%2e%2e/page.py"]
    for path in [*private, "/chat/settings", "/agent/info"]:
        assert httpx.get(served.url + path).status_code == httpx.codes.UNAUTHORIZED, path
    assert httpx.post(served.url).status_code == httpx.codes.METHOD_NOT_ALLOWED


def test_the_page_has_a_strict_content_security_policy(served: Served) -> None:
    for path in ("/", "/static/chat.js", "/static/chat.css", "/static/icon.svg"):
        headers = httpx.get(served.url + path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path


def test_the_page_is_small(agent: Agent) -> None:
    files = (agent.package / "server" / "static").iterdir()
    sizes = {file.name: file.stat().st_size for file in files}
    assert sum(sizes.values()) < 60_000, sizes
