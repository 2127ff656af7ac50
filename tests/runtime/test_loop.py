"""The agent's loop, against a model server that speaks HTTP."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlflow
import pytest
from mlflow.entities import Span, SpanType, Trace
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
    """The server that answers the agent."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("AGENT_LLM", "openai:/fake")
    return server


def agent(package: Package, **settings: Any) -> Any:
    """The agent, with other settings than those of `config.yml`."""
    module = package("agent")
    config = module.AGENT.config.model_copy(update={"llm_max_retries": 0} | settings)
    return module.Agent(config, module.AGENT.instructions, module.AGENT.toolbox)


def answer(package: Package, *items: Item, **request: Any) -> list[Item]:
    """The items with which the agent answers."""
    return [item.model_dump() for item in response(package, *items, **request).output]


def response(package: Package, *items: Item, **request: Any) -> Any:
    whole = {"input": list(items or [QUESTION])} | request
    return agent(package).predict(ResponsesAgentRequest.model_validate(whole))


def test_several_tools_are_called_in_one_turn(package: Package, server: ChatServer) -> None:
    server.say(calls(TOKYO, DAYS), text("Late ."))
    items = answer(package)
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


def test_each_item_has_an_id_of_its_own(package: Package, server: ChatServer) -> None:
    server.say([*text("Let me see"), *calls(TOKYO, DAYS)], text("Late"))
    ids = [item["id"] for item in answer(package)]
    assert len(ids) == len(set(ids)) == 6
    assert all(0 < len(one) <= 64 for one in ids)


def test_a_tool_output_follows_its_call_as_apis_want_it(
    package: Package, server: ChatServer
) -> None:
    server.say([*text("Well"), *calls(TOKYO, DAYS)], text("Late"))
    answer(package)
    check_order(server.bodies[1]["messages"])
    assert server.bodies[1]["messages"][2]["content"] == "Well"


def test_parallel_calls_sent_back_become_one_turn(package: Package, server: ChatServer) -> None:
    server.say(text("Late"))
    sent_back = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}", "id": "fc_2"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
    ]
    answer(package, QUESTION, *sent_back)
    messages = server.bodies[0]["messages"]
    check_order(messages)
    assert [len(message.get("tool_calls", [])) for message in messages] == [0, 0, 2, 0, 0]


def check_order(messages: list[Item]) -> None:
    """Every turn that calls tools is followed at once by the output of each call."""
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = {call["id"] for call in message.get("tool_calls", [])}
    assert not waiting


def test_the_answer_can_be_sent_back_as_the_next_turn(package: Package, server: ChatServer) -> None:
    server.say(calls(TOKYO), text("Late"), text("Later"))
    first = answer(package)
    second = answer(package, QUESTION, *first, {"role": "user", "content": "And now?"})
    assert second[0]["content"][0]["text"] == "Later"
    check_order(server.bodies[2]["messages"])
    roles = [message["role"] for message in server.bodies[2]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_content_parts_reach_the_model(package: Package, server: ChatServer) -> None:
    server.say(text("A cat"))
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
    ]
    answer(package, {"role": "user", "content": parts})
    text_part, image_part = server.bodies[0]["messages"][1]["content"]
    assert text_part == {"type": "text", "text": "What is this?"}
    assert image_part["image_url"]["url"] == "data:image/png;base64,AA"


def test_messages_that_are_none_but_for_mlflow_reach_the_model(
    package: Package, server: ChatServer
) -> None:
    server.say(text("Late"))
    said = {"id": "msg_1", "content": [{"type": "output_text", "text": "Noon", "annotations": []}]}
    answer(package, {"type": "message"} | said, QUESTION | {"type": "function_call"})
    assert server.bodies[0]["messages"][1:] == [{"role": "assistant", "content": "Noon"}, QUESTION]


def test_content_without_anything_to_read_is_refused(package: Package) -> None:
    conversation = package("conversation")
    nothing = {"role": "assistant", "content": [{"type": "refusal"}]}
    with pytest.raises(conversation.RequestError, match="Send input_text"):
        conversation.to_messages([nothing])


def test_thoughts_and_searches_are_not_told_to_the_model(
    package: Package, server: ChatServer
) -> None:
    server.say(text("Late"))
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "?"}],
    }
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "content": "x"}
    answer(package, QUESTION, thought, search, {"role": "user", "content": "So?"})
    assert [message["role"] for message in server.bodies[0]["messages"]] == [
        "system",
        "user",
        "user",
    ]


