"""Thousands of malformed requests: the server accepts or rejects each, and never fails."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import cycle
from random import Random
from typing import Any

import httpx
import pytest

from tests.server.serving import HELLO, TOKYO, Served, hides_internals, output_text

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
TURNS = [
    {"role": "user", "content": [{"type": "input_text", "text": TOKYO}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "?"}]},
    CALL | {"status": "completed"},
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
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "reasoning": {"effort": "low"},
    "metadata": {"a": "b"},
    "temperature": 0.5,
    "max_output_tokens": 5,
    "instructions": "Be brief.",
    "previous_response_id": None,
}
VALID: list[dict[str, Any]] = [
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


def positions(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in a value with each of its keys or indices."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from positions(value[key])


def malformed(random: Random) -> bytes:
    """Return a valid request with a few values replaced, added or removed."""
    request = deepcopy(random.choice(VALID))
    for _ in range(random.randint(1, 3)):
        container, key = random.choice([*positions(request), (request, random.choice(KEYS))])
        value = deepcopy(random.choice(VALUES))
        kind = random.choice(["replace", "replace", "add", "remove"])
        if kind == "remove":
            container.pop(key, None) if isinstance(container, dict) else container.pop(key)
        elif kind == "replace":
            container[key] = value
        elif isinstance(container, dict):
            container[random.choice(KEYS)] = value
        else:
            container.insert(key, value)
    return json.dumps(request).encode()


def corrupted(random: Random) -> bytes:
    """Return a valid request with a few bytes replaced."""
    body = bytearray(json.dumps(HELLO | SETTINGS).encode())
    for _ in range(random.randint(1, 6)):
        body[random.randrange(len(body))] = random.randrange(256)
    return bytes(body)


@pytest.mark.parametrize("make_body", [malformed, corrupted])
def test_malformed_requests_never_fail(
    make_body: Callable[[Random], bytes], served: Served
) -> None:
    with httpx.Client(timeout=30) as client:
        statuses = {
            check(client.post(f"{served.url}/{route}", content=body), body)
            for route, body in zip(
                cycle(("responses", "invocations")), bodies(make_body, 1500), strict=False
            )
        }
    assert statuses == {200, 400}
    assert " ERROR " not in served.read_log()
    assert output_text(served.post(HELLO).json())


def bodies(make_body: Callable[[Random], bytes], count: int) -> Iterator[bytes]:
    """Return request bodies, the same ones in each run."""
    random = Random(7)
    return (make_body(random) for _ in range(count))


def check(response: httpx.Response, body: bytes) -> int:
    """Assert that a request was answered or rejected, and return the status."""
    assert response.status_code < 500, (body, response.text)
    if response.is_error:
        assert len(response.json()["error"]["message"]) < 1000
        assert hides_internals(response.text), response.text
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert "response.completed" in response.text, (body, response.text)
    return response.status_code
