"""Errors of the LLM, in one sentence that names the LLM and the fix."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx
import openai

_HINTS = {
    400: "The model does not accept this request; the message says why.",
    401: "Check the credentials.",
    403: "Check the permissions of the credentials.",
    404: "Check the name of the model and the URL of the server.",
    429: "Try again later, or ask for a higher limit.",
}


class LLMError(RuntimeError):
    """The LLM is misconfigured or did not answer; the message says what to do."""


@contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn the client's exceptions into an `LLMError` that names the LLM and the fix."""
    try:
        yield
    except openai.APIStatusError as error:
        hint = _HINTS.get(error.status_code, "Try again later.")
        raise LLMError(
            f"{uri} returned status {error.status_code}: {_message(error)} {hint}"
        ) from error
    except (openai.OpenAIError, httpx.HTTPError) as error:
        cause = error if isinstance(error, httpx.HTTPError) else error.__cause__ or error
        if isinstance(cause, httpx.TimeoutException) and not isinstance(
            cause, httpx.ConnectTimeout
        ):
            limit = "llm_timeout_seconds in config.yml"
            raise LLMError(f"{uri} timed out: it sent nothing for longer than {limit}.") from error
        reason = str(cause).replace(" ssl:default", "").removesuffix(".")
        hint = " Check OPENAI_BASE_URL." if uri.startswith("openai:") else ""
        raise LLMError(f"{uri} is unreachable or closed the connection: {reason}.{hint}") from error
    except ValueError as error:
        raise LLMError(
            f"{uri} did not return a chat completion: {error}. Check its URL."
        ) from error


def _message(error: openai.APIStatusError) -> str:
    """Return the server's message without the JSON around it."""
    body: Any = error.body
    return str(body["message"] if isinstance(body, dict) and "message" in body else error.message)
