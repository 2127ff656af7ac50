"""Parses and validates request bodies."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError

from ..runtime.items import unique_id
from ..runtime.parameters import llm_options
from ..runtime.validation import invalid_fields, unique_keys
from .errors import ApiError
from .unsupported import reject_unsupported

# More than any conversation needs; validating millions of values would block the event loop.
MAX_VALUES = 50_000
# Far below Python's recursion limit, which MLflow reaches sooner than the JSON parser.
MAX_DEPTH = 100
# Python's own limit, which an error message would tell callers to change.
MAX_DIGITS = 4_300
TOO_DEEP = "The JSON of the request body is nested too deeply."

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_request(body: bytes) -> tuple[ResponsesAgentRequest, bool]:
    """Parse and validate a request body.

    Returns:
        The request, and whether the client wants a stream.

    Raises:
        ApiError: The body is not a valid request; the message names the field.
        RequestError: A parameter is invalid or not supported; the message names it.
    """
    fields = _parse_json(body)
    stream = fields.pop("stream", None)
    if not isinstance(stream, bool | None):
        raise ApiError(400, "`stream` must be true or false.", "stream")
    reject_unsupported(fields)
    if _is_blank(fields.get("input")):
        raise ApiError(400, "`input` is empty. Send at least one message.", "input")
    if isinstance(fields.get("input"), str):
        fields["input"] = [{"role": "user", "content": fields["input"]}]
    if isinstance(fields.get("input"), list):
        fields["input"] = [_complete(item) for item in fields["input"]]
    limit = fields.get("max_output_tokens")
    if isinstance(limit, float) and limit.is_integer():  # 10.0 is an integer in JSON
        fields["max_output_tokens"] = int(limit)
    _add_instructions(fields)
    request = _validate(fields)
    llm_options(request)  # rejects parameters before a stream begins
    return request, bool(stream)


def _add_instructions(fields: dict[str, Any]) -> None:
    """Turn `instructions`, which MLflow's request does not have, into the first message."""
    instructions = fields.pop("instructions", None)
    if not isinstance(instructions, str | None):
        raise ApiError(400, "`instructions` must be a string.", "instructions")
    if instructions and isinstance(fields.get("input"), list):
        message = {"role": "developer", "content": instructions}
        fields["input"] = [message, *fields["input"]]


def _parse_json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise ApiError(400, 'The request body is empty. Send JSON, such as {"input": "Hello"}.')
    try:
        text = body.decode("utf-8-sig")
        fields = json.loads(
            text,
            object_pairs_hook=unique_keys,
            parse_constant=_reject_number,
            parse_float=_finite_float,
            parse_int=_short_integer,
        )
        if _SURROGATE.search(text):
            json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        text = r"The request contains half of a surrogate pair, such as \ud83c."
        raise ApiError(400, f"{text} Send whole characters.") from error
    except UnicodeDecodeError as error:
        raise ApiError(400, "The request body is not UTF-8 text.") from error
    except RecursionError as error:
        raise ApiError(400, TOO_DEEP) from error
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise ApiError(400, 'The request body must be a JSON object, such as {"input": [...]}.')
    _limit_size(fields)
    return fields


def _reject_number(constant: str) -> float:
    raise ValueError(f"{constant} is not a JSON number")


def _finite_float(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _reject_number(text)


def _short_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS:,} digits")
    return int(text)


def _limit_size(fields: dict[str, Any]) -> None:
    """Reject too many values in objects and lists, and too many levels of them."""
    count = depth = 0
    level: list[dict[str, Any] | list[Any]] = [fields]
    while level:
        count += sum(map(len, level))
        depth += 1
        if count > MAX_VALUES:
            text = f"The request contains more than {MAX_VALUES:,} values."
            raise ApiError(413, f"{text} Send fewer items.")
        if depth > MAX_DEPTH:
            raise ApiError(400, TOO_DEEP)
        members = (one.values() if isinstance(one, dict) else one for one in level)
        level = [value for values in members for value in values if isinstance(value, dict | list)]


def _is_blank(value: Any) -> bool:
    """Return whether texts, content parts or items contain nothing that the LLM can answer."""
    match value:
        case str():
            return not value.strip()
        case list():
            return all(map(_is_blank, value))
        case {"role": "system" | "developer"}:
            return True
        case {"image_url": str()} | {"file_data": str()} | {"file_id": str()}:
            return False
        case {"role": _, "content": text} | {"text": text}:
            return _is_blank(text)
        case {"type": "reasoning" | "function_call_output"}:
            return True
    return False


def _complete(item: Any) -> Any:
    """Return an item with the fields that MLflow requires and clients leave out or set to null."""
    if not isinstance(item, dict):
        return item
    fields: dict[str, Any] = {}
    if item.get("type") == "reasoning":
        fields = {"id": unique_id("rs"), "summary": []}
    elif item.get("role") == "assistant":
        fields = {"id": unique_id("msg"), "type": "message"}
    return fields | {name: value for name, value in item.items() if value is not None}


def _validate(fields: dict[str, Any]) -> ResponsesAgentRequest:
    try:
        return ResponsesAgentRequest.model_validate(fields, strict=True)
    except ValidationError as error:
        problems: dict[str, str] = {}
        for field, reason in dict.fromkeys(_problems(fields, error)):
            other = reason.removeprefix("Input should be ")
            problems[field] = f"{problems[field]} or {other}" if field in problems else reason
        names = list(problems)[:3]
        text = "; ".join(f"`{field}`: {problems[field]}" for field in names)
        raise ApiError(400, f"The request is invalid at {text[:500]}.", names[0]) from error
    except TypeError as error:  # MLflow searches some fields before it checks their types
        raise ApiError(400, "A `type` or `role` in the request is not a string.") from error


def _problems(fields: dict[str, Any], error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield each invalid field, such as `input.0.role`, and the reason."""
    for path, message in invalid_fields(error):
        is_item = len(path) > 2 and path[0] == "input"
        if is_item and _kind(fields["input"][int(path[1])]) not in path[2]:
            continue  # MLflow tries both kinds of items
        # Names of MLflow's classes are between the names of fields.
        names = [part for part in path if re.fullmatch(r"[a-z_]+|\d+", part)]
        field = ".".join(name for name in names if name != "str") or "request"
        yield field[:100], message[:200].rstrip(".")


def _kind(item: Any) -> str:
    """Return which class of MLflow an item of `input` is meant for."""
    is_message = not isinstance(item, dict) or "role" in item or "type" not in item
    return "Message" if is_message else "OutputItem"