def test_custom_inputs_are_told_to_the_model(package: Package, server: ChatServer) -> None:
    server.say(text("Late"))
    answer(package, custom_inputs={"city": "Zürich"})
    answer(package)
    with_them, without = (body["messages"][0]["content"] for body in server.bodies)
    assert '{"city": "Zürich"}' in with_them
    assert without == package("agent").AGENT.instructions


def test_custom_outputs_say_who_answered_and_how(package: Package, server: ChatServer) -> None:
    server.say(calls(TOKYO), text("Late"))
    assert response(package).custom_outputs == {"llm": "openai:/fake", "rounds": 2}


def test_tokens_are_counted_where_the_llm_counts_them(package: Package, server: ChatServer) -> None:
    server.say(Turn(calls(TOKYO), usage=USAGE), Turn(text("Late"), usage=USAGE))
    assert response(package).usage.model_dump() == {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 26,
    }
    server.say(text("Late"))
    assert response(package).usage is None


def last_trace() -> Trace:
    """The trace of the last request."""
    trace_id = mlflow.get_last_active_trace_id()
    assert trace_id
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(trace_id)
    assert trace
    return trace


def completions(trace: Trace) -> list[Span]:
    """What the LLM was asked, in its order."""
    return [span for span in trace.data.spans if span.span_type == SpanType.CHAT_MODEL]


def heard(span: Span) -> str:
    """The text that an LLM has said, as a trace tells it."""
    (message,) = span.outputs["output"]
    return message["content"][0]["text"]


def test_the_trace_says_what_was_asked_and_answered(package: Package, server: ChatServer) -> None:
    server.say(Turn(calls(TOKYO), usage=USAGE), Turn(text("Late ."), usage=USAGE))
    answer(package)
    trace = last_trace()
    call, words = completions(trace)
    assert call.inputs == server.bodies[0]
    assert words.inputs == server.bodies[1]
    (called,) = call.outputs["output"]
    assert (called["name"], json.loads(called["arguments"])) == TOKYO
    assert heard(words) == "Late."
    assert trace.info.token_usage == {"input_tokens": 20, "output_tokens": 6, "total_tokens": 26}


def test_the_trace_says_how_an_llm_failed(package: Package, server: ChatServer) -> None:
    server.say(Turn(text("Well"), cut=True))
    with pytest.raises(package("llm").LLMError):
        answer(package)
    trace = last_trace()
    (failed,) = completions(trace)
    assert {span.status.status_code for span in trace.data.spans} == {"ERROR"}
    assert "broke off" in str(failed.events[0].attributes)
    assert heard(failed) == "Well"


def test_what_a_leaving_caller_had_heard_is_in_the_trace(
    package: Package, server: ChatServer
) -> None:
    server.say(Turn(text("word " * 100), seconds_between=0.05))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})

    async def leave() -> None:
        stream = agent(package).predict_stream_async(request)
        await anext(stream)
        await stream.aclose()

    with mlflow.start_span("conversation"):
        asyncio.run(leave())
    (left,) = completions(last_trace())
    assert heard(left).startswith("word")


