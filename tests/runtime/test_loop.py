"""The agent's loop of LLM and tools, with a fake LLM over HTTP."""

import asyncio
import json
from typing import Any

import mlflow
import pytest
from mlflow.entities import Span, SpanType, Trace
from mlflow.tracing.constant import SpanAttributeKey
from mlflow.types.responses import ResponsesAgentRequest

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, Turn, calls, text

Item = dict[str, Any]
QUESTION = {"role": "user", "content": "What time is it?"}
USAGE = {
    "prompt_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens": 3,
    "completion_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 13,
}
TOKYO = ("current_time", {"place": "Tokyo"})
DAYS = ("days_between", {"start": "2026-01-31", "end": "2026-03-01"})


@pytest.fixture
def server(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    """The fake LLM, configured as the LLM of the agent."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("AGENT_LLM", "openai:/fake")
    return server


def agent(package: Package, **settings: Any) -> Any:
    """Return an agent with changed settings."""
    module = package("agent")
    config = module.AGENT.config.model_copy(update={"llm_max_retries": 0} | settings)
    return module.Agent(config, module.AGENT.instructions, module.AGENT.toolbox)


def request(*items: Item, **fields: Any) -> ResponsesAgentRequest:
    """Return a request with these items, by default with one question."""
    return ResponsesAgentRequest.model_validate({"input": list(items or [QUESTION])} | fields)


def predict(package: Package, *items: Item, **fields: Any) -> Any:
    """Return the response of the agent."""
    return agent(package).predict(request(*items, **fields))


def output(package: Package, *items: Item, **fields: Any) -> list[Item]:
    """Return the items of the agent's response."""
    return [item.model_dump() for item in predict(package, *items, **fields).output]


def test_tools_called_in_one_turn_run_in_order(package: Package, server: ChatServer) -> None:
    server.reply(calls(TOKYO, DAYS), text("Late ."))
    items = output(package)
    assert [item["type"] for item in items] == [
        "function_call",
        "function_call_output",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert "Asia/Tokyo" in items[1]["output"]
    assert items[3]["output"] == "29"
    assert items[4]["content"][0]["text"] == "Late."


def test_item_ids_are_unique(package: Package, server: ChatServer) -> None:
    server.reply([*text("Let me see"), *calls(TOKYO, DAYS)], text("Late"))
    ids = [item["id"] for item in output(package)]
    assert len(ids) == len(set(ids)) == 6
    assert all(0 < len(item_id) <= 64 for item_id in ids)


def test_tool_outputs_follow_their_calls(package: Package, server: ChatServer) -> None:
    server.reply([*text("Well"), *calls(TOKYO, DAYS)], text("Late"))
    output(package)
    check_order(server.bodies[1]["messages"])
    assert server.bodies[1]["messages"][2]["content"] == "Well"


def test_parallel_calls_become_one_message(package: Package, server: ChatServer) -> None:
    server.reply(text("Late"))
    items = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}", "id": "fc_2"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
    ]
    output(package, QUESTION, *items)
    messages = server.bodies[0]["messages"]
    check_order(messages)
    assert [len(message.get("tool_calls", [])) for message in messages] == [0, 0, 2, 0, 0]


def check_order(messages: list[Item]) -> None:
    """Assert that the outputs of tool calls directly follow the message with the calls."""
    pending: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            pending.remove(message["tool_call_id"])
        else:
            assert not pending
            pending = {call["id"] for call in message.get("tool_calls", [])}
    assert not pending


