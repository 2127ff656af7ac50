"""Plain functions as tools, asynchronous or not: their JSON schema, and running a call of one."""

import inspect
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import mlflow
from anyio import to_thread
from docstring_parser import parse
from mlflow.entities import SpanType
from openai.types.chat import ChatCompletionFunctionToolParam
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json


class Toolbox:
    """The functions that the LLM may call.

    A function's name is the tool's name, its type hints are the schema of its arguments,
    and its docstring (Google style) describes the tool and each argument.
    """

    def __init__(self, functions: Sequence[FunctionType]) -> None:
        self._adapters = {
            function.__name__: _adapter(mlflow.trace(function, span_type=SpanType.TOOL))
            for function in functions
        }
        self._specifications = [specification(function) for function in functions]

    def options(self, *, may_call: bool) -> dict[str, Any]:
        """What to tell the LLM of the tools; nothing when there are none."""
        if not self._specifications:
            return {}
        choice = "auto" if may_call else "none"
        return {"tools": self._specifications, "tool_choice": choice}

    async def run(self, name: str, arguments: str, *, max_length: int = 100_000) -> str:
        """Call the tool with a JSON object of arguments and return its output as text.

        A function that is not asynchronous runs in a thread, so that it holds nobody up. Whatever
        goes wrong becomes an output too, so that the LLM can correct itself. An output of more
        than `max_length` characters is cut, and says so.
        """
        output = await self._run(name, arguments)
        if len(output) <= max_length:
            return output
        return f"{output[:max_length]}\n[Cut off at {max_length} of {len(output)} characters.]"

    async def _run(self, name: str, arguments: str) -> str:
        adapter = self._adapters.get(name)
        if adapter is None:
            return f"Error: there is no tool {name!r}; there are {', '.join(self._adapters)}."
        try:
            output = await to_thread.run_sync(
                adapter.validate_json, arguments or "{}", abandon_on_cancel=True
            )
            if inspect.isawaitable(output):
                output = await output
        except ValidationError as error:
            return f"Error: {name} was called with wrong arguments: {_explain(error)}."
        except Exception as error:
            return f"Error: {name} failed: {str(error) or type(error).__name__}"
        return output if isinstance(output, str) else to_json(output, fallback=str).decode()


def _adapter(function: Any) -> TypeAdapter[Any]:
    """What checks arguments against the function's type hints, and calls it with them."""
    return TypeAdapter(function)


def specification(function: FunctionType) -> ChatCompletionFunctionToolParam:
    """Describe a function as chat completions want it.

    Returns:
        `{"type": "function", "function": {"name", "description", "parameters"}}`, where
        `parameters` is the JSON schema of the arguments.
    """
    docstring = parse(inspect.getdoc(function) or "")
    parameters = _adapter(function).json_schema()
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


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'arguments'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    )
