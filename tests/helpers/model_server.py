"""A model server that speaks chat completions over HTTP, and says what a test tells it to."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Chunk = dict[str, Any]

# One id for all answers, as some servers have it.
_ENVELOPE: Chunk = {"id": "chatcmpl-1", "created": 1, "model": "fake"}


def text(words: str) -> list[Chunk]:
    """The deltas of a turn that says something, word by word."""
    return [{"role": "assistant", "content": ""}] + [{"content": word} for word in words.split()]


def calls(*named: tuple[str, dict[str, Any]], call_id: str = "call") -> list[Chunk]:
    """The deltas of a turn that calls tools, each call in two pieces, as real servers send it."""
    deltas: list[Chunk] = []
    for index, (name, arguments) in enumerate(named):
        head, tail = (whole := json.dumps(arguments))[:3], whole[3:]
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
    """What the server answers to one request.

    Attributes:
        deltas: What it says, piece by piece.
        usage: The tokens it counts, told to whom asks for them.
        noise: What it sends before all else, as it is.
    """

    deltas: list[Chunk] = field(default_factory=list)
    usage: Chunk | None = None
    noise: bytes = b""
    finish_reason: str | None = "stop"
    status: int = 200
    error: str = ""
    seconds_between: float = 0.0
    silent_for: float = 0.0
    # What the last delta waits for.
    held: threading.Event | None = None
    cut: bool = False


@dataclass
class ChatServer:
    """The server's address, its next turns (the last one is repeated), and what it was asked."""

    url: str
    turns: list[Turn] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    left: list[str] = field(default_factory=list)

    def say(self, *turns: Turn | list[Chunk]) -> None:
        """Set the turns to come; a list of deltas is a turn that goes well."""
        self.turns = [turn if isinstance(turn, Turn) else Turn(turn) for turn in turns]


def completion(turn: Turn) -> Chunk:
    """What a turn that only speaks is in one piece."""
    content = " ".join(filter(None, (delta.get("content") for delta in turn.deltas)))
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": turn.finish_reason}
    return {"object": "chat.completion", "choices": [choice]}


class _Handler(BaseHTTPRequestHandler):
    server_state: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        state = self.server_state
        length = int(self.headers["content-length"])
        state.bodies.append(json.loads(self.rfile.read(length)))
        state.paths.append(self.path)
        state.headers.append({name.lower(): value for name, value in self.headers.items()})
        turn = state.turns.pop(0) if len(state.turns) > 1 else state.turns[0]
        try:
            time.sleep(turn.silent_for)
            self._answer(turn, state.bodies[-1])
        except (BrokenPipeError, ConnectionResetError):
            state.gone.set()
            state.left.append(self.path)
        self.close_connection = True

    def _answer(self, turn: Turn, asked: Chunk) -> None:
        if turn.status != 200:
            self._send_whole({"error": {"message": turn.error}}, turn.status)
            return
        if not asked.get("stream"):
            self._send_whole(_ENVELOPE | completion(turn))
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if turn.noise:
            self._write(turn.noise)
        for delta in turn.deltas:
            if turn.held and delta is turn.deltas[-1]:
                turn.held.wait(timeout=120)
            self._send({"choices": [{"index": 0, "delta": delta}]})
            time.sleep(turn.seconds_between)
        if turn.cut:
            return
        if turn.finish_reason:
            choice = {"index": 0, "delta": {}, "finish_reason": turn.finish_reason}
            self._send({"choices": [choice]})
        if turn.usage and (asked.get("stream_options") or {}).get("include_usage"):
            self._send({"choices": [], "usage": turn.usage})
        self._write(b"data: [DONE]\n\n")
        self._write(b"")

    def _send_whole(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, chunk: Chunk) -> None:
        whole = {**_ENVELOPE, "object": "chat.completion.chunk", **chunk}
        self._write(f"data: {json.dumps(whole)}\n\n".encode())

    def _write(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


@contextmanager
def chat_server() -> Generator[ChatServer]:
    """A running server, on a free port of this machine's loopback."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state = ChatServer(f"http://127.0.0.1:{server.server_address[1]}")
    handler.server_state = state
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
