"""The chat page of `serve`, in a real browser, in front of the real server."""

import json
import re
from pathlib import Path

import httpx
from playwright.sync_api import expect

from tests.chat_page.pages import PLAIN, TOOL, Open, answered, message_of, say, trace_of
from tests.helpers.agents import Agent
from tests.helpers.model_server import ChatServer, Turn, calls, text
from tests.server.serving import TOKYO, Serve, Served, stored_traces, wait_until


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
