"""The offline LLM refuses what the APIs of LLMs refuse."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Package

Message = dict[str, Any]

HELLO: Message = {"role": "user", "content": "Hello"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}
TYPED = {"type": "object", "properties": {"city": {"type": "string"}}}


TEAM = {
    "type": "object",
    "properties": {
        "members": {"type": "array", "items": {"$ref": "#/$defs/Member"}},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["members", "size"],
    "$defs": {
        "Member": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "reports": {"type": "array", "items": {"$ref": "#/$defs/Member"}},
            },
            "required": ["name", "reports"],
        }
    },
}


def call(identifier: str = "call_1", name: str = "map", arguments: Any = "{}") -> Message:
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def turn(*calls: Message) -> Message:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def output(identifier: str = "call_1", content: Any = "42") -> Message:
    return {"role": "tool", "tool_call_id": identifier, "content": content}


def tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "map", "parameters": parameters}}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "map"} | fields}


def city(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"city": {"type": "string"} | fields}}


def problems(package: Package, messages: Any, **fields: Any) -> Iterator[str]:
    body = {"messages": messages} | fields
    return package("runtime.llm.offline.requests").problems_with_request(body)


@pytest.mark.parametrize(
    "messages",
    [
        [HELLO, turn(call()), output(), HELLO],
        [HELLO, turn(call(), call("call_2")), output("call_2"), output()],
        [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, HELLO],
        [{"role": "assistant", "content": None, "refusal": "No."}, HELLO],
        [{"role": "user", "content": [IMAGE]}],
        [turn(call()), output(content=[{"type": "text", "text": "42"}])],
    ],
)
def test_valid_messages_are_accepted(package: Package, messages: Any) -> None:
    assert not list(problems(package, messages, tools=[tool(TYPED)]))


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "the conversation is empty"),
        (["Hello"], r"messages\[0\].role': None is not one of"),
        ([{"role": "human", "content": "Hello"}], r"'human' is not one of developer, system"),
        ([HELLO, output()], r"messages\[1\]': a tool message must follow .* 'call_1' is not"),
        ([turn(call()), output(), output()], r"messages\[2\]': a tool message must follow"),
        ([turn(call()), HELLO, output()], r"no output before 'messages\[1\]': call_1 \(map\)"),
        ([turn(call(), call("call_2")), output()], "before the end of 'messages': call_2"),
        ([{"role": "user", "content": ""}], r"messages\[0\].content': text content must be non-em"),
        ([{"role": "system", "content": " \n"}, HELLO], r"messages\[0\].content': text content"),
        ([{"role": "user", "content": []}], "text content must be non-empty"),
        ([turn(call()), output(content="")], r"messages\[1\].content': text content"),
        ([{"role": "user", "content": None}], "expected a string or an array of parts, got null"),
        ([turn(call()), output(content={"a": 1})], "expected a string or .*, got dict"),
        ([turn(call()), output(content=[IMAGE])], "tool message has only texts, not 'image_url'"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "text content must be"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], r"\[0\].type': 'input_text' is"),
        ([{"role": "user", "content": [{"type": "file"}]}], "of type 'file' needs file"),
        ([HELLO, {"role": "user", "content": "\ud83c"}], r"messages\[1\].*unpaired surrogate"),
        ([HELLO, {"role": "assistant", "content": "It is "}], "ends in white space: 'It is '"),
        ([turn() | {"content": "Hi"}], "expected an array of tool calls"),
        ([turn(call("")), output("")], r"tool_calls\[0\].id': '' is not a string of 1 to 40"),
        ([turn(call("x" * 41)), output("x" * 41)], "is not a string of 1 to 40"),
        ([turn(call(), call()), output(), output()], "'call_1' is repeated"),
        ([turn(call(name="größe")), output()], "function.name': 'größe' does not match"),
        ([turn(call(arguments={})), output()], "arguments of 'map' are not a JSON object in a"),
        ([turn(call(arguments="{'a': 1}")), output()], "arguments of 'map' are not a JSON object"),
        ([turn(call(arguments="[]")), output()], "arguments of 'map' are not a JSON object"),
        ([HELLO | {"name": "Anna Example"}], r"messages\[0\].name': 'Anna Example' does not match"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "data:"}]}],
            "image_url': expected an object, got str",
        ),
    ],
)
def test_invalid_messages_are_refused(package: Package, messages: Any, problem: str) -> None:
    assert re.search(problem, next(problems(package, messages)))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"tools": []}, "'tools': the array is empty"),
        ({"tool_choice": "none"}, "'tool_choice': it is only allowed when 'tools'"),
        ({"tools": ["map"]}, r"Missing required parameter: 'tools\[0\].function'"),
        ({"tools": [tool(TYPED), tool(TYPED)]}, "must be unique, but 'map' is repeated"),
        (
            {"tools": [tool({"type": "object", "properties": {"city": {"title": "City"}}})]},
            r"function 'map': In context=\('properties', 'city'\), schema must have a 'type' key",
        ),
        ({"tools": [tool(TYPED) | {"type": None}] * 129}, "maximum length is 128, but it has 129"),
        (
            {"tools": [{"function": {"name": "map"}}]},
            r"Missing required parameter: 'tools\[0\].type",
        ),
        ({"tools": [function(input_schema=TYPED)]}, "Unknown parameter: .*input_schema"),
        (
            {"tools": [function(description=["A map."])]},
            "description': expected a string, got list",
        ),
        ({"tools": [tool(city(required=True))]}, "'required' is True, not of type list"),
        ({"tools": [tool(city(enum=[]))]}, "'enum' is empty"),
        ({"tools": [tool(city(minLength="1"))]}, "'minLength' is '1', not of type int or float"),
        ({"tools": [tool(city() | {"required": ["town"]})]}, "property 'town' is not defined"),
        ({"tools": [tool(city() | {"anyOf": [{}]})]}, "must not have 'anyOf' at the top level"),
        ({"tools": [tool(city(**{"$ref": "#/$defs/City"}))]}, "'#/.defs/City' was not found"),
        (
            {"tools": [tool({"type": "object", "properties": {"größe": {}}})]},
            "'größe' does not match",
        ),
        ({"tools": [function(strict=True, parameters=TYPED)]}, "'additionalProperties' must be fa"),
        (
            {"tools": [function(strict=True, parameters=TYPED | {"additionalProperties": False})]},
            "'required' lacks 'city'",
        ),
    ],
)
def test_invalid_tools_are_refused(package: Package, fields: Any, problem: str) -> None:
    assert re.search(problem, next(problems(package, [HELLO], **fields)))


def test_valid_tools_are_accepted(package: Package) -> None:
    strict = TYPED | {"required": ["city"], "additionalProperties": False}
    cached = function(name="draw", cache_control={"type": "ephemeral"})  # of LiteLLM
    tools = [function(name="find", strict=True, parameters=strict), tool(TEAM), cached]
    assert not list(problems(package, [HELLO], tools=tools))


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_p": 1.0, "max_tokens": None, "stop": ["a"], "seed": -1},
        {"top_k": 40, "min_p": 0.1, "chat_template_kwargs": {}, "repetition_penalty": 1.1},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tools": [tool(TYPED)], "tool_choice": "required"},
        {"tools": [tool(TYPED)], "tool_choice": {"type": "function", "function": {"name": "map"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "Team"}}},
        {"response_format": {"type": "text"}},
        {"metadata": {"user": "u-1"}},
        {"reasoning_effort": "high", "verbosity": "low", "service_tier": "flex"},
        {"logprobs": True, "top_logprobs": 5, "stop": "END", "prompt_cache_key": "c" * 64},
    ],
)
def test_valid_options_are_accepted(package: Package, fields: Any) -> None:
    assert not list(problems(package, [HELLO], **fields))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"temperature": "0.2"}, "'temperature': expected a number, got str"),
        ({"temperature": 5}, "'temperature': 5 must be at most 2"),
        ({"max_tokens": 0}, "'max_tokens': 0 must be at least 1"),
        ({"temprature": 0.2}, "Unknown parameter: 'temprature'. Did you mean 'temperature'?"),
        ({"metadata": ["u-1"]}, "'metadata': expected an object"),
        ({"metadata": {"turn": 1}}, "'metadata.turn': expected a string, got int"),
        ({"metadata": {"note": "a" * 513}}, "'metadata.note': a name has at most 64 characters"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "an object has at most 16 keys",
        ),
        ({"stop": ["a"] * 5}, "'stop': the maximum length is 4, but it has 5"),
        ({"stop": ["a", "\n\n"]}, "'stop': each sequence must contain a character other than"),
        ({"stop": [1]}, "'stop': expected a string or an array of strings"),
        ({"max_tokens": 1000.5}, "'max_tokens': expected an integer, got 1000.5"),
        ({"reasoning_effort": False}, "'reasoning_effort': False is not one of none, minimal"),
        ({"verbosity": "short"}, "'verbosity': 'short' is not one of low, medium, high"),
        ({"service_tier": "fast"}, "'service_tier': 'fast' is not one of auto"),
        ({"top_logprobs": 5}, "only allowed when 'logprobs' is true"),
        ({"prompt_cache_key": "c" * 65}, "'prompt_cache_key': it has more than 64 characters"),
        ({"response_format": "json_object"}, "expected an object with a type, got str"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"tools": [tool(TYPED)], "tool_choice": "any"}, "'any' is not one of none, auto, req"),
        (
            {"tools": [tool(TYPED)], "tool_choice": {"type": "function", "function": {}}},
            "None is not the name of a tool",
        ),
        ({"response_format": {"type": "json_object"}}, "a message must contain 'json'"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": TYPED}}},
            "Missing required parameter: 'response_format.json_schema.name'",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "City", "strict": True, "schema": TYPED},
                }
            },
            "'additionalProperties' must be false",
        ),
    ],
)
def test_invalid_options_are_refused(package: Package, fields: Any, problem: str) -> None:
    assert re.search(problem, next(problems(package, [HELLO], **fields)))


def test_conversation_that_is_too_long_is_refused(package: Package) -> None:
    problem = package("runtime.llm.offline.requests").problem_with_length
    assert not problem([{"role": "user", "content": "x" * 512_000}])
    assert "maximum context length is 128000" in problem(
        [HELLO, HELLO | {"content": "x" * 512_001}]
    )


FIELDS: Message = {"role": "system", "content": "Return JSON with `topic` and 'mood'."}


def reply(package: Package, messages: list[Message], tools: Any = (), **fields: Any) -> Any:
    body = {"messages": messages} | fields
    return package("runtime.llm.offline.replies").reply_to(body, "tools", [*tools])


def test_answer_has_the_requested_format(package: Package) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "Team", "schema": TEAM}}
    team = json.loads(reply(package, [HELLO], response_format=schema).text)
    assert team["size"] == 1
    assert "Hello" in team["members"][0]["name"]
    answer = reply(package, [FIELDS, HELLO], response_format={"type": "json_object"})
    assert json.loads(answer.text).keys() == {"topic", "mood"}


DSPY: Message = {
    "role": "system",
    "content": """Your input fields are:
