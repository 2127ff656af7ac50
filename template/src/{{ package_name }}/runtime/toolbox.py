"""Python functions as tools of the LLM: their JSON schemas, and running a call."""

import asyncio
import inspect
from collections.abc import Sequence
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import mlflow
from anyio import CapacityLimiter, to_thread
from docstring_parser import parse
from mlflow.entities import SpanType
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import TypeAdapter, ValidationError

from .validation import describe_validation_error

_ANY = TypeAdapter[Any](Any)

_running: ContextVar[list[str]] = ContextVar("running_tools")


def watch_running_tools() -> list[str]:
    """Return a list that contains the names of the tools that run in this context.

    A tool that is cancelled stays in the list.
    """
    _running.set(names := [])
    return names


class Toolbox:
    """The functions that the LLM may call.

    The function's name is the tool's name, its type hints are the schema of the arguments, and its
    docstring (Google style) describes the tool and each argument.

    Attributes:
        specifications: The functions as the chat-completions API describes tools.
    """

    def __init__(self, functions: Sequence[FunctionType]) -> None:
        self._adapters = {
            function.__name__: _adapter(mlflow.trace(function, span_type=SpanType.TOOL))
            for function in functions
        }
        self.specifications = [specification(function) for function in functions]

    def options(self, *, may_call: bool) -> dict[str, Any]:
        """Return the chat-completions options for the tools; empty if there are no tools."""
        if not self.specifications:
            return {}
        choice = "auto" if may_call else "none"
        return {"tools": self.specifications, "tool_choice": choice}

    async def run(self, name: str, arguments: str, *, max_length: int) -> str:
        """Call a tool and return its output as text.

        A function without `async` runs in a thread, so it does not block the event loop. An error
        becomes an output, so that the LLM can correct its call. Output longer than `max_length`
        characters is truncated.

        Args:
            name: The name of the tool.
            arguments: A JSON object.
            max_length: The maximum number of characters.
        """
        running = _running.get([])
        running.append(name)
        output = await self._run(name, arguments)
        running.remove(name)
        output = output.encode(errors="backslashreplace").decode()  # APIs refuse lone surrogates
        if len(output) <= max_length:
            return output
        return f"{output[:max_length]}\n[Truncated to {max_length} of {len(output)} characters.]"

    async def _run(self, name: str, arguments: str) -> str:
        adapter = self._adapters.get(name)
        if adapter is None:
            return f"Error: unknown tool {name!r}; known tools: {', '.join(self._adapters)}."
        try:
            output = await to_thread.run_sync(
                adapter.validate_json,
                arguments or "{}",
                abandon_on_cancel=True,
                limiter=CapacityLimiter(1),  # a thread per call; the default is 40 for all of them
            )
            if inspect.isawaitable(output):
                output = await output
            if isinstance(output, str):
                return output
            return _ANY.dump_json(output, fallback=str).decode()
        except ValidationError as error:
            # Pydantic's title for the arguments of a function; a tool may validate other data.
            concerns_arguments = error.title == f"call[{name}]"
            problem = f"invalid arguments for {name}" if concerns_arguments else f"{name} failed"
            return f"Error: {problem}: {describe_validation_error(error)}."
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():  # the request ends, not only what the tool waited for
                raise
            return f"Error: {name} failed: it was cancelled."
        except (Exception, SystemExit) as error:  # SystemExit would end the event loop
            return f"Error: {name} failed: {str(error) or type(error).__name__}"


def _adapter(function: Any) -> TypeAdapter[Any]:
    """Return an adapter that validates arguments against a function's type hints and calls it."""
    # Type checkers take the argument of TypeAdapter for a type, unless its own type is Any.
    return TypeAdapter(function)


def _add_items(schema: Any) -> None:
    """Add `items` to the schemas of tuples, because OpenAI refuses arrays without it."""
    if isinstance(schema, dict):
        if "prefixItems" in schema:
            schema.setdefault("items", {"anyOf": schema["prefixItems"]})
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _add_items(part)


def specification(function: FunctionType) -> ChatCompletionFunctionToolParam:
    """Describe a function for the chat-completions API.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters"}}`, where
        `parameters` is the JSON schema of the arguments.
    """
    docstring = parse(inspect.getdoc(function) or "")
    parameters = _adapter(inspect.unwrap(function)).json_schema()  # `functools.cache` wraps it
    _add_items(parameters)
    if "properties" not in parameters:
        raise ValueError(
            f"The tool {function.__name__} has positional-only parameters. Remove the `/`."
        )
    for parameter in docstring.params:
        if parameter.arg_name in parameters["properties"]:
            parameters["properties"][parameter.arg_name]["description"] = parameter.description
    return {
        "type": "function",
        "function": {
            "name": function.__name__,
            "description": docstring.description or function.__name__,
            "parameters": parameters,
        },
    }
