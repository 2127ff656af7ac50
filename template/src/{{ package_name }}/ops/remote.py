"""An agent at a URL: a server, or an endpoint of Model Serving."""

import os
from typing import Any

import httpx
import mlflow
from mlflow.entities import SpanType
from mlflow.tracing.constant import SpanAttributeKey, TokenUsageKey

from ..runtime.validation import is_token
from .cases import calls_in
from .project import ProjectError, cause_of
from .store import without_password


def require_agent_at(url: str) -> None:
    """Check that an agent answers at a URL and accepts the token in AGENT_TOKEN.

    Raises:
        ProjectError: No agent answers, or it rejects the token.
    """
    answer = _post(url, {}, timeout=60)
    status = answer.status_code
    # Databricks Apps redirects to its login.
    if answer.is_redirect or status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ProjectError(
            f"{without_password(url)} answered {status}. Set AGENT_TOKEN to a token that may query "
            "the agent."
        )
    if status in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
        raise ProjectError(
            f"No agent answers at {without_password(route_of(url))} (status {status}). Pass the "
            "address of a server, or the whole URL of an endpoint, which ends in /invocations."
        )


def respond_at(url: str, request: dict[str, Any], *, timeout: float) -> dict[str, Any]:
    """Send a request to the agent at a URL and return its response.

    The trace of the agent is stored elsewhere, so each tool call becomes a span of the current one,
    which gets the tokens.

    Args:
        url: The address of a server, or the URL of an endpoint.
        request: A request of the Responses API.
        timeout: How long to wait for the response, in seconds.

    Raises:
        ProjectError: The agent is unreachable or answers with an error.
    """
    answer = _post(url, request, timeout=timeout)
    if not answer.is_success:
        raise ProjectError(
            f"{without_password(url)} answered {answer.status_code}: {answer.text[:500]}"
        )
    try:
        response = answer.json()
        calls = list(calls_in(response["output"]))
        tokens = tokens_of(response.get("usage") or {})
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ProjectError(
            f"{without_password(url)} did not answer with a response of the Responses API: "
            f"{answer.text[:500]}"
        ) from error
    if tokens and (current := mlflow.get_current_active_span()):
        current.set_attribute(SpanAttributeKey.CHAT_USAGE, tokens)
    for call in calls:
        with mlflow.start_span(call["name"], span_type=SpanType.TOOL) as span:
            span.set_inputs(call["arguments"])
    return response


def tokens_of(usage: dict[str, Any]) -> dict[str, int]:
    """Return the tokens of a response as MLflow's spans have them; empty if it reports none."""
    names = TokenUsageKey.INPUT_TOKENS, TokenUsageKey.OUTPUT_TOKENS, TokenUsageKey.TOTAL_TOKENS
    return {name: usage[name] for name in names if isinstance(usage.get(name), int)}


def route_of(url: str) -> str:
    """Return the URL of the requests to an agent."""
    is_route = url.rstrip("/").endswith(("/invocations", "/responses"))
    return url if is_route else f"{url.rstrip('/')}/invocations"


def _post(url: str, body: dict[str, Any], *, timeout: float) -> httpx.Response:
    token = os.environ.get("AGENT_TOKEN", "")
    if not is_token(token):
        raise ProjectError(
            "AGENT_TOKEN contains a space, a line break or a non-ASCII character. Copy it again."
        )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return httpx.post(route_of(url), json=body, headers=headers, timeout=timeout)
    except httpx.ReadTimeout as error:
        raise ProjectError(
            f"{without_password(url)} did not answer within {timeout:g} s. Check its log, and "
            "whether it is busy."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProjectError(
            f"Could not reach {without_password(url)}: {cause_of(error)}. Start the server, or "
            "check the URL."
        ) from error