def test_output_is_valid_input_for_the_next_turn(package: Package, server: ChatServer) -> None:
    server.reply(calls(TOKYO), text("Late"), text("Later"))
    first = output(package)
    second = output(package, QUESTION, *first, {"role": "user", "content": "And now?"})
    assert second[0]["content"][0]["text"] == "Later"
    check_order(server.bodies[2]["messages"])
    roles = [message["role"] for message in server.bodies[2]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_names_and_ids_of_other_apis_are_made_valid(package: Package, server: ChatServer) -> None:
    """The fake LLM refuses what OpenAI's chat completions refuse, such as 41 characters."""
    names = ["files.read", "a" * 65, "", "größe"]
    history: list[Item] = []
    for number, name in enumerate(names):
        call_id = f"call_{number}_{'x' * 60}"
        history += [
            {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": "Done."},
        ]
    server.reply(text("Fine"))
    output(package, QUESTION, *history, QUESTION)
    messages = server.bodies[0]["messages"]
    check_order(messages)
    sent = [call for message in messages for call in message.get("tool_calls", [])]
    assert [call["function"]["name"] for call in sent] == ["files_read", "a" * 64, "_", "gr__e"]
    assert len({call["id"] for call in sent}) == len(names)
    assert all(len(call["id"]) <= 40 for call in sent)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [("", "{}"), ("{'place': 'Tokyo'}", "{\"not_a_json_object\": \"{'place': 'Tokyo'}\"}")],
)
def test_invalid_arguments_of_a_client_become_json(
    package: Package, server: ChatServer, arguments: str, sent: str
) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "map", "arguments": arguments}
    server.reply(text("Fine"))
    output(package, QUESTION, call, {**call, "type": "function_call_output", "output": "Done."})
    assert server.bodies[0]["messages"][2]["tool_calls"][0]["function"]["arguments"] == sent


def test_a_tool_without_output_gets_a_text(package: Package, server: ChatServer) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "save", "arguments": "{}"}
    outcome = {"type": "function_call_output", "call_id": "call_1", "output": " "}
    server.reply(text("Fine"))
    output(package, QUESTION, call, outcome)
    assert server.bodies[0]["messages"][-1]["content"] == "(no output)"


def test_unpaired_surrogates_are_named(package: Package, server: ChatServer) -> None:
    with pytest.raises(package("runtime.llm").LLMError, match=r"surrogate pair after .*Hello "):
        predict(package, QUESTION, custom_inputs={"text": "Hello \ud83c"})
    assert not server.bodies


def test_tool_messages_have_only_texts(package: Package, server: ChatServer) -> None:
    server.reply(text("A cat"))
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
    found = [{"type": "input_text", "text": "Found:"}, image]
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "id": "fc_1"}
    output(
        package, call, {"type": "function_call_output", "call_id": "a", "output": found}, QUESTION
    )
    assert server.bodies[0]["messages"][2]["content"] == "Found:\n(image)"


def test_content_parts_reach_the_llm(package: Package, server: ChatServer) -> None:
    server.reply(text("A cat"))
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        {"type": "input_file", "file_data": "data:text/plain;base64,AA", "filename": "a.txt"},
    ]
    refusal = {"type": "message", "id": "msg_1", "role": "assistant"}
    refusal["content"] = [{"type": "refusal", "refusal": "No."}]
    output(package, {"role": "user", "content": parts}, refusal, QUESTION)
    user, assistant, _ = server.bodies[0]["messages"][1:]
    assert user["content"] == [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AA", "detail": "auto"},
        },
        {
            "type": "file",
            "file": {"file_data": "data:text/plain;base64,AA", "filename": "a.txt"},
        },
    ]
    assert assistant == {"role": "assistant", "content": "No."}


def test_messages_with_unusual_types_reach_the_llm(package: Package, server: ChatServer) -> None:
    server.reply(text("Late"))
    message = {
        "id": "msg_1",
        "content": [{"type": "output_text", "text": "Noon", "annotations": []}],
    }
    output(package, {"type": "message"} | message, QUESTION | {"type": "function_call"})
    assert server.bodies[0]["messages"][1:] == [{"role": "assistant", "content": "Noon"}, QUESTION]


def test_texts_of_the_assistant_are_joined(package: Package, server: ChatServer) -> None:
    """Many servers accept only one message of the assistant in a row."""
    server.reply(text("Late"))
    call = {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "f", "arguments": "{}"}
    output(package, QUESTION, answer("Let me see."), call, answer("It is noon."), QUESTION)
    _, assistant, _ = server.bodies[0]["messages"][1:]
    assert assistant == {"role": "assistant", "content": "Let me see.\n\nIt is noon."}


