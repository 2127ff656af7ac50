"""Converts Responses items to chat-completions messages, and completions to Responses events."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

from mlflow.types.responses import (
    Message,
    OutputItem,
    ResponsesAgentStreamEvent,
    to_chat_completions_input,
)

from .items import Item, RequestError, delta_event, done_event, unique_id
from .llm.completion import Completion, Piece
from .llm.pieces import read_pieces
from .llm.valid_messages import NO_OUTPUT, make_calls_valid, texts_only, without_blanks

ChatMessage = dict[str, Any]
Chunk = dict[str, Any]

_APPROVALS = {"mcp_approval_request", "mcp_approval_response"}


class CompletionItem(Item):
    """An item of a completion, which refers to the LLM's own message.

    Attributes:
        turn: The message without tool calls; filled when the completion is complete.
        call: The LLM's own form of this tool call, or None for other items.
    """

    def __init__(self, fields: Item, turn: ChatMessage, call: ChatMessage | None = None) -> None:
        super().__init__(fields)
        self.turn = turn
        self.call = call


def to_messages(items: Iterable[Message | OutputItem | Item]) -> list[ChatMessage]:
    """Convert Responses items to chat-completions messages, in order.

    The text and the tool calls of one assistant turn become one message, because APIs require each
    tool output directly after the message with its call. Items from `to_events` become the LLM's
    own message, which may have fields that Responses items cannot have, such as signatures.

    Raises:
        RequestError: The content of a message cannot be converted.
    """
    messages: list[ChatMessage] = []
    turn, own_message = ChatMessage(), ChatMessage()
    own_ids: set[str] = set()
    for item in items:
        if isinstance(item, CompletionItem):
            if item.turn is not turn:
                turn, own_message = item.turn, {**item.turn}
                messages.append(own_message)
            if item.call:
                own_message.setdefault("tool_calls", []).append(item.call)
                own_ids.add(item.call["id"])
            continue
        for message in _convert(item):
            if message.get("tool_call_id") not in own_ids:
                make_calls_valid(message)
            if messages and _is_same_turn(message, messages[-1]):
                messages[-1].setdefault("tool_calls", []).extend(message["tool_calls"])
            elif messages and _are_texts(message, messages[-1]):
                messages[-1]["content"] += f"\n\n{message['content']}"
            else:
                messages.append(message)
    return messages


def _convert(item: Message | OutputItem | Item) -> list[ChatMessage]:
    fields = item if isinstance(item, dict) else item.model_dump(exclude_none=True)
    # MLflow parses anything with a role and a content as a message, whatever its type is.
    kind = "message" if isinstance(item, Message) else fields.get("type", "message")
    if kind == "function_call":
        function = {"name": fields["name"], "arguments": fields["arguments"]}
        call = {"id": fields["call_id"], "type": "function", "function": function}
        return [{"role": "assistant", "content": None, "tool_calls": [call]}]
    if kind == "function_call_output":
        output = texts_only(to_content(fields["output"])) or NO_OUTPUT
        return [{"role": "tool", "tool_call_id": fields["call_id"], "content": output}]
    if kind in _APPROVALS:
        return to_chat_completions_input([fields])
    if kind != "message":  # chat completions have no message for reasoning or web searches
        return []
    role = fields.get("role", "assistant")
    # Few servers besides OpenAI's accept the developer role.
    role = "system" if role == "developer" else role
    content = to_content(fields["content"])
    if role == "assistant":
        content = texts_only(content)
    elif role == "system" and not isinstance(content, str):
        raise RequestError("Send images and files only in messages of the user.", "input")
    return [{"role": role, "content": content}] if content else []


def to_content(parts: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Convert the content of a message to chat-completions parts, or to a string if it is text.

    Raises:
        RequestError: A part cannot be converted.
    """
    if isinstance(parts, str):
        return without_blanks(parts)
    converted = without_blanks([_part(part) for part in parts])
    if all(part["type"] == "text" for part in converted):
        return "\n".join(part["text"] for part in converted)
    return converted


