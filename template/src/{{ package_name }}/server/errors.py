"""Error responses. All have one shape: `{"error": {"type", "code", "message", "param"}}`."""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import openai
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..runtime.items import RequestError
from ..runtime.llm import LLMError
from ..runtime.llm.errors import llm_error

logger = logging.getLogger(__name__)

ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error", 424: "server_error"}
ERROR_CODES = {
    400: "invalid_request",
    401: "invalid_token",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_encoding",
    424: "llm_refused",
    429: "too_many_requests",
    500: "agent_error",
    502: "llm_error",
    503: "server_stopping",
    504: "answer_timeout",
}


class ApiError(Exception):
    """An error response.

    Args:
        status: The HTTP status.
        message: What is wrong and how to fix it, in terms that the caller knows.
        param: The path of the invalid field, such as `input.0.role`.
        code: The code for programs; by default, that of the status.
        headers: Additional headers.

    Attributes:
        id: The id of the cause in the server log; None if nothing was logged.
    """

    id: str | None = None

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code or ERROR_CODES.get(status, "error")
        self.headers = dict(headers or {})

    def fields(self) -> dict[str, Any]:
        """Return the error as clients expect it, in a response and in a stream."""
        default_type = "invalid_request_error" if self.status < 500 else "server_error"
        fields: dict[str, Any] = {
            "type": ERROR_TYPES.get(self.status, default_type),
            "code": self.code,
            "message": self.message,
            "param": self.param,
        }
        if self.id:
            fields["id"] = self.id
        # An error in a stream comes too late for a header.
        if "Retry-After" in self.headers:
            fields["retry_after"] = int(self.headers["Retry-After"])
        return fields

    def response(self) -> Response:
        """Return the HTTP response."""
        return JSONResponse({"error": self.fields()}, self.status, self.headers)


def report_failure(error: Exception) -> ApiError:
    """Log an exception of the agent, and return an error for the caller without its details."""
    if isinstance(error, RequestError):
        return ApiError(400, str(error), error.param)
    error_id = uuid4().hex[:12]
    logger.error("Error %s", error_id, exc_info=error)
    details = f"See error {error_id} in the server log."
    if from_llm := _llm_error_in(error):
        reported = _error_of_llm(from_llm, details)
    else:
        status = 504 if isinstance(error, TimeoutError) else 500
        reported = ApiError(status, f"The agent could not answer. {details}")
    reported.id = error_id
    return reported


def _llm_error_in(error: BaseException | None) -> LLMError | None:
    """Return the error of the LLM that caused an exception, or that of an agent's own client.

    A client may wrap an `LLMError` in an error that says less.
    """
    from_client: LLMError | None = None
    while error:
        if isinstance(error, LLMError):
            return error
        if isinstance(error, openai.OpenAIError):
            from_client = from_client or llm_error("The LLM", error)
        error = error.__cause__
    return from_client


def _error_of_llm(error: LLMError, details: str) -> ApiError:
    """Return a status that makes clients repeat the request only if this may help."""
    if error.is_too_long:
        message = "The conversation is too long for the LLM. Send fewer or shorter items."
        return ApiError(400, message, "input", "context_length_exceeded")
    if error.status == 429:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        message = f"The LLM has too many requests. Try again later. {details}"
        return ApiError(429, message, code="rate_limit_exceeded", headers=headers)
    is_refusal = 400 <= (error.status or 0) < 500 and error.status != 408  # a timeout
    status = 424 if is_refusal else 502
    return ApiError(status, f"The agent could not answer. {details}")


def stopping_error() -> ApiError:
    """Return the error for requests that outlive the server's shutdown."""
    return ApiError(503, "The server is stopping. Try again.")


async def handle_api_error(_request: Request, error: Exception) -> Response:
    """Respond to an `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def handle_error(_request: Request, error: Exception) -> Response:
    """Respond to an error outside the agent: of the request's parameters, or of the server."""
    return report_failure(error).response()
