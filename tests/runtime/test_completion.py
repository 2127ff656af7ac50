"""Completions of real servers: their chunks become items, and items their message again.

The chunks follow public descriptions of each API and public reports of deviations.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from tests.conftest import Package

Chunk = dict[str, Any]
Item = dict[str, Any]


def chunk(**delta: Any) -> Chunk:
    """Return a chunk with one choice."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def end(finish_reason: str) -> Chunk:
    """Return the last chunk of a completion."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}


def piece(
    name: str | None = None, arguments: Any = None, /, **fields: Any
) -> dict[str, list[dict[str, Any]]]:
    """Return a delta with a piece of a tool call."""
    function = {"name": name, "arguments": arguments}
    function = {key: value for key, value in function.items() if value is not None}
    return {"tool_calls": [{"type": "function", "function": function, **fields}]}


def reasoning(text: str, **fields: Any) -> dict[str, Any]:
    """Return a delta with reasoning, as Databricks sends it."""
    summary = {"type": "summary_text", "text": text, **fields}
    return {"content": [{"type": "reasoning", "summary": [summary]}]}


def converted(package: Package, chunks: list[Chunk]) -> tuple[list[Item], str, list[Chunk]]:
    """Return the items of a completion, the text of its deltas, and the messages of the items."""
    messages, items = package("runtime.messages"), package("runtime.items")

    async def stream() -> AsyncIterator[Chunk]:
        for each in chunks:
            yield each

    async def events() -> list[Any]:
        return [event async for event in messages.to_events(stream())]

    received = asyncio.run(events())
    done = [item for event in received if (item := items.done_item(event))]
    with package("runtime.llm.pieces").join_pieces():
        joined = asyncio.run(events())
    assert without_ids(filter(None, map(items.done_item, joined))) == without_ids(done)
    return done, "".join(map(items.text_delta, received)), messages.to_messages(done)


def without_ids(found: Iterable[Item]) -> list[Item]:
    """Return items without the ids that they may get here."""
    return [item | {"id": None, "call_id": None} for item in found]


# The pieces of two calls, a({"x": 1}) and b({"y": 2}), as servers send them.
TWO_CALLS = {
    "OpenAI: id and name first, then the arguments": [
        piece("a", "", index=0, id="1"),
        piece(None, '{"x": ', index=0),
        piece(None, "1}", index=0),
        piece("b", "", index=1, id="2"),
        piece(None, '{"y": 2}', index=1),
    ],
    "pieces of two calls alternate": [
        piece("a", '{"x": ', index=0, id="1"),
        piece("b", '{"y": ', index=1, id="2"),
        piece(None, "1}", index=0),
        piece(None, "2}", index=1),
    ],
    "Gemini: whole calls without an index": [
        piece("a", '{"x": 1}', id="1"),
        piece("b", '{"y": 2}', id="2"),
    ],
    "an empty id and no index": [
        piece("a", '{"x": 1}', id=""),
        piece("b", '{"y": 2}', id=""),
    ],
    "index null": [
        piece("a", '{"x": 1}', id="1", index=None),
        piece("b", '{"y": 2}', id="2", index=None),
    ],
    "index 0 for all, with ids": [
        piece("a", '{"x": ', index=0, id="1"),
        piece(None, "1}", index=0, id="1"),
        piece("b", '{"y": ', index=0, id="2"),
        piece(None, "2}", index=0),
    ],
    "index 0 for all and no id": [
        piece("a", '{"x": 1}', index=0),
        piece("b", '{"y": 2}', index=0),
    ],
    "neither index nor id": [
        piece("a", '{"x": '),
        piece(None, "1}"),
        piece("b", '{"y": 2}'),
    ],
    "pieces found by id alone": [
        piece("a", '{"x": ', id="1"),
        piece("b", '{"y": ', id="2"),
        piece(None, "1}", id="1"),
        piece(None, "2}", id="2"),
    ],
    "indexes with a gap": [
        piece("a", '{"x": 1}', index=1, id="1"),
        piece("b", '{"y": 2}', index=4, id="2"),
    ],
    "llama.cpp: arguments as an object": [
        piece("a", {"x": 1}, index=0, id="1"),
        piece("b", {"y": 2}, index=1, id="2"),
    ],
    "numbers as ids": [
        piece("a", '{"x": 1}', index=0, id=1),
        piece("b", '{"y": 2}', index=1, id=2),
    ],
    "the name in a later piece": [
        piece(None, None, index=0, id="1"),
        piece("a", None, index=0),
        piece(None, '{"x": 1}', index=0),
        piece(None, '{"y": 2}', index=1, id="2"),
        piece("b", None, index=1),
    ],
    "id and name in every piece": [
        piece("a", '{"x": ', index=0, id="1"),
        piece("a", "1}", index=0, id="1"),
        piece("b", '{"y": ', index=1, id="2"),
        piece("b", "2}", index=1, id="2"),
    ],
    "the name in every piece, no id": [
        piece("a", '{"x": ', index=0),
        piece("a", "1}", index=0),
        piece("b", '{"y": 2}', index=1),
    ],
    "a new id in every piece": [
        piece("a", '{"x": ', index=0, id="1"),
        piece(None, "1}", index=0, id="7"),
        piece("b", '{"y": 2}', index=1, id="2"),
    ],
    "the same id for both": [
        piece("a", '{"x": 1}', index=0, id="1"),
        piece("b", '{"y": 2}', index=1, id="1"),
    ],
    "an empty piece at the end": [
        piece("a", '{"x": 1}', index=0, id="1"),
        piece("b", '{"y": 2}', index=1, id="2"),
        piece("", "", index=1),
        {"tool_calls": []},
        {"tool_calls": None},
    ],
    "DashScope: empty ids after the first piece": [
        piece("a", "", index=0, id="1"),
        piece(None, '{"x": 1}', index=0, id=""),
        piece("b", "", index=1, id="2"),
        piece(None, '{"y": 2}', index=1, id=""),
    ],
    "the arguments before the name": [
        piece(None, '{"x": ', index=0, id="1"),
        piece("a", "1}", index=0),
        piece("", "", index=1, id="2"),
        piece(None, '{"y": ', index=1),
        piece("b", "2}", index=1),
    ],
    "null as a text in place of the name": [
        piece("a", '{"x": ', index=0, id="1"),
        piece("null", "1}", index=0, id=""),
        piece("b", '{"y": ', index=1, id="2"),
        piece("null", "2}", index=1, id=""),
    ],
    "Claude: an empty object before the arguments": [
        piece("a", "{}", index=0, id="1"),
        piece(None, '{"x": ', index=0),
        piece(None, "1}", index=0),
        piece("b", "{}", index=1, id="2"),
        piece(None, '{"y": 2}', index=1),
    ],
    "the arguments twice": [
        piece("a", '{"x": 1}', index=0, id="1"),
        piece(None, '{"x": 1}', index=0),
        piece("b", '{"y": 2}{"y": 2}', index=1, id="2"),
    ],
    "all arguments so far in every piece": [
        piece("a", '{"x', index=0, id="1"),
        piece(None, '{"x": ', index=0),
        piece(None, '{"x": 1}', index=0),
        piece("b", "{", index=1, id="2"),
        piece("b", '{"y": 2}', index=1, id="2"),
    ],
    "arguments as JSON in a string": [
        piece("a", '"{\\"x\\": 1}"', index=0, id="1"),
        piece("b", '"{\\"y\\": ', index=1, id="2"),
        piece(None, '2}"', index=1),
    ],
    "DeepSeek: the second call starts at the index of the first": [
        piece("a", "", index=0, id="1"),
        piece(None, '{"x": 1}', index=0),
        piece("b", "", index=0, id="2"),
        piece(None, '{"y": 2}', index=1),
    ],
    "LocalAI: the same call at several indexes": [
        piece("a", "", index=0, id="1"),
        piece("a", '{"x": 1}', index=1, id="1"),
        piece("a", '{"x": 1}', index=2, id="1"),
        piece("b", '{"y": 2}', index=3, id="2"),
    ],
    "both in one delta": [
        {
            "tool_calls": [
                *piece("a", '{"x": 1}', index=0, id="1")["tool_calls"],
                *piece("b", '{"y": 2}', index=1, id="2")["tool_calls"],
            ]
        }
    ],
}


@pytest.mark.parametrize("deltas", TWO_CALLS.values(), ids=TWO_CALLS)
@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop"])
def test_pieces_of_tool_calls_are_assembled(
    deltas: list[Chunk], finish_reason: str, package: Package
) -> None:
    chunks = [*(chunk(**delta) for delta in deltas), end(finish_reason)]
    items, text, (message,) = converted(package, chunks)
    called = [(item["name"], json.loads(item["arguments"])) for item in items]
    assert called == [("a", {"x": 1}), ("b", {"y": 2})]
    assert text == ""
    ids = [item["call_id"] for item in items]
    assert len({*ids}) == 2
    assert [call["id"] for call in message["tool_calls"]] == ids
    assert all("index" not in call for call in message["tool_calls"])


# The pieces of two calls of one tool, a({"x": 1}) and a({"x": 2}).
CALLS_OF_ONE_TOOL = {
    "Gemini: at the same index": [
        piece("a", "", index=0, id="1"),
        piece("", '{"x": 1}', index=0),
        piece("", '{"x": 2}', index=0),
    ],
    "Kimi: with the same id": [
        piece("a", '{"x": 1}', index=0, id="1"),
        piece("a", '{"x": 2}', index=1, id="1"),
    ],
    "Ollama: index 0 for all": [piece("a", '{"x": 1}', index=0), piece("a", '{"x": 2}', index=0)],
}


@pytest.mark.parametrize("deltas", CALLS_OF_ONE_TOOL.values(), ids=CALLS_OF_ONE_TOOL)
def test_calls_of_one_tool_stay_separate(deltas: list[Chunk], package: Package) -> None:
    chunks = [*(chunk(**delta) for delta in deltas), end("tool_calls")]
    items, *_ = converted(package, chunks)
    called = [(item["name"], json.loads(item["arguments"])) for item in items]
    assert called == [("a", {"x": 1}), ("a", {"x": 2})]
    assert len({item["call_id"] for item in items}) == 2


def test_a_name_in_fragments_is_joined(package: Package) -> None:
    deltas = [piece("get_", "", index=0, id="1"), piece("time", "", index=0)]
    deltas.append(piece(None, '{"x": 1}', index=0))
    (item,), *_ = converted(package, [*(chunk(**each) for each in deltas), end("tool_calls")])
    assert (item["name"], item["arguments"]) == ("get_time", '{"x": 1}')


@pytest.mark.parametrize("arguments", ["", " ", None, "{}", {}, "{}{}"])
def test_a_call_without_arguments_has_an_empty_object(arguments: Any, package: Package) -> None:
    chunks = [chunk(**piece("a", arguments, index=0, id="1")), end("tool_calls")]
    (item,), _, (message,) = converted(package, chunks)
    assert item["arguments"] == "{}"
    assert message["tool_calls"][0]["function"] == {"name": "a", "arguments": "{}"}


@pytest.mark.parametrize("joined", ['{"x": 1} {"x": 1}', '{"x": 1, "y": 2}{"y": 2, "x": 1}'])
def test_arguments_that_a_server_repeats_are_one_call(joined: str, package: Package) -> None:
    items, *_ = converted(package, [chunk(**piece("a", joined, index=0)), end("tool_calls")])
    assert len(items) == 1


@pytest.mark.parametrize("arguments", ["0 " * 500_000, "{} " * 300_000, "[" * 100_000])
def test_arguments_of_a_client_take_little_time(arguments: str, package: Package) -> None:
    start = time.monotonic()
    (sent,) = package("runtime.llm.tool_calls").json_objects([arguments])
    assert time.monotonic() - start < 5
    assert isinstance(json.loads(sent), dict)


def test_the_form_before_parallel_calls_is_a_call(package: Package) -> None:
    deltas = [
        {"function_call": {"name": "a", "arguments": ""}},
        {"function_call": {"arguments": '{"x": 1}'}},
    ]
    (item,), *_ = converted(package, [*(chunk(**each) for each in deltas), end("function_call")])
    assert (item["name"], item["arguments"]) == ("a", '{"x": 1}')


# Chunks, and the expected items: (type, text) of reasoning and messages, (type, name) of calls.
COMPLETIONS: dict[str, tuple[list[Chunk], list[tuple[str, str]]]] = {
    "text": ([chunk(content="Hel"), chunk(content="lo")], [("message", "Hello")]),
    "text and call in one delta": (
        [chunk(content="Let me see.", **piece("a", "{}", index=0, id="1"))],
        [("message", "Let me see."), ("function_call", "a")],
    ),
    "white space before a call": (
        [chunk(content="\n"), chunk(content="\n", **piece("a", "{}", index=0, id="1"))],
        [("function_call", "a")],
    ),
    "DeepSeek: reasoning in its own field": (
        [chunk(reasoning_content="Th"), chunk(reasoning_content="ink"), chunk(content="Hello")],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "vLLM: reasoning before a call": (
        [chunk(reasoning="Think", content=None), chunk(**piece("a", "{}", index=0, id="1"))],
        [("reasoning", "Think"), ("function_call", "a")],
    ),
    "both names of reasoning": (
        [chunk(reasoning="Think", reasoning_content="Think"), chunk(content="Hello")],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "Copilot: the field of its reasoning": (
        [chunk(reasoning_text="Th"), chunk(reasoning_text="ink"), chunk(content="Hello")],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "MiniMax: only details of the reasoning": (
        [
            chunk(reasoning_details=[{"type": "reasoning.text", "text": "Th", "index": 0}]),
            chunk(reasoning_details=[{"type": "reasoning.text", "text": "ink", "index": 0}]),
            chunk(content="Hello"),
        ],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "Envoy: reasoning as an object": (
        [
            chunk(reasoning_content={"text": "Th"}),
            chunk(reasoning_content={"text": "ink"}),
            chunk(reasoning_content={"signature": "abc"}),
            chunk(content="Hello"),
        ],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "Databricks: reasoning as parts with a signature": (
        [
            chunk(**reasoning("Th")),
            chunk(**reasoning("ink")),
            chunk(**reasoning("", signature="abc")),
            chunk(content=[{"type": "text", "text": "Hel"}]),
            chunk(content="lo"),
        ],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "Databricks: an empty summary": (
        [chunk(content=[{"type": "reasoning", "summary": []}]), chunk(content="Hello")],
        [("message", "Hello")],
    ),
    "Databricks: encrypted reasoning": (
        [
            chunk(content=[{"type": "reasoning", "summary": [{"encrypted_content": "x"}]}]),
            chunk(content="Hello"),
        ],
        [("message", "Hello")],
    ),
    "Mistral: thinking as parts": (
        [
            chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Think"}]}]),
            chunk(content="Hello"),
        ],
        [("reasoning", "Think"), ("message", "Hello")],
    ),
    "strings as parts": ([chunk(content=["Hel", "lo"])], [("message", "Hello")]),
    "one part instead of a list": (
        [chunk(content={"type": "text", "text": "Hello"})],
        [("message", "Hello")],
    ),
    "a null text in a part": (
        [chunk(content=[{"type": "text", "text": None}]), chunk(content="Hello")],
        [("message", "Hello")],
    ),
    "reasoning after the text": (
        [chunk(content="Hello"), chunk(reasoning="Think"), chunk(content="!")],
        [("message", "Hello!"), ("reasoning", "Think")],
    ),
    "a refusal": ([chunk(refusal="I "), chunk(refusal="cannot.")], [("message", "I cannot.")]),
    "a refusal and a text in one delta": (
        [chunk(refusal="I cannot.", content="No: ")],
        [("message", "No: I cannot.")],
    ),
    "null everywhere": (
        [
            chunk(role="assistant", content=None, refusal=None, tool_calls=None, audio=None),
            chunk(content="Hello", function_call=None, reasoning_content=None),
        ],
        [("message", "Hello")],
    ),
    "chunks without content": (
        [{}, {"choices": []}, {"choices": None}, chunk(content="Hello"), {"usage": {}}],
        [("message", "Hello")],
    ),
    "a choice without delta": (
        [{"choices": [{"index": 0}]}, {"choices": [None]}, chunk(content="Hello")],
        [("message", "Hello")],
    ),
    "a whole completion": (
        [{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}]}],
        [("message", "Hello")],
    ),
    "the whole message after its pieces": (
        [
            chunk(content="Hel"),
            chunk(content="lo"),
            {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}]},
        ],
        [("message", "Hello")],
    ),
    "the whole message after the reasoning and a call": (
        [
            chunk(reasoning="Think", **piece("a", "{}", index=0, id="1")),
            {"choices": [{"message": {"reasoning": "Think", **piece("a", "{}", id="1")}}]},
        ],
        [("reasoning", "Think"), ("function_call", "a")],
    ),
    "Copilot: text and call in two choices": (
        [{"choices": [{"delta": {"content": "Hello"}}, {"delta": piece("a", "{}", id="1")}]}],
        [("message", "Hello"), ("function_call", "a")],
    ),
    "Copilot: text and call in two choices of a whole completion": (
        [{"choices": [{"message": {"content": "Hello"}}, {"message": piece("a", "{}", id="1")}]}],
        [("message", "Hello"), ("function_call", "a")],
    ),
    "a whole completion with a call": (
        [{"choices": [{"message": {"content": None, **piece("a", "{}", id="1")}}]}],
        [("function_call", "a")],
    ),
}


def summarized(item: Item) -> tuple[str, str]:
    """Return the type of an item, and its text or the name of the tool."""
    parts = item.get("summary") or item.get("content") or []
    text = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    return item["type"], item.get("name") or text


@pytest.mark.parametrize(("chunks", "expected"), COMPLETIONS.values(), ids=COMPLETIONS)
def test_everything_streamed_is_in_the_items(
    chunks: list[Chunk], expected: list[tuple[str, str]], package: Package
) -> None:
    items, text, _ = converted(package, [*chunks, end("stop")])
    assert [summarized(item) for item in items] == expected
    assert text == "".join(text for kind, text in expected if kind == "message")
    assert {item["status"] for item in items} == {"completed"}
    assert len({item["id"] for item in items}) == len(items)


def test_a_message_contains_its_sources(package: Package) -> None:
    sources = [
        {"url": "https://example.org/1", "title": "One", "start_index": 0, "end_index": 5},
        {"url": "https://example.org/2", "content": "Hello"},
    ]
    annotations = [{"type": "url_citation", "url_citation": source} for source in sources]
    deltas = [chunk(content="Hello"), *(chunk(annotations=[each]) for each in annotations)]
    (item,), _, (message,) = converted(package, [*deltas, end("stop")])
    second = {"url": "https://example.org/2", "title": "https://example.org/2"}
    assert item["content"][0]["annotations"] == [
        {"type": "url_citation", **sources[0]},
        {"type": "url_citation", **second, "start_index": 0, "end_index": 0},
    ]
    assert message == {"role": "assistant", "content": "Hello"}


def test_sources_beside_the_choices_are_those_of_the_message(package: Package) -> None:
    """Perplexity sends all of them in each chunk."""
    sources = {"citations": ["https://example.org/1", "https://example.org/2"]}
    chunks = [chunk(content=text) | sources for text in ("Hel", "lo")]
    (item,), *_ = converted(package, [*chunks, end("stop") | sources])
    urls = [source["url"] for source in item["content"][0]["annotations"]]
    assert urls == sources["citations"]


# Deltas, and the message that the same server gets in the next round.
TURNS: dict[str, tuple[list[Chunk], dict[str, Any]]] = {
    "text is a string": (
        [{"content": "Hel"}, {"content": "lo"}],
        {"content": "Hello"},
    ),
    "a blank text in a part with empty fields is left out": (
        [{"content": [{"type": "text", "text": "\n", "annotations": []}]}],
        {"content": None},
    ),
    "DeepSeek: the reasoning": (
        [{"reasoning_content": "Th"}, {"reasoning_content": "ink"}, {"content": "Hello"}],
        {"content": "Hello", "reasoning_content": "Think"},
    ),
    "Databricks: the signature of a thought": (
        [reasoning("Think"), reasoning("", signature="abc"), {"content": "Hello"}],
        {
            "content": [
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "Think", "signature": "abc"}],
                },
                {"type": "text", "text": "Hello"},
            ]
        },
    ),
    "OpenRouter: the details of the reasoning": (
        [
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Th"}]},
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "ink"}]},
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "abc"}]},
            {"content": "Hello"},
        ],
        {
            "content": "Hello",
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Think", "signature": "abc"}
            ],
        },
    ),
    "OpenRouter: a signature after another detail": (
        [
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "Think"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "x"}]},
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "abc"}]},
        ],
        {
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "index": 0, "text": "Think", "signature": "abc"},
                {"type": "reasoning.encrypted", "index": 1, "data": "x"},
            ],
        },
    ),
    "OpenRouter: encrypted details of several calls": (
        [
            {"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "id": name}]}
            for name in ("call_1", "call_2")
        ],
        {
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.encrypted", "index": 0, "id": "call_1"},
                {"type": "reasoning.encrypted", "index": 0, "id": "call_2"},
            ],
        },
    ),
    "Groq: the channel of the reasoning": (
        [{"channel": "analysis", "reasoning": "Th"}, {"channel": "analysis", "reasoning": "ink"}],
        {"content": None, "channel": "analysis", "reasoning": "Think"},
    ),
    "LiteLLM: the blocks of the thoughts": (
        [
            {"thinking_blocks": [{"type": "thinking", "thinking": "Th"}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "ink", "signature": "abc"}]},
            {"content": "Hello"},
        ],
        {
            "content": "Hello",
            "thinking_blocks": [{"type": "thinking", "thinking": "Think", "signature": "abc"}],
        },
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), TURNS.values(), ids=TURNS)
def test_a_server_gets_its_own_turn_back(
    deltas: list[Chunk], expected: dict[str, Any], package: Package
) -> None:
    call = piece("a", "{}", index=0, id="1")
    chunks = [*(chunk(**delta) for delta in [*deltas, call]), end("tool_calls")]
    *_, (message,) = converted(package, chunks)
    assert message.pop("tool_calls")[0]["id"] == "1"
    assert message == {"role": "assistant", **expected}


def test_a_server_gets_the_fields_of_a_function_back(package: Package) -> None:
    (call,) = piece("a", "{}", index=0, id="1")["tool_calls"]
    call["function"]["provider_specific_fields"] = {"thought_signature": "abc"}
    *_, (message,) = converted(package, [chunk(tool_calls=[call]), end("tool_calls")])
    assert message["tool_calls"][0]["function"] == call["function"]


def test_a_server_gets_the_id_of_a_call_back(package: Package) -> None:
    """LiteLLM puts Gemini's signature of the thought in the id."""
    call_id = f"call_1__thought__{'x' * 60}"
    items, *_ = converted(package, [chunk(**piece("a", "{}", id=call_id)), end("stop")])
    result = {"type": "function_call_output", "call_id": call_id, "output": "Done."}
    turn, output = package("runtime.messages").to_messages([*items, result])
    assert turn["tool_calls"][0]["id"] == output["tool_call_id"] == call_id


