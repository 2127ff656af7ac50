"""Every parameter of a request reaches the LLM, or is refused."""

from typing import Any

import httpx
import pytest
from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from tests.conftest import Package
from tests.helpers.model_server import ChatServer, calls, text
from tests.server.conftest import RunApp
from tests.server.serving import HELLO, output_text

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
CHAT_FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}

# Parameters of the Responses API, and the options of the chat-completions API.
PASSED_ON: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0.2}, {"temperature": 0.2}),
    "zero": ({"temperature": 0, "top_p": 0.0}, {"temperature": 0, "top_p": 0.0}),
    "limit": ({"max_output_tokens": 20}, {"max_tokens": 20}),
    "reasoning": ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    "JSON": (
        {"text": {"format": {"type": "json_object"}}, "instructions": "Answer in JSON."},
        {"response_format": {"type": "json_object"}},
    ),
    "schema": (
        {"text": {"format": FORMAT}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "schema without a name": (
        {"text": {"format": FORMAT | {"name": ""}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "schema as in chat completions": (
        {"text": {"format": CHAT_FORMAT}},
        {"response_format": CHAT_FORMAT},
    ),
    "no tool calls": ({"tool_choice": "none"}, {"tool_choice": "none"}),
    "verbosity": ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
    "one tool call at a time": ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
}
# Parameters without effect on the answer, which clients send by default.
WITHOUT_EFFECT = {
    "model": "agent",
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "service_tier": "auto",
    "truncation": "disabled",
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}, "verbosity": ""},
    "reasoning": {"effort": ""},
    "tools": [],
    "user": "ada",
    "stream_options": {"include_obfuscation": False},
    "prompt_cache_key": "key",
    "top_logprobs": 0,
    "databricks_options": {"return_trace": False},
    "frequency_penalty": 0,
    "n": 1,
}
TOOL = {"type": "function", "name": "a", "parameters": SCHEMA, "strict": True}
REFUSED: dict[str, Any] = {
    "tools": [TOOL],
    "tool_choice": "required",
    "background": True,
    "truncation": "auto",
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "instructions": ["Be brief."],
    "text": {"format": {"type": "grammar"}},
    "prompt": {"id": "pmpt_1"},
    "max_tool_calls": 2,
    "top_logprobs": 3,
    "max_tokens": 20,
    "response_format": {"type": "json_object"},
    "service_tier": "flex",
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
    "include": ["message.output_text.logprobs"],
    "stop": ["\n"],
    "seed": 0,
    "n": 2,
    "temperature": 5,
    "top_p": -1,
    "max_output_tokens": 0,
    "reasoning": {"effort": "hard"},
}


@pytest.mark.parametrize(("parameters", "options"), PASSED_ON.values(), ids=PASSED_ON)
@pytest.mark.parametrize("stream", [False, True])
def test_parameters_reach_the_llm(
    parameters: dict[str, Any],
    options: dict[str, Any],
    stream: bool,
    run_agent: RunApp,
    server: ChatServer,
) -> None:
    server.reply(calls(("current_time", {"place": "Tokyo"})), text("Noon"))
    run_agent().post(HELLO | parameters | {"stream": stream})
    assert len(server.bodies) == 2
    for body in server.bodies:
        assert options.items() <= body.items()


def test_options_of_config_yml_reach_the_llm_unless_callers_override_them(
    package: Package, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_LLM", "openai:/m")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    agent = package("agent").AGENT
    options = {"temperature": 0.2, "seed": 7, "max_completion_tokens": 500}
    config = type(agent.config)(**agent.config.model_dump() | {"llm_options": options})
    agent = type(agent)(config, agent.instructions, agent.toolbox)
    server.reply(text("Hello"))
    for parameters in ({}, {"temperature": 0, "max_output_tokens": 20}):
        agent.predict(ResponsesAgentRequest.model_validate(HELLO | parameters))
    names = ("temperature", "seed", "max_tokens", "max_completion_tokens")
    sent = [[body.get(name) for name in names] for body in server.bodies]
    assert sent == [[0.2, 7, 500, None], [0, 7, 20, None]]


@pytest.mark.parametrize("name", ["model", "messages", "stream", "tools", "tool_choice"])
def test_config_yml_sets_no_field_that_the_agent_sets(package: Package, name: str) -> None:
    settings = package("agent").AGENT.config.model_dump() | {"llm_options": {name: "x"}}
    with pytest.raises(ValidationError, match=f"The agent sets {name} itself"):
        package("runtime.config").Config(**settings)


@pytest.mark.parametrize("name", ["extra_body", "timeout"])
def test_config_yml_sets_no_argument_of_the_client(package: Package, name: str) -> None:
    settings = package("agent").AGENT.config.model_dump() | {"llm_options": {name: {}}}
    with pytest.raises(ValidationError, match=f"Remove {name}: it is for OpenAI's Python client"):
        package("runtime.config").Config(**settings)


def test_parameters_without_effect_are_accepted(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    app = run_agent()
    assert output_text(app.post(HELLO | WITHOUT_EFFECT).json()) == "Hello"
    app.post(HELLO)
    with_parameters, without = server.bodies
    assert with_parameters == without


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("stream", [False, True])
def test_other_parameters_are_refused(
    name: str, stream: bool, run_agent: RunApp, server: ChatServer
) -> None:
    response = run_agent().post(HELLO | {name: REFUSED[name], "stream": stream})
    assert response.status_code == httpx.codes.BAD_REQUEST
    error = response.json()["error"]
    assert error["param"].startswith(name)
    assert f"`{error['param']}`" in error["message"]
    assert server.bodies == []


def test_instructions_join_the_system_message(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    run_agent().post(HELLO | {"instructions": "Be brief."})
    system, *others = server.bodies[0]["messages"]
    assert system["role"] == "system"
    assert system["content"].endswith("\n\nBe brief.")
    assert len(system["content"]) > len("\n\nBe brief.")
    assert [message["role"] for message in others] == ["user"]


def test_response_repeats_the_options_of_tools(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    options = {"tool_choice": "none", "parallel_tool_calls": False}
    response = run_agent().post(HELLO | options | {"store": True}).json()
    assert (options | {"store": False}).items() <= response.items()


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, []),
        ({"type": "reasoning", "id": "rs_1", "summary": None}, []),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}, ["No"]),
        ({"type": None, "role": "user", "content": "Hi"}, ["Hi"]),
    ],
    ids=["no id", "no summary", "refusal", "no type"],
)
def test_items_may_lack_what_only_mlflow_requires(
    item: dict[str, Any], sent: list[str], run_agent: RunApp, server: ChatServer
) -> None:
    server.reply(text("Hello"))
    response = run_agent().post({"input": [item, *HELLO["input"]]})
    assert response.status_code == httpx.codes.OK, response.text
    _system, *messages = server.bodies[0]["messages"]
    assert [message["content"] for message in messages] == [*sent, "Hello"]


@pytest.mark.parametrize(
    "content",
    ["", " \n", [], [{"type": "input_text", "text": " "}]],
    ids=["", "blank", "[]", "part"],
)
def test_input_without_content_is_refused(content: Any, run_agent: RunApp) -> None:
    others = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
    ]
    for value in (content, [*others, {"role": "user", "content": content}]):
        response = run_agent().post({"input": value})
        assert response.status_code == httpx.codes.BAD_REQUEST
        assert "`input` is empty" in response.json()["error"]["message"]