def answer(words: str) -> Item:
    """Return a message of the assistant."""
    content = [{"type": "output_text", "text": words, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}


def test_parts_of_outputs_need_no_type(package: Package, server: ChatServer) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "save", "arguments": "{}"}
    outcome = {"type": "function_call_output", "call_id": "call_1", "output": [{"text": "Done."}]}
    server.reply(text("Fine"))
    output(package, QUESTION, call, outcome)
    assert server.bodies[0]["messages"][-1]["content"] == "Done."


@pytest.mark.parametrize(
    "part",
    [
        {"data": "AA"},
        {"type": "refusal"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf", "filename": "a.pdf"},
    ],
)
def test_unsupported_content_part_is_a_request_error(package: Package, part: Item) -> None:
    message = {"role": "user", "content": [part]}
    with pytest.raises(package("runtime.items").RequestError, match="Send input_text"):
        package("runtime.messages").to_messages([message])


def test_the_agent_answers_blank_input(package: Package, server: ChatServer) -> None:
    """Only the server refuses it, so that `verify` can check every example."""
    server.reply(text("Hello"))
    assert output(package, {"role": "user", "content": " "})
    assert [message["role"] for message in server.bodies[0]["messages"]] == ["system"]


def test_reasoning_and_searches_are_not_sent_to_the_llm(
    package: Package, server: ChatServer
) -> None:
    server.reply(text("Late"))
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "?"}],
    }
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "content": "x"}
    output(package, QUESTION, reasoning, search, {"role": "user", "content": "So?"})
    assert [message["role"] for message in server.bodies[0]["messages"]] == [
        "system",
        "user",
        "user",
    ]


def test_custom_inputs_are_part_of_the_system_message(package: Package, server: ChatServer) -> None:
    server.reply(text("Late"))
    output(package, custom_inputs={"city": "Zürich"})
    output(package)
    with_inputs, without_inputs = (body["messages"][0]["content"] for body in server.bodies)
    assert '{"city": "Zürich"}' in with_inputs
    assert without_inputs == package("agent").AGENT.instructions


def test_custom_outputs_contain_llm_and_rounds(package: Package, server: ChatServer) -> None:
    server.reply(calls(TOKYO), text("Late"))
    assert predict(package).custom_outputs == {"llm": "openai:/fake", "rounds": 2}


def test_cached_tokens_of_claude_on_databricks(package: Package, server: ChatServer) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cache_read_input_tokens": 4}
    server.reply(Turn(text("Late"), usage=usage))
    assert predict(package).usage.model_dump()["input_tokens_details"] == {"cached_tokens": 4}


def test_usage_is_the_sum_of_all_completions(package: Package, server: ChatServer) -> None:
    server.reply(Turn(calls(TOKYO), usage=USAGE), Turn(text("Late"), usage=USAGE))
    assert predict(package).usage.model_dump() == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 26,
    }
    server.reply(text("Late"))
    assert predict(package).usage is None


def test_usage_may_have_the_names_of_responses(package: Package, server: ChatServer) -> None:
    server.reply(Turn(text("Late"), usage={"input_tokens": 11, "output_tokens": 5}))
    usage = predict(package).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (11, 5, 16)
    (span,) = completions(last_trace())
    assert span.attributes[SpanAttributeKey.CHAT_USAGE]["total_tokens"] == 16


def last_trace() -> Trace:
    """Return the trace of the last request."""
    trace_id = mlflow.get_last_active_trace_id()
    assert trace_id
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(trace_id)
    assert trace
    return trace


def completions(trace: Trace) -> list[Span]:
    """Return the spans of the chat completions, in order."""
    return [span for span in trace.data.spans if span.span_type == SpanType.CHAT_MODEL]


def traced_text(span: Span) -> str:
    """Return the text of a chat completion."""
    (choice,) = span.outputs["choices"]
    return choice["message"]["content"]