def test_a_server_gets_the_signature_of_a_call_back(package: Package) -> None:
    signature = {"google": {"thought_signature": "abc"}}
    delta = piece("a", "{}", id="1", extra_content=signature)
    *_, (message,) = converted(package, [chunk(**delta), end("stop")])
    assert message["tool_calls"][0]["extra_content"] == signature


CUT_OFF = ["length", "max_tokens", "model_context_window_exceeded"]
FILTERED = ["content_filter", "SAFETY", "content_filtered", "guardrail_intervened", "refusal"]
FILTERED += ["sensitive"]


@pytest.mark.parametrize("reason", CUT_OFF + FILTERED)
def test_a_cut_off_answer_is_incomplete_and_calls_no_tool(reason: str, package: Package) -> None:
    chunks = [chunk(content="Hel"), chunk(**piece("a", '{"x', index=0, id="1")), end(reason)]
    (item,), text, _ = converted(package, chunks)
    assert summarized(item) == ("message", text) == ("message", "Hel")
    assert item["status"] == "incomplete"


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource", "abort"])
def test_other_finish_reasons_are_errors(reason: str, package: Package) -> None:
    error = package("runtime.llm").LLMError
    with pytest.raises(error, match=f"stopped because of '{reason}'"):
        converted(package, [chunk(content="Hello"), end(reason)])


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([chunk(content="Hel")], "in the middle of its answer"),
        ([end("stop")], "an empty answer"),
        ([chunk(content=" \n"), end("stop")], "an empty answer"),
        ([chunk(reasoning="Think"), end("stop")], "an empty answer"),
        ([chunk(**piece(None, "{}", index=0, id="1")), end("stop")], "without its name"),
        ([chunk(content="A cat:"), chunk(images=[{"type": "image_url"}]), end("stop")], "an image"),
    ],
)
def test_a_completion_without_an_answer_is_an_error(
    chunks: list[Chunk], message: str, package: Package
) -> None:
    with pytest.raises(package("runtime.llm").LLMError, match=message):
        converted(package, chunks)


