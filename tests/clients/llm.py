"""The replies of the fake LLM, chosen by the question, so that programs need not set them."""

import json
from typing import Any

from tests.helpers.model_server import Turn, calls, text

TOOLS = [
    ("current_time", {"place": "Tokyo"}),
    ("days_between", {"start": "2026-01-31", "end": "2026-03-01"}),
]
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
# Replies to questions that make the LLM fail.
FAILURES = {
    "Fail with 401": Turn(status=401, error="Incorrect API key provided."),
    "Fail with 429": Turn(status=429, error="Slow down.", headers={"retry-after": "7"}),
    "Fail with 500": Turn(status=500, error="The server had an error."),
    "Fail later": Turn([{"content": "It is"}], cut=True),
}
SLOW = Turn(text("word " * 1000), seconds_between=0.05)


def reply_to(body: dict[str, Any]) -> Turn:
    """Return the reply to a request.

    A question about a time is answered with text and two tool calls, then with a text. `What did
    you read?` is answered with the outline of the conversation that reached the LLM.
    """
    messages = body["messages"]
    question = text_of([one for one in messages if one["role"] == "user"][-1])
    if question in FAILURES:
        return FAILURES[question]
    if question == "Talk":
        return SLOW
    if question == "What did you read?":
        return answer(outline(messages))
    if messages[-1]["role"] != "tool":
        # With a schema, OpenAI's models write only JSON.
        start = [] if "response_format" in body else [{"content": "Let me see."}]
        return Turn([*start, *calls(*TOOLS)], usage=USAGE)
    if "response_format" in body:
        return answer(json.dumps({"city": "Tokyo", "days": 29}))
    return answer("It is noon.")


def answer(words: str) -> Turn:
    """Return a reply with a text, in several chunks."""
    pieces = [words[start : start + 5] for start in range(0, len(words), 5)]
    return Turn([{"content": piece} for piece in pieces], usage=USAGE)


def outline(messages: list[dict[str, Any]]) -> str:
    """Describe a conversation, such as `user, 2 calls, output, output, assistant, user`.

    The outputs that clients write in place of those of the tools are errors.
    """
    words: list[str] = []
    for message in messages:
        if message["role"] == "assistant" and message.get("content"):
            words.append("assistant")
        if number := len(message.get("tool_calls", [])):
            words.append("call" if number == 1 else f"{number} calls")
        if message["role"] == "tool":
            words.append("error" if "tool" in message["content"].lower() else "output")
        elif message["role"] != "assistant":
            words.append(message["role"])
    return ", ".join(words).removeprefix("system, ")


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