def test_an_integer_may_have_a_decimal_point(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    response = run_agent().post(HELLO | {"max_output_tokens": 10.0})
    assert response.status_code == httpx.codes.OK, response.text
    assert server.bodies[0]["max_tokens"] == 10
    refused = run_agent().post(HELLO | {"max_output_tokens": 10.5})
    assert refused.status_code == httpx.codes.BAD_REQUEST


def test_calls_of_chat_completions_are_refused(run_agent: RunApp) -> None:
    function = {"name": "current_time", "arguments": "{}"}
    call = {"id": "c", "type": "function", "function": function}
    message = {"role": "assistant", "content": "Hm", "tool_calls": [call]}
    response = run_agent().post({"input": [message, *HELLO["input"]]})
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert "`function_call`" in response.json()["error"]["message"]


def test_metadata_is_returned(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    app = run_agent()
    body = HELLO | {"metadata": {"case": "7"}}
    assert app.post(body).json()["metadata"] == {"case": "7"}
    assert {
        event["response"]["metadata"]["case"] for event in app.events(body) if "response" in event
    } == {"7"}


@pytest.mark.parametrize("fields", [{"type": "item_reference"}, {"type": None}, {}])
def test_item_references_are_refused_with_the_remedy(
    fields: dict[str, Any], run_agent: RunApp
) -> None:
    response = run_agent().post({"input": [*HELLO["input"], {"id": "msg_1", **fields}]})
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert "`store: false`" in response.json()["error"]["message"]


def test_parts_of_a_tool_output_are_joined(run_agent: RunApp, server: ChatServer) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "a", "arguments": "{}"}
    parts = [{"type": "input_text", "text": "It is"}, {"type": "input_text", "text": "noon."}]
    output = {"type": "function_call_output", "call_id": "1", "output": parts}
    server.reply(text("Hello"))
    response = run_agent().post({"input": [*HELLO["input"], call, output]})
    assert response.status_code == httpx.codes.OK, response.text
    assert server.bodies[0]["messages"][-1]["content"] == "It is\nnoon."


def test_usage_is_omitted_if_the_llm_reports_none(run_agent: RunApp, server: ChatServer) -> None:
    server.reply(text("Hello"))
    app = run_agent()
    assert "usage" not in app.post(HELLO).json()
    *_, last = app.events(HELLO)
    assert "usage" not in last["response"]


@pytest.mark.parametrize("verbosity", ["short", 1])
def test_an_unknown_verbosity_is_refused(verbosity: Any, run_agent: RunApp) -> None:
    response = run_agent().post(HELLO | {"text": {"verbosity": verbosity}})
    assert response.status_code == httpx.codes.BAD_REQUEST
    assert "one of low, medium, high" in response.json()["error"]["message"]