def test_trace_contains_the_chat_completions(package: Package, server: ChatServer) -> None:
    server.reply(Turn(calls(TOKYO), usage=USAGE), Turn(text("Late ."), usage=USAGE))
    output(package)
    trace = last_trace()
    call, answer = completions(trace)
    assert call.inputs == server.bodies[0]
    assert answer.inputs == server.bodies[1]
    (choice,) = call.outputs["choices"]
    called = choice["message"]["tool_calls"][0]["function"]
    assert (called["name"], json.loads(called["arguments"])) == TOKYO
    assert traced_text(answer) == "Late."
    assert trace.info.token_usage == {"input_tokens": 20, "output_tokens": 6, "total_tokens": 26}


def test_trace_contains_the_error_of_the_llm(package: Package, server: ChatServer) -> None:
    server.reply(Turn(text("Well"), cut=True))
    with pytest.raises(package("runtime.llm").LLMError):
        output(package)
    trace = last_trace()
    (failed,) = completions(trace)
    assert {span.status.status_code for span in trace.data.spans} == {"ERROR"}
    assert "closed the connection" in str(failed.events[0].attributes)
    assert traced_text(failed) == "Well"


def test_trace_of_an_image_is_complete(package: Package, server: ChatServer) -> None:
    server.reply([{"content": "Look"}, {"images": [{"type": "image_url"}]}])
    with pytest.raises(package("runtime.llm").LLMError, match="returned an image"):
        output(package)
    (span,) = completions(last_trace())
    assert traced_text(span) == "Look"


def test_trace_of_an_abandoned_stream_contains_the_partial_text(
    package: Package, server: ChatServer
) -> None:
    server.reply(Turn(text("word " * 100), seconds_between=0.05))

    async def read_one_event() -> None:
        with mlflow.start_span("conversation"):
            stream = agent(package).predict_stream_async(request())
            await anext(stream)
            await stream.aclose()

    asyncio.run(read_one_event())
    (span,) = completions(last_trace())
    assert traced_text(span).startswith("word")


def test_reasoning_is_not_part_of_the_text(package: Package, server: ChatServer) -> None:
    """Databricks sends the text of reasoning models in parts, and null fields."""
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Tokyo?"}]}
    nulls = {"role": "assistant", "content": None, "tool_calls": None, "refusal": None}
    answer = {"content": [{"type": "text", "text": "Late."}]}
    server.reply([nulls, {"content": [reasoning]}, answer])
    items = output(package)
    assert [item["type"] for item in items] == ["reasoning", "message"]
    assert items[0]["summary"][0]["text"] == "Tokyo?"
    assert items[1]["content"][0]["text"] == "Late."


def test_trace_contains_the_context(package: Package, server: ChatServer) -> None:
    server.reply(text("Late"))
    output(package, context={"conversation_id": "c-1", "user_id": "u-1"})
    trace = last_trace()
    metadata = trace.info.trace_metadata
    assert metadata["mlflow.trace.session"] == "c-1"
    assert metadata["mlflow.trace.user"] == "u-1"
    assert trace.data.spans[0].name == "predict"


def test_long_conversation_id_does_not_cost_the_trace_its_session(
    package: Package, server: ChatServer
) -> None:
    server.reply(text("Late"))
    output(package, context={"conversation_id": "c" * 300})
    assert last_trace().info.trace_metadata["mlflow.trace.session"] == "c" * 250


def test_last_round_allows_no_tools(package: Package, server: ChatServer) -> None:
    server.reply(calls(TOKYO), calls(TOKYO), text("Late"))
    response = agent(package, max_rounds=3).predict(request())
    assert response.output[-1].type == "message"
    assert [body["tool_choice"] for body in server.bodies] == ["auto", "auto", "none"]


def test_endless_tool_calls_raise_llm_error(package: Package, server: ChatServer) -> None:
    server.reply(calls(TOKYO))
    with pytest.raises(package("runtime.llm").LLMError, match="max_rounds"):
        agent(package, max_rounds=2).predict(request())
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (Turn(status=500, error="Down."), "Down"),
        (Turn(text("Well"), cut=True), "closed the connection"),
        (Turn([], finish_reason="length"), "returned an empty answer"),
        (Turn(text(""), finish_reason="content_filter"), "returned an empty answer"),
    ],
)
def test_failing_llm_raises_llm_error(
    package: Package, server: ChatServer, turn: Turn, message: str
) -> None:
    server.reply(turn)
    with pytest.raises(package("runtime.llm").LLMError, match=message):
        output(package)