def _part(part: dict[str, Any]) -> dict[str, Any]:
    texts = {key: value for key, value in part.items() if isinstance(value, str)}
    kind = part.get("type")
    if kind == "input_image" and texts.get("image_url"):
        url = {"url": texts["image_url"], "detail": texts.get("detail") or "auto"}
        return {"type": "image_url", "image_url": url}
    if kind == "input_file" and (texts.get("file_data") or texts.get("file_id")):
        fields = ("file_id", "file_data", "filename")
        return {"type": "file", "file": {key: texts[key] for key in fields if texts.get(key)}}
    for name in ("text", "refusal"):
        if name in texts:
            return {"type": "text", "text": texts[name]}
    raise RequestError(
        f"A content part of type {kind!r} cannot be sent to the LLM. Send input_text with "
        "text, input_image with image_url, or input_file with file_data or file_id.",
        "input",
    )


def _is_same_turn(message: ChatMessage, previous: ChatMessage) -> bool:
    return "tool_calls" in message and previous["role"] == "assistant"


def _are_texts(message: ChatMessage, previous: ChatMessage) -> bool:
    """Return whether both are texts of the assistant; many servers accept only one in a row."""
    return all(
        one["role"] == "assistant" and isinstance(one["content"], str) and "tool_calls" not in one
        for one in (message, previous)
    )


async def to_events(chunks: AsyncIterable[Chunk]) -> AsyncGenerator[ResponsesAgentStreamEvent]:
    """Convert the chunks of one chat completion to Responses stream events.

    Yields a delta per piece of text as it arrives, and one done event per item: reasoning, message,
    function calls. The message of an answer that the LLM cut off has the status `incomplete`.

    Raises:
        LLMError: The stream ended early, or contained neither text nor a tool call.
    """
    completion, converter = Completion(), _Converter()
    async with aclosing(read_pieces(chunks, completion)) as pieces:
        async for piece in pieces:
            for event in converter.add(piece):
                yield event
    for event in converter.finish(completion):
        yield event


class _Converter:
    """Converts the pieces of a completion to events, and at its end to items."""

    def __init__(self) -> None:
        self._turn: ChatMessage = {}
        self._message_id = unique_id("msg")
        self._thoughts: list[str] = []
        self._blank = ""  # white space before the text; without a text, it is not a message
        self._texts: dict[str, list[str]] = {}  # by kind: text and refusal

    def add(self, piece: Piece) -> Iterator[ResponsesAgentStreamEvent]:
        """Yield the events for a piece; reasoning is an item as soon as the text begins."""
        if piece.kind == "reasoning":
            self._thoughts.append(piece.text)
            return
        text = self._blank + piece.text
        if not self._texts and not text.strip():
            self._blank = text
            return
        self._blank = ""
        if not self._texts:
            yield from self._reasoning()
        self._texts.setdefault(piece.kind, []).append(text)
        yield delta_event(text, self._message_id, is_refusal=piece.kind == "refusal")

    def finish(self, completion: Completion) -> Iterator[ResponsesAgentStreamEvent]:
        """Yield the done events of the items that are not yet done."""
        self._turn.update(completion.turn())
        if self._texts:
            status = "incomplete" if completion.incomplete_reason else "completed"
            content = [
                _part_of_message(kind, "".join(texts), completion.citations)
                for kind, texts in self._texts.items()
            ]
            fields = {"id": self._message_id, "role": "assistant", "content": content}
            yield self._done("message", fields | {"status": status})
        yield from self._reasoning()
        for call in completion.calls:
            fields = {"id": unique_id("fc"), "call_id": call.id, "status": "completed"}
            fields |= {"name": call.name, "arguments": call.arguments}
            yield self._done("function_call", fields, call.message_part())

    def _reasoning(self) -> Iterator[ResponsesAgentStreamEvent]:
        if text := "".join(self._thoughts):
            summary = [{"type": "summary_text", "text": text}]
            fields = {"id": unique_id("rs"), "summary": summary, "status": "completed"}
            yield self._done("reasoning", fields)
        self._thoughts.clear()

    def _done(
        self, kind: str, fields: Item, call: ChatMessage | None = None
    ) -> ResponsesAgentStreamEvent:
        return done_event(CompletionItem({"type": kind, **fields}, self._turn, call))


def _part_of_message(kind: str, text: str, citations: list[Item]) -> Item:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": citations}