# The texts of chunks that contain the text of earlier ones again.
REPEATED = {
    "all text so far in every chunk": ["H", "Hel", "Hello"],
    "two chunks": ["Hello", "Hello, how are you?"],
    "DashScope: the last chunk twice": ["Hello", "Hello, how are you?", "Hello, how are you?"],
    "RAGFlow: all text in the last chunk": ["Hel", "lo, how ", "are you?", "Hello, how are you?"],
}


@pytest.mark.parametrize("texts", REPEATED.values(), ids=REPEATED)
@pytest.mark.parametrize("name", ["content", "reasoning"])
def test_a_text_that_the_server_repeats_is_an_error(
    name: str, texts: list[str], package: Package
) -> None:
    chunks = [*(chunk(**{name: text}) for text in texts), chunk(**piece("a", "{}", index=0))]
    with pytest.raises(package("runtime.llm").LLMError, match="more than once"):
        converted(package, [*chunks, end("stop")])


@pytest.mark.parametrize(
    "texts",
    [
        *(["ha", "haha"], ["ha", "haha", "hahaha"], ["-", "--"], ["1", "10"], ["```", "```\n"]),
        *(["Hello", "Hello"], ["\n", "\n\n", "Hello"], ["Hel", "lo", " Hello"]),
    ],
)
def test_a_text_that_the_model_repeats_is_kept(texts: list[str], package: Package) -> None:
    items, text, _ = converted(package, [*(chunk(content=each) for each in texts), end("stop")])
    assert [summarized(item) for item in items] == [("message", text)]
    assert text == "".join(texts)
