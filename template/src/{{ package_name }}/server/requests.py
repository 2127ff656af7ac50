"""The body of a request: read within limits, and checked before the agent sees it."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

from mlflow.types.responses import ResponsesAgentRequest
from pydantic import ValidationError
from starlette.types import Receive

# More values than a conversation has. To look at millions would hold up other callers for long.
MAX_VALUES = 50_000
# Fields of the API that stand for earlier turns, which are kept nowhere.
REFERENCES = ("previous_response_id", "conversation")


class RefusedError(Exception):
    """A request is not answered, for a reason that its sender can mend."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


async def read(receive: Receive, max_bytes: int, max_seconds: float) -> bytes:
    """Read the body of a request.

    Raises:
        RefusedError: it is too long, too slow, or its sender left before the end.
    """
    too_long = f"The request is longer than {max_bytes:,} bytes. Shorten it."
    too_slow = f"The request took longer than {max_seconds:g} s to arrive. Send it again."
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(max_seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "The request broke off.")
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise RefusedError(413, too_long)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise RefusedError(408, too_slow) from error
    return bytes(body)


def checked(body: bytes) -> bytes:
    """A request as the agent takes it; one whose `input` is a text becomes a user's message.

    Raises:
        RefusedError: it is no JSON object, holds nothing to answer, only names what it is about, or
            has fields that are not those of a request.
    """
    request = _parsed(body)
    if "messages" in request and "input" not in request:
        raise RefusedError(400, "The request has `messages`. Send them as `input`.")
    if request.get("input") == []:
        raise RefusedError(400, "`input` is empty: there is nothing to answer.")
    for name in REFERENCES:
        if request.get(name):
            raise RefusedError(
                400, f"`{name}` names turns that are not kept here. Send their items in `input`."
            )
    if isinstance(request.get("input"), str):
        request["input"] = [{"role": "user", "content": request["input"]}]
        body = json.dumps(request).encode()
    _check_fields(request)
    return body


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
        json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise RefusedError(400, "The request holds half a character, a lone surrogate.") from error
    except RecursionError as error:
        raise RefusedError(400, "The request is JSON within JSON, too deep to be read.") from error
    except ValueError as error:
        raise RefusedError(400, f"The request is no JSON: {error}.") from error
    if not isinstance(request, dict):
        raise RefusedError(400, 'The request is JSON, but no object. Send {"input": [...]}.')
    if _has_too_many_values(request):
        raise RefusedError(413, f"The request holds more than {MAX_VALUES:,} values. Shorten it.")
    return request


def _has_too_many_values(request: dict[str, Any]) -> bool:
    """Whether objects and lists hold more than may be looked at; stops as soon as it is clear."""
    number = 0
    waiting: list[dict[str, Any] | list[Any]] = [request]
    while waiting and number <= MAX_VALUES:
        container = waiting.pop()
        number += len(container)
        inside = container.values() if isinstance(container, dict) else container
        if number <= MAX_VALUES:
            waiting.extend(value for value in inside if isinstance(value, dict | list))
    return number > MAX_VALUES


def _check_fields(request: dict[str, Any]) -> None:
    """Refuse what MLflow would refuse, in fewer words."""
    try:
        ResponsesAgentRequest.model_validate(request)
    except ValidationError as error:
        problems = "; ".join(list(dict.fromkeys(_problems(request, error)))[:3])
        raise RefusedError(400, f"The request is wrong at {problems[:500]}.") from error
    except TypeError as error:  # MLflow looks for some fields among texts, whatever they are
        raise RefusedError(400, "A `type` or a `role` in the request is no text.") from error


def _problems(request: dict[str, Any], error: ValidationError) -> Iterator[str]:
    """Where a request is wrong, and why, such as `input.0.role`: Field required."""
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path = [str(part) for part in detail["loc"]]
        is_item = len(path) > 2 and path[0] == "input"
        if is_item and _kind(request["input"][int(path[1])]) not in path[2]:
            continue  # it is no item of the other kind either
        # Between the names of fields stand those of MLflow's classes.
        names = [part for part in path if re.fullmatch(r"[a-z_]+|\d+", part)]
        place = ".".join(name for name in names if name != "str") or "request"
        reason = re.sub(r"^Value error, | or instance of \w+", "", detail["msg"])
        yield f"`{place}`: {reason[:200].rstrip('.')}"


def _kind(item: Any) -> str:
    """What an item of `input` is meant to be; MLflow tries both."""
    is_message = not isinstance(item, dict) or "role" in item or "type" not in item
    return "Message" if is_message else "OutputItem"
