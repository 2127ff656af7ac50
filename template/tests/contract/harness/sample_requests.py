"""Requests that clients send."""

from typing import Any

from .agents import HELLO_MESSAGE, Item, Request

TOOL_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "an_earlier_tool",
    "arguments": "{}",
}
TOOL_OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
OUTPUT_PARTS = TOOL_OUTPUT | {"output": [{"type": "input_text", "text": "aspen"}]}
ANSWER = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "I am an agent.", "annotations": []}],
}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "They greet me."}],
}
UNREADABLE_REASONING = REASONING | {"summary": [], "encrypted_content": "x"}
REFUSAL = ANSWER | {"content": [{"type": "refusal", "refusal": "I cannot help with that."}]}
# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
WEB_IMAGE = {"type": "input_image", "image_url": "https://example.com/chart.png"}
FILE = {
    "type": "input_file",
    "filename": "notes.txt",
    "file_data": "data:text/plain;base64,d2lsbG93",
}
# Not a text: it starts like a PDF, and is not UTF-8.
PDF = {
    "type": "input_file",
    "filename": "report.pdf",
    "file_data": "data:application/pdf;base64,JVBERi0xLjcKJeLjz9MK",
}
STORED_FILE = {"type": "input_file", "file_id": "file-6F2ksmvXxt4VdoqmHRw6kL"}
# An item of a tool that OpenAI runs.
WEB_SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "agents"},
}
# Each attachment with words; one of them in a request shows that the LLM receives it. The text file
# contains "willow".
ATTACHMENTS = {
    "an image": (IMAGE, ["image"]),
    "an image of a website": (WEB_IMAGE, ["image", "chart.png"]),
    "a file": (FILE, ["file", "notes.txt", "willow"]),
    "a PDF": (PDF, ["file", "report.pdf"]),
}
TWO_PARTS = [
    {"type": "input_text", "text": "Hello,"},
    {"type": "input_text", "text": "who are you?"},
]
# Applications send such data of their users in `custom_inputs`.
USER_DATA = (
    *("user", "user_id", "name", "email", "tenant", "department", "place", "language"),
    *("session_id", "thread_id"),
)
EARLIER_USER = "cedar"  # of requests before those of other users
OPTIONS = {
    "temperature": 0.5,
    "max_output_tokens": 500,
    "top_p": 0.9,
    "metadata": {"source": "test"},
    "store": False,
    "user": f"{EARLIER_USER}-user",
}


def user(content: Any) -> Item:
    """Return a user message."""
    return {"role": "user", "content": content}


def hello(**fields: Any) -> Request:
    """Return a greeting with more fields."""
    return {"input": [HELLO_MESSAGE], **fields}


REQUESTS: dict[str, Request] = {
    "text": hello(),
    "content parts": {"input": [user(TWO_PARTS)]},
    "non-Latin text": {"input": [user("Grüße, 世界! 🌍 \u202e")]},
    "one word": {"input": [user("Hi")]},
    "a quoted text": {"input": [user("> Who are you?\n> I am Ada.")]},
    "an emoji": {"input": [user("👍")]},
    "a link": {"input": [user("https://example.com/news?id=1#top")]},
    "HTML": {"input": [user("<p>Who are <b>you</b>?</p>")]},
    "JSON as text": {"input": [user('{"question": "Who are you?"}')]},
    "placeholders in the text": {"input": [user("What do {name}, %s, 100 % and $x mean?")]},
    "a long text": {"input": [user("Hello! " * 1000)]},
    # A regular expression with nested repetitions takes years for it.
    "a long word": {"input": [user("aGVsbG8" * 300)]},
    "several turns": {"input": [HELLO_MESSAGE, ANSWER, user("And who am I?")]},
    "an earlier answer as plain text": {
        "input": [HELLO_MESSAGE, {"role": "assistant", "content": "I am an agent."}, HELLO_MESSAGE]
    },
    "two messages in a row": {"input": [HELLO_MESSAGE, HELLO_MESSAGE]},
    "a tool output as the last item": {"input": [HELLO_MESSAGE, TOOL_CALL, TOOL_OUTPUT]},
    "a tool output with content parts": {
        "input": [HELLO_MESSAGE, TOOL_CALL, OUTPUT_PARTS, ANSWER, HELLO_MESSAGE]
    },
    "an assistant message as the last item": {"input": [HELLO_MESSAGE, ANSWER]},
    "earlier reasoning": {"input": [HELLO_MESSAGE, REASONING, ANSWER, HELLO_MESSAGE]},
    "earlier reasoning without a summary": {
        "input": [HELLO_MESSAGE, UNREADABLE_REASONING, ANSWER, HELLO_MESSAGE]
    },
    "an earlier refusal": {"input": [HELLO_MESSAGE, REFUSAL, HELLO_MESSAGE]},
    "an earlier answer without text": {
        "input": [HELLO_MESSAGE, ANSWER | {"content": []}, HELLO_MESSAGE]
    },
    "an earlier web search": {"input": [HELLO_MESSAGE, WEB_SEARCH, ANSWER, HELLO_MESSAGE]},
    "an image": {"input": [user([*TWO_PARTS, IMAGE])]},
    "an image of a website": {"input": [user([WEB_IMAGE, *TWO_PARTS])]},
    "two images": {"input": [user([*TWO_PARTS, IMAGE, WEB_IMAGE])]},
    "a file": {"input": [user([*TWO_PARTS, FILE])]},
    "a PDF": {"input": [user([*TWO_PARTS, PDF])]},
    "the id of a file": {"input": [user([*TWO_PARTS, STORED_FILE])]},
    "a system message": {"input": [{"role": "system", "content": "Be brief."}, HELLO_MESSAGE]},
    "a developer message": {
        "input": [{"role": "developer", "content": "Be brief."}, HELLO_MESSAGE]
    },
    "no custom_inputs": hello(custom_inputs=None),
    "custom_inputs": hello(custom_inputs={"tenant": "a", "limits": [1, 2]}),
    "empty custom_inputs": hello(custom_inputs={}),
    "context": hello(
        context={"conversation_id": f"{EARLIER_USER}-conversation", "user_id": f"{EARLIER_USER}-id"}
    ),
    "long ids": hello(
        context={"conversation_id": "c" * 200, "user_id": "Ada <ada@example.com>"},
        user="CORP\\Ada Example",
    ),
    "a context without a user": hello(context={"conversation_id": f"{EARLIER_USER}-conversation"}),
    "an empty context": hello(context={}),
    "options of the API": hello(**OPTIONS),
    "unknown keys": hello(no_such_key=True),
}


def headers_of(name: str) -> dict[str, str]:
    """Return the headers that Databricks Apps adds to the requests of a user."""
    headers = ("email", "user", "preferred-username", "access-token")
    return {f"x-forwarded-{header}": f"{name}-{header}" for header in headers}


def two_turns(word: str) -> Request:
    """Return a request of two turns that differs from others only in its last word."""
    return {"input": [HELLO_MESSAGE, ANSWER, user(f"Say {word}, please.")]}
