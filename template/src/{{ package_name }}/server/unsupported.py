"""Rejects parameters and items that would have no effect.

Unknown parameters are ignored, because clients of Databricks send some.
"""

from typing import Any

from .errors import ApiError

_CHAT_COMPLETIONS = "the Responses API does not have it"
_NO_LOGPROBS = "the response does not contain probabilities"
_NOT_STORED = "the server does not store conversations. Send all turns in `input`"
PARAMETERS = {
    "audio": _CHAT_COMPLETIONS,
    "context_management": "the server does not shorten conversations. Send fewer items",
    "conversation": _NOT_STORED,
    "frequency_penalty": _CHAT_COMPLETIONS,
    "function_call": "send `tool_choice`",
    "functions": "the agent has its own tools",
    "logit_bias": _CHAT_COMPLETIONS,
    "logprobs": _NO_LOGPROBS,
    "max_completion_tokens": "send `max_output_tokens`",
    "max_tokens": "send `max_output_tokens`",
    "max_tool_calls": "the agent limits its own rounds",
    "modalities": _CHAT_COMPLETIONS,
    "n": _CHAT_COMPLETIONS,
    "prediction": _CHAT_COMPLETIONS,
    "presence_penalty": _CHAT_COMPLETIONS,
    "previous_response_id": _NOT_STORED,
    "prompt": "the server does not store prompts. Send `instructions`",
    "reasoning_effort": "send `reasoning.effort`",
    "response_format": "send `text.format`",
    "seed": _CHAT_COMPLETIONS,
    "service_tier": "the agent chooses how to call the LLM",
    "stop": _CHAT_COMPLETIONS,
    "top_logprobs": _NO_LOGPROBS,
    "verbosity": "send `text.verbosity`",
    "web_search_options": _CHAT_COMPLETIONS,
}
# Values that change nothing, which clients send by default.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
}


def reject_unsupported(fields: dict[str, Any]) -> None:
    """Reject parameters and items that the server does not support.

    Raises:
        ApiError: The message names the parameter and what to send instead.
    """
    if "messages" in fields and "input" not in fields:
        raise ApiError(400, "The request has `messages`. Send them as `input`.", "messages")
    for name, reason in PARAMETERS.items():
        if not any(_is_same(fields.get(name), value) for value in accepted_values(name)):
            raise ApiError(400, f"`{name}` is not supported: {reason}.", name)
    include = fields.get("include")
    if isinstance(include, list) and "message.output_text.logprobs" in include:
        raise ApiError(400, f"`include` is not supported here: {_NO_LOGPROBS}.", "include")
    items = fields["input"] if isinstance(fields.get("input"), list) else []
    for item in items:
        if isinstance(item, dict):
            _reject_unsupported_item(item)


def accepted_values(name: str) -> list[Any]:
    """Return the values of an unsupported parameter that change nothing."""
    return [None, "", [], {}, *_DEFAULTS.get(name, ())]


def _is_same(value: Any, other: Any) -> bool:
    """Return whether two JSON values are the same; in Python, false equals 0."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _reject_unsupported_item(item: dict[str, Any]) -> None:
    if item.get("tool_calls"):
        raise ApiError(
            400,
            "`tool_calls` is not supported: send each call as an item of the type `function_call`.",
            "input",
        )
    is_reference = [name for name in item if item[name]] == ["id"]  # the type is optional
    if is_reference or item.get("type") == "item_reference":
        raise ApiError(
            400,
            "`item_reference` is not supported: the server does not store items. Set "
            "`store: false` in the client, so that it sends whole items.",
            "input",
        )
