"""Errors of the LLM, in one sentence that names the LLM and the fix."""

import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any

import httpx
import openai

from .fields import string

_REFUSED = "The model does not accept this request; the message says why."
_LATER = "Try again later."
_HINTS = {
    400: _REFUSED,
    401: "Check the credentials.",
    402: "Check the balance of the account.",
    403: "Check the permissions of the credentials.",
    404: "Check the name of the model and the URL of the server.",
    408: _LATER,
    413: "Send fewer or shorter items.",
    429: "Try again later, or ask for a higher limit.",
}
# Codes of errors that servers report in the middle of a stream.
_STATUS_BY_CODE = {"rate_limit_exceeded": 429, "context_length_exceeded": 400}
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.?context|prompt is too long|too many (input )?tokens"
    r"|input (length|token count|is too long)|exceeds? the (available|maximum) (context|number)",
    re.IGNORECASE,
)


class LLMError(RuntimeError):
    """The LLM is misconfigured or did not answer; the message says what to do.

    Attributes:
        status: The HTTP status with which the LLM refused the request, or None.
        is_too_long: Whether the conversation is too long for the LLM.
        retry_after: When to repeat the request, in seconds from now, or None.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        *,
        is_too_long: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_too_long = is_too_long
        self.retry_after = retry_after


@contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn the client's exceptions into an `LLMError` that names the LLM and the fix."""
    try:
        yield
    except openai.OpenAIError as error:
        raise llm_error(uri, error) from error
    except httpx.HTTPError as error:
        raise _unreachable(uri, error) from error
    except UnicodeEncodeError as error:
        before = error.object[max(0, error.start - 40) : error.start]
        raise LLMError(
            f"{uri} accepts only UTF-8, but the messages contain half of a surrogate pair after "
            f"{before!r}. Remove it.",
            400,
        ) from error
    except ValueError as error:
        if "JSON compliant" in str(error):
            raise LLMError(
                f"{uri} accepts only JSON, but the request contains infinity or NaN, such as the "
                "default of a tool's argument. Use another value.",
                400,
            ) from error
        raise LLMError(
            f"{uri} did not return a chat completion: {error}. Check its URL."
        ) from error


def llm_error(uri: str, error: openai.OpenAIError) -> LLMError:
    """Return the `LLMError` for an exception of the client."""
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return _refused(uri, error)
    return _unreachable(uri, error)


def _refused(uri: str, error: openai.APIError) -> LLMError:
    """Return the error that the server reports, with its status or in its stream."""
    message, status = _message(error), _status(error)
    response = getattr(error, "response", None)
    returned = f"returned status {status}" if response is not None else "reported an error"
    hint = _HINTS.get(status or 0, _REFUSED if status in range(400, 500) else _LATER)
    return LLMError(
        f"{uri} {returned}: {message} {hint}",
        status,
        is_too_long=status in (400, 413, 422) and bool(_TOO_LONG.search(f"{error.code} {message}")),
        retry_after=_seconds(response.headers) if response is not None else None,
    )


def _seconds(headers: httpx.Headers) -> int | None:
    """Return the seconds in the header `Retry-After`, which is a number or a date."""
    value = headers.get("retry-after", "")
    with suppress(ValueError, OverflowError):
        return max(0, ceil(float(value)))
    with suppress(ValueError, TypeError):
        return max(0, ceil((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
    return None


def _status(error: openai.APIError) -> int | None:
    """Return the HTTP status of an error; in a stream, its code is the status or maps to one."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code
    code = str(error.code or error.type)
    return int(code) if re.fullmatch(r"[45]\d\d", code) else _STATUS_BY_CODE.get(code.lower())


def _message(error: openai.APIError) -> str:
    """Return the server's message without the JSON around it."""
    message = _reason(error.body) or error.message
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _reason(body: Any) -> str:
    """Return the message in the body of an error: a text, an object or a list of objects."""
    if isinstance(body, list):
        return _reason(body[0]) if body else ""
    if isinstance(body, dict):
        reasons = (_reason(body.get(name)) for name in ("message", "detail", "error", "msg"))
        return next(filter(None, reasons), "")
    return string(body).strip()[:1000]


def _unreachable(uri: str, error: Exception) -> LLMError:
    cause = error if isinstance(error, httpx.HTTPError) else error.__cause__ or error
    if isinstance(cause, httpx.TimeoutException) and not isinstance(cause, httpx.ConnectTimeout):
        return LLMError(
            f"{uri} timed out: it sent nothing for longer than llm_timeout_seconds in config.yml. "
            "Raise the limit, or use a faster model."
        )
    reason = str(cause).replace(" ssl:default", "").removesuffix(".")
    variable = {"openai": "OPENAI_BASE_URL", "databricks": "DATABRICKS_HOST"}
    name = variable.get(uri.partition(":")[0])
    hint = f" Check the network and {name}." if name else ""
    return LLMError(f"{uri} is unreachable or closed the connection: {reason}.{hint}")
