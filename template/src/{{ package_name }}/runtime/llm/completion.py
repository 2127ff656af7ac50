"""Assembles a chat completion from its chunks.

Servers with OpenAI's API agree on the outline of a chunk and differ in the details. Everything that
a chunk contains is kept, so the server gets its own turn back unchanged.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from .errors import LLMError
from .fields import Fields, choices_of, fields_of, is_repeated, merge, merge_element, string
from .tool_calls import ToolCall, ToolCalls

# The fields of a delta that are assembled here; all others belong to the server.
_KNOWN = {"role", "content", "tool_calls", "function_call", "annotations"}
# The fields with the text of reasoning; some servers send two, with the same text.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details")

# Finish reasons in lower case. Servers that translate other APIs may pass on their reasons.
_COMPLETE = {
    *("stop", "tool_calls", "function_call"),
    *("end_turn", "stop_sequence", "tool_use", "complete", "eos", "eos_token"),
}
_OUT_OF_TOKENS = {"length", "max_tokens", "model_length", "model_context_window_exceeded"}
_FILTERED = {
    *("content_filter", "content_filtered", "guardrail_intervened", "refusal"),
    *("safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive"),
}
_EMPTY = {
    None: "The LLM returned an empty answer. Try again.",
    "max_output_tokens": "The LLM returned an empty answer, because it reached its limit of output "
    "tokens. Raise the limit.",
    "content_filter": "The LLM returned an empty answer, because its content filter removed it.",
}


class Piece(NamedTuple):
    """A piece of a completion, as it arrives."""

    kind: Literal["reasoning", "text", "refusal"]
    text: str


class Completion:
    """A chat completion: `add` each chunk, then `finish`.

    Attributes:
        calls: The tool calls, in order; empty before the end.
        citations: The sources of the text, as in a Response.
        finish_reason: The server's reason in lower case, or "" before the end.
        usage: The tokens that the server reports, or an empty object.
        incomplete_reason: Why the answer is incomplete, as in a Response, or None.
    """

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.citations: list[Fields] = []
        self.finish_reason = ""
        self.usage: Fields = {}
        self.incomplete_reason: str | None = None
        self._calls = ToolCalls()
        self._received: dict[str, list[str]] = defaultdict(list)  # the texts of pieces, by kind
        # Text that is not in `_parts` yet; joining it per piece would be slow.
        self._texts: list[str] = []
        self._parts: list[Fields] = []
        self._fields: Fields = {}

    def add(self, chunk: Fields) -> list[Piece]:
        """Add a chunk, or a whole completion, and return the pieces in it.

        Raises:
            LLMError: It contains an image.
        """
        self.finish_reason = finish_reason(chunk) or self.finish_reason
        self.usage = chunk.get("usage") or self.usage
        # A completion that is not streamed is a message; some streams repeat it at their end.
        name = "delta" if self._received else "message"
        deltas = [choice.get("delta") or choice.get(name) for choice in choices_of(chunk)]
        pieces = [piece for delta in deltas for piece in self._add_delta(fields_of(delta))]
        for piece in pieces:
            self._received[piece.kind].append(piece.text)
        for url in chunk.get("citations") or []:  # Perplexity repeats them in each chunk
            if isinstance(url, str) and _citation({"url": url}) not in self.citations:
                self.citations.append(_citation({"url": url}))
        return pieces

    def _add_delta(self, delta: Fields) -> Iterator[Piece]:
        """Add a delta and yield the pieces in it."""
        if delta.get("images"):
            raise LLMError("The LLM returned an image. Use a model that returns only text.")
        thoughts = (_joined(delta[name]) for name in _REASONING if name in delta)
        if text := next(filter(None, thoughts), ""):
            yield Piece("reasoning", text)
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                self._texts.append(content)
                yield Piece("text", content)
        else:
            for part in _parts_of(content):
                yield from _pieces_of_part(part)
                self._add_part(part)
        if text := string(delta.get("refusal")):
            yield Piece("refusal", text)
        for annotation in map(fields_of, delta.get("annotations") or []):
            if source := fields_of(annotation.get("url_citation")):
                self.citations.append(_citation(source))
        self._calls.add(delta)
        merge(self._fields, {key: delta[key] for key in delta if key not in _KNOWN})

    def _add_part(self, part: Fields) -> None:
        if part.get("type") == "text" and {key for key in part if part[key]} <= {"type", "text"}:
            self._texts.append(string(part.get("text")))
        else:
            self._join_texts()
            merge_element(self._parts, part)

    def _join_texts(self) -> None:
        text = "".join(self._texts)
        self._texts.clear()
        if text.strip():  # some models refuse blank texts
            self._parts.append({"type": "text", "text": text})

    def finish(self) -> None:
        """Complete the tool calls after the last chunk.

        An incomplete answer has no tool calls, because their arguments may be cut off.

        Raises:
            LLMError: The stream ended early, contained neither text nor a tool call, repeated its
                whole text, or has a tool call without a name.
        """
        if any(map(is_repeated, self._received.values())):
            raise LLMError("The LLM sent its whole text more than once. Use another server.")
        self._join_texts()
        self.incomplete_reason = incomplete_reason(self.finish_reason)
        self.calls = [] if self.incomplete_reason else self._calls.finished()
        answer = "".join(self._received["text"] + self._received["refusal"])
        if not self.calls and not answer.strip():
            raise LLMError(_EMPTY[self.incomplete_reason])

    def turn(self) -> Fields:
        """Return the message for the next request to the same server, without the tool calls."""
        content: Any = self._parts or None
        if len(self._parts) == 1 and self._parts[0].keys() == {"type", "text"}:
            content = self._parts[0]["text"]
        return {"role": "assistant", "content": content, **self._fields}


def finish_reason(chunk: Fields) -> str:
    """Return the finish reason in a chunk in lower case, or ""."""
    for choice in choices_of(chunk):
        if reason := choice.get("finish_reason"):
            return string(reason).lower()
    return ""


def incomplete_reason(reason: str) -> str | None:
    """Return why a completion with this finish reason is incomplete; None if it is complete.

    Raises:
        LLMError: There is no finish reason, or it is an error.
    """
    if reason in _COMPLETE:
        return None
    if reason in _OUT_OF_TOKENS:
        return "max_output_tokens"
    if reason in _FILTERED:
        return "content_filter"
    cause = f"because of {reason!r}" if reason else "in the middle of its answer"
    raise LLMError(f"The LLM stopped {cause}. Try again.")


def _parts_of(content: Any) -> Iterator[Fields]:
    """Yield the parts of a content that is not a string: a part, or a list of strings and parts."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str) and part:
            yield {"type": "text", "text": part}
        elif isinstance(part, dict):
            yield part


def _pieces_of_part(part: Fields) -> Iterator[Piece]:
    """Yield the piece in a part of the content, unless it is empty."""
    kind = part.get("type")
    if kind in ("reasoning", "thinking"):
        if text := _joined(part.get("summary") or part.get("thinking") or part.get("text")):
            yield Piece("reasoning", text)
    elif kind == "refusal":
        if text := string(part.get("refusal")):
            yield Piece("refusal", text)
    elif text := string(part.get("text")):
        yield Piece("text", text)


def _citation(source: Fields) -> Fields:
    """Return a citation with all fields that a Response requires."""
    url = string(source.get("url"))
    positions = {name: source.get(name) for name in ("start_index", "end_index")}
    return {
        "type": "url_citation",
        "url": url,
        "title": string(source.get("title")) or url,
        **{name: at if isinstance(at, int) else 0 for name, at in positions.items()},
    }


def _joined(texts: Any) -> str:
    """Join a string, a part with a text, or a list of both."""
    parts: Iterable[Any] = texts if isinstance(texts, list) else [texts]
    return "".join(
        part if isinstance(part, str) else string(fields_of(part).get("text")) for part in parts
    )