def test_answer_past_the_deadline_raises_timeout_error(
    package: Package, server: ChatServer
) -> None:
    server.reply(Turn(text("one two three four five"), seconds_between=0.2))
    with pytest.raises(TimeoutError, match="answer_timeout_seconds"):
        agent(package, answer_timeout_seconds=0.3).predict(request())


async def search() -> str:
    """Search without end."""
    await asyncio.sleep(60)
    return "Nothing is found."


def test_timeout_names_the_tools_that_do_not_finish(package: Package, server: ChatServer) -> None:
    server.reply(Turn(calls(("search", {}), TOKYO)))
    searching = agent(package, answer_timeout_seconds=0.5)
    toolbox = package("runtime.toolbox").Toolbox([search, package("tools").current_time])
    searching = type(searching)(searching.config, searching.instructions, toolbox)
    with pytest.raises(TimeoutError, match="These tools did not finish: search\\."):
        searching.predict(request())


def test_closing_the_stream_cancels_the_llm_request(package: Package, server: ChatServer) -> None:
    server.reply(Turn(text("word " * 100), seconds_between=0.05))
    stream = agent(package).predict_stream(request())
    assert next(stream).type == "response.output_text.delta"
    stream.close()
    assert server.disconnected.wait(timeout=5)


def test_every_delta_belongs_to_a_done_item(package: Package, server: ChatServer) -> None:
    """Some servers send an empty text before tool calls."""
    server.reply([{"role": "assistant", "content": ""}, *calls(TOKYO)], text("Late"))
    events = [event.model_dump() for event in agent(package).predict_stream(request())]
    deltas = {event["item_id"] for event in events if "delta" in event}
    done = {event["item"]["id"] for event in events if event["type"].endswith("item.done")}
    assert deltas <= done


def test_call_without_an_id_gets_one(package: Package, server: ChatServer) -> None:
    deltas = calls(TOKYO)
    deltas[0]["tool_calls"][0]["id"] = ""
    server.reply(deltas, text("Late"))
    call, result, _ = output(package)
    assert call["call_id"]
    assert call["call_id"] == result["call_id"]


def test_disabled_tracing_logs_no_warnings(
    package: Package, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply(text("Late"))
    mlflow.tracing.disable()
    try:
        output(package, context={"conversation_id": "c-1"})
    finally:
        mlflow.tracing.enable()
    assert [record for record in caplog.records if record.name.startswith("mlflow")] == []


def test_interrupted_message_has_no_done_event(package: Package, server: ChatServer) -> None:
    server.reply(Turn(text("Well"), cut=True))
    events = []
    with pytest.raises(package("runtime.llm").LLMError):
        events += agent(package).predict_stream(request())
    assert [event.type for event in events] == ["response.output_text.delta"]


def test_invalid_json_arguments_become_an_error_for_the_llm(
    package: Package, server: ChatServer
) -> None:
    deltas = calls(TOKYO)
    deltas[1]["tool_calls"][0]["function"]["arguments"] = "lace: Tokyo"
    server.reply(deltas, text("Late"))
    call, result, _ = output(package)
    assert json.loads(call["arguments"]) == {"not_a_json_object": '{"place: Tokyo'}
    assert "Error: invalid arguments for current_time" in result["output"]


def test_call_without_arguments_gets_an_empty_object(package: Package, server: ChatServer) -> None:
    function = {"name": "days_between", "arguments": ""}
    server.reply([{"tool_calls": [{"index": 0, "id": "c", "function": function}]}], text("Late"))
    call, _, _ = output(package)
    assert call["arguments"] == "{}"


def test_developer_messages_join_the_system_message(package: Package, server: ChatServer) -> None:
    server.reply(text("Late"))
    output(package, {"role": "developer", "content": "Be brief."}, QUESTION)
    system, *others = server.bodies[0]["messages"]
    assert system["role"] == "system"
    assert system["content"].endswith("\n\nBe brief.")
    assert [message["role"] for message in others] == ["user"]