1. `question` (str):
Your output fields are:
1. `answer` (str):
2. `topic` (Literal['sport', 'weather']):
3. `rounds` (int):
4. `is_final` (bool):
5. `team` (Team):
All interactions will be structured in the following way, with the appropriate values filled in.

[[ ## question ## ]]
{question}

[[ ## answer ## ]]
{answer}

[[ ## topic ## ]]
{topic}        # note: the value you produce must exactly match one of: sport; weather

[[ ## rounds ## ]]
{rounds}        # note: the value you produce must be a single int value

[[ ## is_final ## ]]
{is_final}        # note: the value you produce must be True or False

[[ ## team ## ]]
{team}        # note: the value you produce must adhere to the JSON schema: SCHEMA

[[ ## completed ## ]]
In adhering to this structure, your objective is:
        Answer.""".replace("SCHEMA", json.dumps(TEAM)),
}
REMINDER = (
    "Respond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, "
    "and then ending with the marker for `[[ ## completed ## ]]`."
)


def test_answer_has_the_fields_that_dspy_requests(package: Package) -> None:
    question = "[[ ## context ## ]]\nBe brief.\n\n[[ ## question ## ]]\nHello\n\nyou\n\n" + REMINDER
    text = reply(package, [DSPY, HELLO | {"content": question}]).text
    parts = re.split(r"\[\[ ## (\w+) ## \]\]\n?", text)[1:]
    fields = {name: value.strip() for name, value in zip(parts[::2], parts[1::2], strict=True)}
    assert list(fields) == ["answer", "topic", "rounds", "is_final", "team", "completed"]
    assert fields["answer"].endswith("repeat what you said: Hello\n\nyou")
    assert (fields["topic"], fields["rounds"], fields["is_final"]) == ("sport", "1", "True")
    assert json.loads(fields["team"])["size"] == 1


def test_answer_continues_after_the_reminder_of_dspy(package: Package) -> None:
    messages = [DSPY, HELLO, turn(call()), output(), HELLO | {"content": REMINDER}]
    assert "map says: " in reply(package, messages).text


def test_outputs_of_tools_may_be_lists_of_parts(package: Package) -> None:
    parts = [{"type": "text", "text": "4 degrees"}, {"type": "text", "text": "and rain"}]
    messages = [HELLO, turn(call()), output(content=parts)]
    assert "map says: 4 degrees and rain." in reply(package, messages).text


def test_tools_are_called_one_by_one_without_parallel_calls(package: Package) -> None:
    tools = [{"name": name, "parameters": TYPED} for name in ("map", "weather")]
    messages, names = [HELLO], []
    while calls := reply(package, messages, tools, parallel_tool_calls=False).calls:
        assert len(calls) == 1
        names.append(calls[0][0])
        messages += [turn(call(f"call_{len(names)}", names[-1])), output(f"call_{len(names)}")]
    assert names == ["map", "weather"]