def test_what_an_llm_thinks_is_an_item_and_no_part_of_its_answer(
    package: Package, server: ChatServer
) -> None:
    """Databricks sends the text of LLMs that reason in parts, and fields that say nothing."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Tokyo?"}]}
    nothing = {"role": "assistant", "content": None, "tool_calls": None, "refusal": None}
    words = {"content": [{"type": "text", "text": "Late."}]}
    server.say([nothing, {"content": [thought]}, words])
    items = answer(package)
    assert [item["type"] for item in items] == ["message"]
    assert items[0]["content"][0]["text"] == "Late."


def test_the_context_is_in_the_trace(package: Package, server: ChatServer) -> None:
    server.say(text("Late"))
    answer(package, context={"conversation_id": "c-1", "user_id": "u-1"})
    trace = last_trace()
    metadata = trace.info.trace_metadata
    assert metadata["mlflow.trace.session"] == "c-1"
    assert metadata["mlflow.trace.user"] == "u-1"
    assert trace.data.spans[0].name == "predict"


def test_the_last_round_must_do_without_tools(package: Package, server: ChatServer) -> None:
    server.say(calls(TOKYO), calls(TOKYO), text("Late"))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    output = agent(package, max_rounds=3).predict(request).output
    assert output[-1].type == "message"
    assert [body["tool_choice"] for body in server.bodies] == ["auto", "auto", "none"]


def test_a_model_that_never_stops_calling_is_an_error(package: Package, server: ChatServer) -> None:
    server.say(calls(TOKYO))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    with pytest.raises(package("llm").LLMError, match="max_rounds"):
        agent(package, max_rounds=2).predict(request)
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (Turn(status=500, error="Down."), "Down"),
        (Turn(text("Well"), finish_reason=None), "broke off in the middle"),
        (Turn([], finish_reason="length"), "ended its turn without an answer"),
        (Turn(text(""), finish_reason="content_filter"), "ended its turn without an answer"),
    ],
)
def test_a_failing_model_is_an_error_and_no_answer(
    package: Package, server: ChatServer, turn: Turn, words: str
) -> None:
    server.say(turn)
    with pytest.raises(package("llm").LLMError, match=words):
        answer(package)


def test_an_answer_that_takes_too_long_is_an_error(package: Package, server: ChatServer) -> None:
    server.say(Turn(text("one two three four five"), seconds_between=0.2))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    with pytest.raises(TimeoutError, match="answer_timeout_seconds"):
        agent(package, answer_timeout_seconds=0.3).predict(request)


def test_a_caller_who_leaves_frees_the_model(package: Package, server: ChatServer) -> None:
    server.say(Turn(text("word " * 100), seconds_between=0.05))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    stream = agent(package).predict_stream(request)
    assert next(stream).type == "response.output_text.delta"
    stream.close()
    assert server.gone.wait(timeout=5)


def test_no_delta_belongs_to_no_message(package: Package, server: ChatServer) -> None:
    """Some servers begin a turn of calls with an empty text."""
    server.say([{"role": "assistant", "content": ""}, *calls(TOKYO)], text("Late"))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    events = [event.model_dump() for event in agent(package).predict_stream(request)]
    deltas = {event["item_id"] for event in events if "delta" in event}
    done = {event["item"]["id"] for event in events if event["type"].endswith("item.done")}
    assert deltas <= done


def test_a_call_without_an_id_gets_one(package: Package, server: ChatServer) -> None:
    deltas = calls(TOKYO)
    deltas[0]["tool_calls"][0]["id"] = ""
    server.say(deltas, text("Late"))
    call, output, _ = answer(package)
    assert call["call_id"]
    assert call["call_id"] == output["call_id"]


def test_requests_at_once_do_not_mix(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_LLM", "offline:/demo")
    together = threading.Barrier(16)

    def one(number: int) -> str:
        together.wait()
        content = f"I am caller-{number}."
        (item,) = answer(package, {"role": "user", "content": content})
        return item["content"][0]["text"]

    with ThreadPoolExecutor(16) as pool:
        for number, said in enumerate(pool.map(one, range(16))):
            assert said.endswith(f"I am caller-{number}.")


def test_nothing_is_said_of_traces_when_tracing_is_off(
    package: Package, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.say(text("Late"))
    mlflow.tracing.disable()
    try:
        answer(package, context={"conversation_id": "c-1"})
    finally:
        mlflow.tracing.enable()
    assert [record for record in caplog.records if record.name.startswith("mlflow")] == []


def test_what_breaks_off_is_never_done(package: Package, server: ChatServer) -> None:
    server.say(Turn(text("Well"), finish_reason=None))
    request = ResponsesAgentRequest.model_validate({"input": [QUESTION]})
    events = []
    with pytest.raises(package("llm").LLMError):
        events += agent(package).predict_stream(request)
    assert [event.type for event in events] == ["response.output_text.delta"]


def test_arguments_that_are_no_json_are_told_to_the_model(
    package: Package, server: ChatServer
) -> None:
    deltas = calls(TOKYO)
    deltas[1]["tool_calls"][0]["function"]["arguments"] = "lace: Tokyo"
    server.say(deltas, text("Late"))
    call, output, _ = answer(package)
    assert json.loads(call["arguments"]) == {"not_a_json_object": '{"place: Tokyo'}
    assert "Error: current_time was called with wrong arguments" in output["output"]


def test_a_call_without_arguments_has_an_empty_object(package: Package, server: ChatServer) -> None:
    function = {"name": "days_between", "arguments": ""}
    server.say([{"tool_calls": [{"index": 0, "id": "c", "function": function}]}], text("Late"))
    call, _, _ = answer(package)
    assert call["arguments"] == "{}"


def test_a_developer_speaks_as_the_system(package: Package, server: ChatServer) -> None:
    server.say(text("Late"))
    answer(package, {"role": "developer", "content": "Be brief."}, QUESTION)
    roles = [message["role"] for message in server.bodies[0]["messages"]]
    assert roles == ["system", "system", "user"]
