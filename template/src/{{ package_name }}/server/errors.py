"""Error responses. All have one shape: `{"error": {"type", "code", "message", "param"}}`."""

import logging
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..runtime.items import RequestError
from ..runtime.llm import LLMError

logger = logging.getLogger(__name__)

ERROR_STATUS = {RequestError: 400, LLMError: 502, TimeoutError: 504}
ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
ERROR_CODES = {
    400: "invalid_request",
    401: "invalid_token",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
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
        message: What is wrong and what to do, in the words of the caller.
        param: The path of the invalid field, such as `input.0.role`.
        headers: Additional headers.
    """

    def __init__(self, status: int, message: str, param: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.headers = headers

    def response(self) -> Response:
        """Return the HTTP response."""
        default_type = "invalid_request_error" if self.status < 500 else "server_error"
        error = {
            "type": ERROR_TYPES.get(self.status, default_type),
            "code": ERROR_CODES.get(self.status, "error"),
            "message": self.message,
            "param": self.param,
        }
        return JSONResponse({"error": error}, self.status, self.headers)


def error_of_agent(error: Exception) -> ApiError:
    """Return what the caller may know about an exception of the agent, and log the rest."""
    status = next((code for kind, code in ERROR_STATUS.items() if isinstance(error, kind)), 500)
    if isinstance(error, RequestError):
        return ApiError(status, str(error))
    error_id = uuid4().hex[:12]
    logger.error("Error %s", error_id, exc_info=error)
    return ApiError(status, f"The agent could not answer. See error {error_id} in the server log.")


def stopping_error() -> ApiError:
    """Return the error for requests that outlive the server's shutdown."""
    return ApiError(503, "The server is stopping. Try again.")


async def handle_api_error(_request: Request, error: Exception) -> Response:
    """Respond to an `ApiError`."""
    assert isinstance(error, ApiError)
    return error.response()


async def handle_unexpected_error(_request: Request, error: Exception) -> Response:
    """Respond to an error of the server."""
    return error_of_agent(error).response()
