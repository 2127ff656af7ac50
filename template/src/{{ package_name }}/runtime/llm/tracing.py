"""The span of a chat completion.

MLflow's autologging builds spans from the client's response models. It is not used here: building a
model per chunk takes more CPU time than the rest of an answer.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import mlflow
from mlflow.entities import SpanType
from mlflow.tracing.constant import SpanAttributeKey, TokenUsageKey

from .completion import Completion
from .errors import LLMError
from .usage import token_counts

Chunk = dict[str, Any]


@contextmanager
def trace_completion(body: dict[str, Any]) -> Generator[list[Chunk]]:
    """Record a chat completion as a span, if the current request is traced.

    Args:
        body: The body of the request to the chat-completions API.

    Yields:
        A list; append each chunk that arrives. The chunks are the output of the span.
    """
    chunks: list[Chunk] = []
    parent = mlflow.get_current_active_span()
    if parent is None:
        yield chunks
        return
    span = mlflow.start_span_no_context(
        f"chat {body['model']}",
        span_type=SpanType.CHAT_MODEL,
        parent_span=parent,
        inputs=body,
        attributes={SpanAttributeKey.MESSAGE_FORMAT: "openai"},
    )
    try:
        yield chunks
    except Exception as error:
        span.record_exception(error)
        raise
    finally:
        span.set_attributes(_token_attributes(chunks))
        span.end(outputs=_output(chunks))


def _output(chunks: list[Chunk]) -> dict[str, Any]:
    """Assemble the completion of the chunks, complete or not."""
    completion = Completion()
    with suppress(LLMError):
        for chunk in chunks:
            completion.add(chunk)
    with suppress(LLMError):
        completion.finish()
    message = completion.turn()
    if completion.calls:
        message["tool_calls"] = [call.message_part() for call in completion.calls]
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason}
    return {"object": "chat.completion", "choices": [choice]}


def _token_attributes(chunks: list[Chunk]) -> dict[str, Any]:
    """Return the attributes that MLflow sums up to a trace's tokens and cost."""
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    if usage is None:
        return {}
    requested, completed = token_counts(usage)
    tokens = {
        TokenUsageKey.INPUT_TOKENS: requested,
        TokenUsageKey.OUTPUT_TOKENS: completed,
        TokenUsageKey.TOTAL_TOKENS: usage.get("total_tokens") or requested + completed,
    }
    return {SpanAttributeKey.CHAT_USAGE: tokens, SpanAttributeKey.MODEL: chunks[0].get("model")}
