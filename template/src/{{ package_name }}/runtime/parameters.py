"""Converts the parameters of a request to options of the LLM, and rejects unsupported ones."""

from typing import Any

from mlflow.types.responses import ResponsesAgentRequest

from .items import RequestError
from .llm.offline.option_values import EFFORTS, VERBOSITIES

_SCHEMA = {"name": str, "description": str, "schema": dict, "strict": bool}
_NOT_SET = (None, "")  # some clients send empty texts
_SAME_NAME = ("temperature", "top_p", "parallel_tool_calls")


def llm_options(request: ResponsesAgentRequest) -> dict[str, Any]:
    """Return the chat-completions options for the parameters of a request.

    Raises:
        RequestError: A parameter is invalid or not supported; the message names it.
    """
    _reject_invalid(request)
    options = {name: getattr(request, name) for name in _SAME_NAME}
    options["max_completion_tokens"] = request.max_output_tokens
    options["tool_choice"] = "none" if request.tool_choice == "none" else None
    options["reasoning_effort"] = _effort(request)
    options["verbosity"] = _verbosity(request)
    options["response_format"] = _response_format(request.text)
    return {name: value for name, value in options.items() if value not in _NOT_SET}


def _reject_invalid(request: ResponsesAgentRequest) -> None:
    if request.tools:
        raise RequestError("`tools` is not supported: the agent has its own tools.", "tools")
    if request.tool_choice not in (None, "auto", "none"):
        raise RequestError("`tool_choice` must be `auto` or `none`.", "tool_choice")
    if request.background:
        raise RequestError("`background` is not supported. Stream the response.", "background")
    if request.truncation not in (None, "disabled"):
        raise RequestError("`truncation` must be `disabled`. Send fewer items.", "truncation")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise RequestError("`temperature` must be between 0 and 2.", "temperature")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        raise RequestError("`top_p` must be between 0 and 1.", "top_p")
    if request.max_output_tokens is not None and request.max_output_tokens < 1:
        raise RequestError("`max_output_tokens` must be at least 1.", "max_output_tokens")
    if _effort(request) not in (*_NOT_SET, *EFFORTS):
        allowed = ", ".join(EFFORTS)
        raise RequestError(f"`reasoning.effort` must be one of {allowed}.", "reasoning.effort")
    if _verbosity(request) not in (*_NOT_SET, *VERBOSITIES):
        allowed = ", ".join(VERBOSITIES)
        raise RequestError(f"`text.verbosity` must be one of {allowed}.", "text.verbosity")


def _effort(request: ResponsesAgentRequest) -> str | None:
    return request.reasoning.effort if request.reasoning else None


def _verbosity(request: ResponsesAgentRequest) -> Any:
    return request.text.get("verbosity") if isinstance(request.text, dict) else None


def _response_format(text: Any) -> dict[str, Any] | None:
    """Convert the `text` of a request, `{"format": {"type", …}}`, to a `response_format`."""
    wanted = text.get("format") if isinstance(text, dict) else text
    # Databricks' AI SDK provider nests the schema, as in chat completions.
    if isinstance(wanted, dict) and isinstance(wanted.get("json_schema"), dict):
        wanted = {**wanted["json_schema"], "type": wanted.get("type")}
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", "schema": dict()}:
            fields = {name: wanted[name] for name in _SCHEMA if wanted.get(name) not in _NOT_SET}
            if all(isinstance(fields[name], _SCHEMA[name]) for name in fields):
                return {"type": "json_schema", "json_schema": {"name": "answer", **fields}}
    raise RequestError(
        "The type of `text.format` must be `text`, `json_object` or `json_schema`. `json_schema` "
        "requires the object `schema`; `name` and `description` must be strings, and `strict` a "
        "boolean.",
        "text.format",
    )
