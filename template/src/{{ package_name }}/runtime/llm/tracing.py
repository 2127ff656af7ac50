"""The span that a chat completion has in the trace of an answer.

MLflow's autologging makes such spans from what the `openai` client returns. It is not used here, as
the client would have to make a model of each chunk first: that takes more processor time than all
the rest of an answer.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow.entities import SpanType
from mlflow.tracing.constant import SpanAttributeKey, TokenUsageKey
from mlflow.types.responses import output_to_responses_items_stream

Chunk = dict[str, Any]


@contextmanager
def traced(asked: dict[str, Any]) -> Generator[list[Chunk]]:
    """Trace a chat completion, if the request that it is asked for is traced.

    Args:
        asked: What the LLM is asked, as its API takes it.

    Yields:
        A list for the chunks that come; they are the output of the span.
    """
    chunks: list[Chunk] = []
    request = mlflow.get_current_active_span()
    if request is None:
        yield chunks
        return
    span = mlflow.start_span_no_context(
        f"chat {asked['model']}",
        span_type=SpanType.CHAT_MODEL,
        parent_span=request,
        inputs=asked,
        attributes={SpanAttributeKey.MESSAGE_FORMAT: "openai"},
    )
    try:
        yield chunks
    except Exception as error:
        span.record_exception(error)
        raise
    finally:
        span.set_attributes(_tokens(chunks))
        span.end(outputs={"output": _items(chunks)})


def _items(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """The items that chunks make up, as far as they got."""
    items: list[dict[str, Any]] = []
    list(output_to_responses_items_stream(iter(chunks), items))
    return items


def _tokens(chunks: list[Chunk]) -> dict[str, Any]:
    """What MLflow adds up to the tokens and the costs of a trace."""
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    if usage is None:
        return {}
    tokens = {
        TokenUsageKey.INPUT_TOKENS: usage.get("prompt_tokens", 0),
        TokenUsageKey.OUTPUT_TOKENS: usage.get("completion_tokens", 0),
        TokenUsageKey.TOTAL_TOKENS: usage.get("total_tokens", 0),
    }
    return {SpanAttributeKey.CHAT_USAGE: tokens, SpanAttributeKey.MODEL: chunks[0].get("model")}
