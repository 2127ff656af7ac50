"""Thousands of malformed requests to `serve`: none fails inside, and none harms the next one."""

import json
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import httpx
import pytest

from tests.server.serving import HELLO, TOKYO, Served, spoken, tells_nothing

CALLED = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
TURNS = [
    {"role": "user", "content": [{"type": "input_text", "text": TOKYO}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "?"}]},
    CALLED | {"status": "completed"},
    {"type": "function_call_output", "call_id": "c", "output": "12:00"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "Noon", "annotations": []},
            {"type": "refusal", "refusal": "No"},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
            {"type": "input_file", "file_id": "f", "filename": "a.pdf"},
        ],
    },
    {"role": "developer", "content": "Be brief."},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
    HELLO["input"][0],
]
SETTINGS = {
    "stream": True,
    "context": {"conversation_id": "c", "user_id": "u"},
    "custom_inputs": {"a": [1, None]},
    "tools": [{"type": "function", "name": "f", "parameters": {}}],
    "tool_choice": "auto",
    "truncation": "auto",
    "reasoning": {"effort": "low"},
    "metadata": {"a": "b"},
    "temperature": 0.5,
    "max_output_tokens": 5,
    "instructions": "Be brief.",
    "previous_response_id": None,
}
SOUND: list[dict[str, Any]] = [
    HELLO,
    HELLO | SETTINGS,
    {"input": "Hello", "stream": True},
    *({"input": [turn, *HELLO["input"]]} for turn in TURNS),
    {"input": TURNS} | SETTINGS,
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 0.5, 10**40, float("inf"), float("nan")),
    *("", "text", "\0", "😀", "user", "assistant", "tool", "message", "function_call"),
    *([], {}, [[]], [{}], [None], ["text"], {"type": "input_text"}, {"role": "user"}),
]
KEYS = ["input", "type", "role", "content", "text", "call_id", "output", "summary", "stream", "x"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a value, with each of its keys or indices."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def malformed(chance: Random) -> bytes:
    """A sound request with a few of its values replaced, added or taken away."""
    request = deepcopy(chance.choice(SOUND))
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice([*places(request), (request, chance.choice(KEYS))])
        value = deepcopy(chance.choice(VALUES))
        kind = chance.choice(["replace", "replace", "add", "remove"])
        if kind == "remove":
            container.pop(key, None) if isinstance(container, dict) else container.pop(key)
        elif kind == "replace":
            container[key] = value
        elif isinstance(container, dict):
            container[chance.choice(KEYS)] = value
        else:
            container.insert(key, value)
    return json.dumps(request).encode()


def garbled(chance: Random) -> bytes:
    """A sound request with a few of its bytes replaced."""
    body = bytearray(json.dumps(HELLO | SETTINGS).encode())
    for _ in range(chance.randint(1, 6)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


@pytest.mark.parametrize("body_of", [malformed, garbled])
def test_malformed_requests_do_no_harm(body_of: Any, served: Served) -> None:
    chance = Random(7)
    with httpx.Client(timeout=30) as client:
        statuses = {
            check(client.post(f"{served.url}/{route}", content=body), body)
            for route in ("responses", "invocations")
            for body in (body_of(chance) for _ in range(1500))
        }
    assert statuses == {200, 400}
    assert "Failure" not in served.log.read_text(encoding="utf-8")
    assert spoken(served.post(HELLO).json())


def check(response: httpx.Response, body: bytes) -> int:
    """Assert that a request was answered or refused, and return the status."""
    assert response.status_code < 500, (body, response.text)
    if response.is_error:
        assert len(response.json()["error"]["message"]) < 1000
        assert tells_nothing(response.text), response.text
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert "response.completed" in response.text, (body, response.text)
    return response.status_code
