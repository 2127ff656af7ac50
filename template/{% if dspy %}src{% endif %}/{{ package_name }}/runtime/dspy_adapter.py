"""Formats conversations for the LLM, and streams what it answers."""

import json
import re
from collections.abc import Iterable, Sequence
from queue import Queue
from typing import Any

import dspy
from dspy.adapters.types.base_type import CUSTOM_TYPE_START_IDENTIFIER
from dspy.adapters.types.tool import ToolCallResults
from dspy.streaming import StreamListener, StreamResponse

from .items import RequestError
from .messages import ChatMessage

# The fields of a signature that the LLM writes.
_OUTPUTS = {"answer", "tool_calls"}
_MARKER = re.compile(r"\[\[ ## \w+ ## \]\]")
_IMAGE_URL = re.compile(r"(?!data:)|data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/]+={0,2}$")
_FIELDS = {"system": "context", "user": "question", "assistant": "answer"}


class ChatAdapter(dspy.ChatAdapter):
    """Formats a signature with one output, a text, as a plain conversation.

    Only several outputs need markers such as `[[ ## answer ## ]]`. LLMs that call tools often
    forget them.
    """

    def __init__(self) -> None:
        super().__init__(use_native_function_calling=True, use_json_adapter_fallback=False)

    def format_system_message(self, signature: type[dspy.Signature]) -> str:
        if _has_one_text(signature):
            return signature.instructions
        return super().format_system_message(signature)

    def format_user_message_content(
        self, signature: type[dspy.Signature], inputs: dict[str, Any], *args: Any, **options: Any
    ) -> Any:
        names = [name for name in signature.input_fields if name in inputs]
        if not names:  # the LLM continues after the outputs of tools
            return ""
        if isinstance(inputs.get("question"), list):  # it has images or files
            others = {name: inputs[name] for name in names if name != "question"}
            text = self.format_user_message_content(signature, others, *args, **options)
            return [*_parts(text), *inputs["question"]]
        if _has_one_text(signature):
            if names == ["question"]:
                return _as_text(inputs["question"])
            options["main_request"] = False  # without a reminder of the outputs
        content = super().format_user_message_content(signature, inputs, *args, **options)
        return content if _has_images(signature) else _as_text(content)

    def format_assistant_message_content(
        self, signature: type[dspy.Signature], outputs: dict[str, Any], *args: Any, **options: Any
    ) -> str:
        if _has_one_text(signature):
            return str(outputs[next(iter(signature.output_fields))])
        return super().format_assistant_message_content(signature, outputs, *args, **options)

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        if _has_one_text(signature):
            return {next(iter(signature.output_fields)): completion}
        return super().parse(signature, completion)


def _as_text(content: str) -> str | list[Any]:
    """Return a text in which DSPy does not look for markers of images; users can write them."""
    return _parts(content) if CUSTOM_TYPE_START_IDENTIFIER in content else content


def _has_images(signature: type[dspy.Signature]) -> bool:
    return any("Image" in str(field.annotation) for field in signature.input_fields.values())


def _has_one_text(signature: type[dspy.Signature]) -> bool:
    """Return whether the LLM writes one text, and no other output but tool calls."""
    kinds = [field.annotation for field in signature.output_fields.values()]
    return [kind for kind in kinds if kind is not dspy.ToolCalls] == [str]


class AnswerListener(StreamListener):
    """Streams the output `answer` of a predictor."""

    def __init__(self, name: str, predictor: dspy.Predict) -> None:
        super().__init__("answer", predictor, name, allow_reuse=True)

    def flush(self) -> str:
        """Return what is left of the answer; DSPy would drop a text such as `[[1, 2]]`."""
        text = "".join(self.field_end_queue.queue)
        self.field_end_queue = Queue()
        return _MARKER.split(text)[0]

    def receive(self, chunk: Any) -> StreamResponse | None:
        """Return what a chunk adds to the answer."""
        if not _has_one_text(self.predict.signature):
            return super().receive(chunk)
        text = chunk.choices[0].delta.content
        return StreamResponse(str(self.predict_name), "answer", text, False) if text else None


def answer_listeners(program: dspy.Module) -> list[AnswerListener]:
    """Return a listener for the predictor that writes `answer`; none if there are several."""
    predictors = [
        (name, predictor)
        for name, predictor in program.named_predictors()
        if "answer" in predictor.signature.output_fields
    ]
    return [AnswerListener(*one) for one in predictors] if len(predictors) == 1 else []


def to_history(messages: Iterable[ChatMessage]) -> tuple[dspy.History, dict[str, Any]]:
    """Convert messages to complete turns, and the inputs of the last turn.

    Raises:
        RequestError: A message contains a file, or an image that DSPy does not send.
    """
    turns: list[dict[str, Any]] = [{}]
    messages = list(messages)
    for number, message in enumerate(messages, 1):
        if message["role"] == "tool":  # belongs to its call
            continue
        if not _OUTPUTS.isdisjoint(turns[-1]):
            turns.append({})
        if message["content"]:
            name = _FIELDS[message["role"]]
            content = _question(message) if name == "question" else message["content"]
            turns[-1][name] = _joined(turns[-1].get(name, ""), content)
        if calls := message.get("tool_calls"):
            outputs = messages[number : number + len(calls)]
            turns[-1]["tool_calls"] = _tool_calls(calls, [output["content"] for output in outputs])
    last = turns.pop() if _OUTPUTS.isdisjoint(turns[-1]) else {}
    return dspy.History(messages=turns), last


def _joined(first: str | list[Any], second: str | list[Any]) -> str | list[Any]:
    """Return two contents as one: a text, or a list of parts."""
    if isinstance(first, str) and isinstance(second, str):
        return "\n\n".join(filter(None, (first, second)))
    return [*_parts(first), *_parts(second)]


def _parts(content: str | list[Any]) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _question(message: ChatMessage) -> str | list[Any]:
    if any(part["type"] == "file" for part in _parts(message["content"])):
        raise RequestError("DSPy sends no files to the LLM. Send text or images.", "input")
    for image in (part["image_url"] for part in _parts(message["content"]) if "image_url" in part):
        if not _IMAGE_URL.match(image["url"]) or image["detail"] not in ("auto", "low", "high"):
            raise RequestError(
                "DSPy sends only images with a URL or in Base64, and the detail auto, low or high.",
                "input",
            )
    return message["content"]


def _tool_calls(calls: Iterable[ChatMessage], outputs: Sequence[str]) -> dspy.ToolCalls:
    """Return the calls of a message with their results."""
    tool_calls = [
        dspy.ToolCalls.ToolCall(
            id=call["id"],
            name=call["function"]["name"],
            args=json.loads(call["function"]["arguments"]),
        )
        for call in calls
    ]
    with_results = dspy.ToolCalls(tool_calls=tool_calls)
    add_results(with_results, outputs)
    return with_results


def add_results(calls: dspy.ToolCalls, outputs: Sequence[str]) -> None:
    """Add the outputs of tools to their calls."""
    is_error = [False] * len(outputs)
    calls.tool_call_results = ToolCallResults.from_tool_calls_and_values(
        calls, list(outputs), is_error
    )
