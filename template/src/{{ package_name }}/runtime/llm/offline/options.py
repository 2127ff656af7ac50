"""Checks the options of a request as OpenAI, Anthropic and Gemini do."""

import json
import math
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from .option_values import EFFORTS, SERVICE_TIERS, VERBOSITIES
from .tools import problems_with_strict_schema

_CHOICES = ("none", "auto", "required")
_MAX_STOPS = 4
_MAX_METADATA = 16
_MAX_NAME, _MAX_VALUE = 64, 512  # characters in metadata
# The least and the greatest value of options that are numbers.
_NUMBER_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "max_tokens": (1, math.inf),
    "max_completion_tokens": (1, math.inf),
    "n": (1, 128),
    "top_logprobs": (0, 20),
    "seed": (-math.inf, math.inf),
}
_INTEGERS = ("max_tokens", "max_completion_tokens", "n", "top_logprobs", "seed")
_WORDS = {
    "reasoning_effort": EFFORTS,
    "verbosity": VERBOSITIES,
    "service_tier": SERVICE_TIERS,
}
# The most characters of options that are identifiers.
_MAX_LENGTHS = {"prompt_cache_key": 64, "safety_identifier": 64}
_OTHER_OPTIONS = (
    *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "stream"),
    *("stream_options", "response_format", "reasoning_effort", "verbosity", "stop", "user"),
    *("metadata", "store", "logprobs", "logit_bias", "service_tier", "modalities", "audio"),
    *("prediction", "safety_identifier", "prompt_cache_key", "functions", "function_call"),
)
# Chat completions lack these options of the Responses API.
_RESPONSES_OPTIONS = (
    *("input", "instructions", "max_output_tokens", "text", "truncation", "include"),
    *("previous_response_id", "conversation", "max_tool_calls"),
)


def problems_with_options(body: dict[str, Any]) -> Iterator[str]:
    """Yield why the APIs refuse the options of a request."""
    known = (*_NUMBER_RANGES, *_OTHER_OPTIONS)
    for name, value in body.items():
        # Servers may have options of their own, with names unlike those of OpenAI.
        similar = [] if name in known else get_close_matches(name, known, n=1, cutoff=0.86)
        if similar:
            yield f"Unknown parameter: '{name}'. Did you mean '{similar[0]}'?"
        if name in _RESPONSES_OPTIONS:
            yield f"Unknown parameter: '{name}', which is one of the Responses API."
        if name in _NUMBER_RANGES and value is not None:
            yield from _problems_with_number(name, value)
        if name in _WORDS and value is not None and value not in _WORDS[name]:
            yield f"Invalid '{name}': {value!r} is not one of {', '.join(_WORDS[name])}."
        if len(str(value)) > _MAX_LENGTHS.get(name, math.inf):
            yield f"Invalid '{name}': it has more than {_MAX_LENGTHS[name]} characters."
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        yield "Invalid 'top_logprobs': it is only allowed when 'logprobs' is true."
    if body.get("stream_options") and not body.get("stream"):
        yield "Invalid 'stream_options': it is only allowed when 'stream' is enabled."
    if (stops := body.get("stop")) is not None:
        yield from _problems_with_stops([stops] if isinstance(stops, str) else stops)
    if body.get("tools") and body.get("tool_choice") is not None:
        yield from _problems_with_choice(body["tool_choice"], body["tools"])
    if metadata := body.get("metadata"):
        yield from _problems_with_metadata(metadata)
    if response_format := body.get("response_format"):
        yield from _problems_with_format(response_format, body.get("messages"))


def _problems_with_number(name: str, value: Any) -> Iterator[str]:
    least, most = _NUMBER_RANGES[name]
    if not isinstance(value, int | float):
        yield f"Invalid '{name}': expected a number, got {type(value).__name__}."
    elif name in _INTEGERS and not isinstance(value, int):
        yield f"Invalid '{name}': expected an integer, got {value}."
    elif not least <= value <= most:
        limit = f"at least {least}" if value < least else f"at most {most}"
        yield f"Invalid '{name}': {value} must be {limit}."


def _problems_with_stops(stops: Any) -> Iterator[str]:
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        yield "Invalid 'stop': expected a string or an array of strings."
    elif len(stops) > _MAX_STOPS:
        yield f"Invalid 'stop': the maximum length is {_MAX_STOPS}, but it has {len(stops)} items."
    elif not all(stop.strip() for stop in stops):
        yield "Invalid 'stop': each sequence must contain a character other than white space."


def _problems_with_metadata(metadata: Any) -> Iterator[str]:
    if not isinstance(metadata, dict):
        yield "Invalid 'metadata': expected an object."
        return
    if len(metadata) > _MAX_METADATA:
        yield f"Invalid 'metadata': an object has at most {_MAX_METADATA} keys."
    for name, value in metadata.items():
        if not isinstance(value, str):
            yield f"Invalid 'metadata.{name}': expected a string, got {type(value).__name__}."
        elif len(name) > _MAX_NAME or len(value) > _MAX_VALUE:
            yield (
                f"Invalid 'metadata.{name}': a name has at most {_MAX_NAME} characters, and a "
                f"value at most {_MAX_VALUE}."
            )


def _problems_with_choice(choice: Any, tools: list[Any]) -> Iterator[str]:
    if isinstance(choice, str) and choice not in _CHOICES:
        yield f"Invalid 'tool_choice': {choice!r} is not one of {', '.join(_CHOICES)}."
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = (choice.get("function") or {}).get("name")
        names = [(tool.get("function") or {}).get("name") for tool in tools]
        if name not in names:
            yield f"Invalid 'tool_choice': {name!r} is not the name of a tool in 'tools'."


def _problems_with_format(response_format: Any, messages: Any) -> Iterator[str]:
    if not isinstance(response_format, dict):
        kind = type(response_format).__name__
        yield f"Invalid 'response_format': expected an object with a type, got {kind}."
        return
    kind = response_format.get("type")
    if kind == "json_object" and "json" not in json.dumps(messages).lower():
        yield "Invalid 'response_format': with 'json_object', a message must contain 'json'."
    if kind == "json_schema":
        field = "response_format.json_schema"
        settings = response_format.get("json_schema")
        if not isinstance(settings, dict) or not settings.get("name"):
            yield f"Missing required parameter: '{field}.name'."
        elif settings.get("strict"):
            for problem in problems_with_strict_schema(settings.get("schema"), ()):
                yield f"Invalid schema for '{field}': {problem}"
