"""A fake LLM: an HTTP server with the chat-completions API and the replies that a test sets.

It refuses what the offline LLM of the template refuses, with errors in the form of OpenAI.
"""

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers.template import TEMPLATE

# The offline LLM is a package of its own, without imports from the rest of an agent.
sys.path.append(str(TEMPLATE / "src" / "{{ package_name }}" / "runtime" / "llm"))
_requests: Any = importlib.import_module("offline.requests")

Chunk = dict[str, Any]

# The same id in all responses, as some servers send it.
_ENVELOPE: Chunk = {"id": "chatcmpl-1", "created": 1, "model": "fake"}
# The type and the code of OpenAI's errors, by status.
_ERRORS = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def text(words: str) -> list[Chunk]:
    """Return the deltas of a reply with text, one per word."""
    return [{"role": "assistant", "content": ""}] + [{"content": word} for word in words.split()]


def calls(*named: tuple[str, dict[str, Any]], call_id: str = "call") -> list[Chunk]:
    """Return the deltas of a reply that calls tools; like real servers, two deltas per call."""
    deltas: list[Chunk] = []
    for index, (name, arguments) in enumerate(named):
        head, tail = (encoded := json.dumps(arguments))[:3], encoded[3:]
        function = {"name": name, "arguments": head}
        call = {
            "index": index,
            "id": f"{call_id}_{index}",
            "type": "function",
            "function": function,
        }
        deltas.append({"tool_calls": [call]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": tail}}]})
    return deltas


@dataclass
class Turn:
    """One reply of the server.

    Attributes:
        deltas: The deltas of the message, one per chunk.
        usage: The token counts; a stream has them if the request asks for them.
        raw_start: Bytes to send before the first chunk, unencoded.
        finish_reason: Why the message ends; None to end the stream without a reason.
        status: The HTTP status.
        error: The error message of a status other than 200.
        headers: Additional headers of such a response.
        streams: Whether the server streams; otherwise it sends the whole completion.
        delay: Seconds before the response.
        seconds_between: Seconds after each delta.
        hold_last: If given, the last delta is sent when this event is set.
        cut: Whether to close the connection after the last delta.
    """

    deltas: list[Chunk] = field(default_factory=list)
    usage: Chunk | None = None
    raw_start: bytes = b""
    finish_reason: str | None = "stop"
    status: int = 200
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    streams: bool = True
    delay: float = 0.0
    seconds_between: float = 0.0
    hold_last: threading.Event | None = None
    cut: bool = False


@dataclass
class ChatServer:
    """The server's URL, its replies and the requests that it received.

    Attributes:
        url: The URL, without a path.
        turns: The next replies; the last one is repeated.
        choose: Returns the reply to a request, in place of `turns`.
        paths: The path of each request.
        headers: The headers of each request, with names in lower case.
        bodies: The body of each request.
        disconnected: Set when a client closes the connection before the end of a response.
        disconnects: The path of each request that ended this way.
    """

    url: str
    turns: list[Turn] = field(default_factory=list)
    choose: Callable[[Chunk], Turn] | None = None
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)
    disconnects: list[str] = field(default_factory=list)

    def reply(self, *turns: Turn | list[Chunk]) -> None:
        """Set the next replies; a list of deltas stands for a reply without other settings."""
        self.turns = [turn if isinstance(turn, Turn) else Turn(turn) for turn in turns]


def completion(turn: Turn) -> Chunk:
    """Return a reply as one chat completion."""
    content = " ".join(filter(None, (delta.get("content") for delta in turn.deltas)))
    message: Chunk = {"role": "assistant", "content": content or None}
    if made := _whole_calls(turn.deltas):
        message["tool_calls"] = made
    choice = {"index": 0, "message": message, "finish_reason": turn.finish_reason}
    usage = {"usage": turn.usage} if turn.usage else {}
    return {"object": "chat.completion", "choices": [choice], **usage}


def _whole_calls(deltas: list[Chunk]) -> list[Chunk]:
    """Join the parts of each tool call."""
    made: dict[int, Chunk] = {}
    for part in (call for delta in deltas for call in delta.get("tool_calls", [])):
        call = made.setdefault(part["index"], {"function": {"name": "", "arguments": ""}})
        call |= {name: value for name, value in part.items() if name in ("id", "type")}
        for name, text in part.get("function", {}).items():
            call["function"][name] += text
    return list(made.values())


class _Handler(BaseHTTPRequestHandler):
    server_state: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.send_error(404)

    def end_headers(self) -> None:
        # A connection that closes without this header can break the request that follows.
        self.send_header("connection", "close")
        super().end_headers()

    def do_POST(self) -> None:
        state = self.server_state
        length = int(self.headers["content-length"])
        state.bodies.append(json.loads(self.rfile.read(length)))
        state.paths.append(self.path)
        state.headers.append({name.lower(): value for name, value in self.headers.items()})
        body = state.bodies[-1]
        try:
            if problem := next(_requests.problems_with_request(body), None):
                self._send_error(400, problem)
                return
            turn = self._next_turn(body)
            time.sleep(turn.delay)
            self._answer(turn, body)
        except (BrokenPipeError, ConnectionResetError):
            state.disconnected.set()
            state.disconnects.append(self.path)
        finally:
            self.close_connection = True

    def _next_turn(self, body: Chunk) -> Turn:
        state = self.server_state
        if state.choose:
            return state.choose(body)
        return state.turns.pop(0) if len(state.turns) > 1 else state.turns[0]

    def _answer(self, turn: Turn, body: Chunk) -> None:
        if turn.status != 200:
            self._send_error(turn.status, turn.error, turn.headers)
            return
        if not (body.get("stream") and turn.streams):
            self._send_json(_ENVELOPE | completion(turn))
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if turn.raw_start:
            self._write(turn.raw_start)
        for delta in turn.deltas:
            if turn.hold_last and delta is turn.deltas[-1]:
                turn.hold_last.wait(timeout=120)
            self._send({"choices": [{"index": 0, "delta": delta}]})
            time.sleep(turn.seconds_between)
        if turn.cut:
            return
        if turn.finish_reason:
            choice = {"index": 0, "delta": {}, "finish_reason": turn.finish_reason}
            self._send({"choices": [choice]})
        if turn.usage and (body.get("stream_options") or {}).get("include_usage"):
            self._send({"choices": [], "usage": turn.usage})
        self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _send_error(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        default = "server_error" if status >= 500 else "invalid_request_error"
        kind, code = _ERRORS.get(status, (default, None))
        error = {"message": message, "type": kind, "param": None, "code": code}
        self._send_json({"error": error}, status, headers)

    def _send_json(
        self, fields: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send(self, chunk: Chunk) -> None:
        event = {**_ENVELOPE, "object": "chat.completion.chunk", **chunk}
        self._write(f"data: {json.dumps(event)}\n\n".encode())

    def _write(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


@contextmanager
def chat_server() -> Generator[ChatServer]:
    """Run the server on a free port of the loopback interface."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state = ChatServer(f"http://127.0.0.1:{server.server_address[1]}")
    handler.server_state = state
    # `shutdown` waits for one interval.
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
