"""Error messages with the line of the agent's code, and the usual fixes."""

import re
import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from .moved_modules import moved_module
from .project import ENVIRONMENTS, PACKAGE

# What an agent may raise. It excludes KeyboardInterrupt, which ends the tests.
AGENT_ERRORS = (Exception, SystemExit, GeneratorExit, CancelledError)

FIXES = {
    r"set using mlflow.models.set_model|must accept exactly one argument": (
        "End agent.py with `mlflow.models.set_model(AGENT)`, where AGENT is an instance of the "
        "agent's class. Do not put it into a function or below `if __name__ == ...`."
    ),
    r"event loop": (
        "Run coroutines on a separate event loop in another thread, or move them into the "
        "asynchronous method `answer`."
    ),
    r"<generator object": "Return the answer from `predict`; only predict_stream yields.",
    r"coroutine|async_generator|was never awaited": (
        "Write `def predict` and `def predict_stream` without `async`, or derive the class from "
        "AsyncResponsesAgent and write `async def answer`."
    ),
    r"ChatAgent|ChatModel|KeyError: 'messages'": (
        "Derive the agent's class from mlflow.pyfunc.ResponsesAgent, read `request.input`, and "
        "return a ResponsesAgentResponse."
    ),
    r"predict(_stream)?\(\) (missing|takes|got)": (
        "Write `def predict(self, request)` and `def predict_stream(self, request)`. The messages "
        "are in `request.input`."
    ),
    r"no attribute '__name__'": (
        "List functions in `TOOLS`, such as `[one, another]`. Their names, type hints and "
        "docstrings describe them to the LLM; do not write schemas."
    ),
    r"Invalid 'tools|parameter: 'tools|Invalid schema for function|Tool names must be unique": (
        "Give each tool its own name of at most 64 ASCII letters, digits, `_` and `-`, and a "
        "description of at most 1,024 characters. Describe its arguments with type hints. If you "
        'write a schema, it needs `"type": "object"`, `properties` with types, and `items` in each '
        "array."
    ),
    r"Invalid 'messages|no output before|half of a surrogate pair": (
        "Convert the items of the request and of each round with `to_messages` of "
        "runtime/messages.py. Send the output of each tool call directly after the call, and leave "
        "out messages without text."
    ),
    r"maximum context length": (
        "Shorten instructions.md and the outputs of tools: every call of the LLM contains them."
    ),
    r"standard signature": "Remove `signature=` from the call of log_model. MLflow sets it.",
    r"Invalid input example": (
        'Write input_example.json as {"input": [{"role": "user", "content": "…"}]}. Roles are '
        "user, assistant, system and developer. Put other data under `custom_inputs`."
    ),
    r"ResponsesAgentStreamEvent": (
        "Yield ResponsesAgentStreamEvent objects with items from create_text_output_item and "
        "similar helpers. The content of a message is a list of parts of type output_text."
    ),
    r"ResponsesAgentResponse|ResponsesResponse": (
        "Return ResponsesAgentResponse(output=[…]) from `predict`, with items from "
        "create_text_output_item and similar helpers."
    ),
    r"create_\w+\(\) missing": "Pass an id for the item, such as f'msg_{uuid4().hex}'.",
    r"RecursionError": "Let `predict` call `predict_stream`, but not the other way around.",
    r"output_reducer argument": "Make predict_stream a generator: `yield` each event.",
    r"abstract class": (
        "Implement `answer` in the agent's class, or `predict` and `predict_stream` if it does not "
        "derive from AsyncResponsesAgent."
    ),
    r"Request' object|'tuple' object has no attribute|not subscriptable": (
        "The request is an object: read `request.input`. Its `custom_inputs` and `context` may be "
        "None, so check before you read from them."
    ),
    r"Run with (id=.* not found|UUID .* is already active)|set_tracking_uri|set_experiment": (
        "Do not select a store or an experiment in the agent's files: remove set_tracking_uri, "
        "set_experiment and start_run from code that runs at import."
    ),
    r"No module named": (
        "`uv add` the package, or move the module into the agent's package and import it from "
        "there."
    ),
    r"ConfigError": (
        "Correct the file that the message names, and pass `model_config=config.model_dump()` to "
        "log_model."
    ),
    r"Config file is not provided": "Pass `model_config=config.model_dump()` to log_model.",
    r"SystemExit": (
        "Raise an exception instead of ending the process, and do not parse a command line in the "
        "agent's code."
    ),
    r"credentials|api_key|KeyError|environ|user code.*Error: '\w+'\.": (
        "Read environment variables and create clients in the function that answers a request. "
        "There may be no credentials where the model is logged and loaded."
    ),
    r"No such file|FileNotFoundError": (
        "Put the file into the agent's package, and read it with importlib.resources."
    ),
}


# Attributes of the errors of openai, and of LLMError.
_STATUSES = ("status_code", "status")


def describe_error(error: BaseException) -> str:
    """Return the error's type and message, and the line of the agent's code that raised it."""
    text = describe_validation_error(error) if isinstance(error, ValidationError) else str(error)
    text = " ".join(f"{type(error).__name__}: {text}".split())
    text = re.sub(" (For further information visit|Review the stack trace) .*", "", text)
    # These say what to do, and the template raises them.
    line = "" if type(error).__name__ in ("ConfigError", "ProjectError") else _line_of_agent(error)
    return f"{text} ({line})" if line else text


def describe_validation_error(error: ValidationError) -> str:
    """List the invalid fields, such as `Response: status: Field required; id: Field required`."""
    details = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return f"{error.title}: {'; '.join(details)}"


def fix_for(message: str) -> str | None:
    """Return the usual fix of an error with this message, or None if there is none."""
    if moved := moved_module(message, PACKAGE):
        return f"{moved} Change the import."
    return next((fix for pattern, fix in FIXES.items() if re.search(pattern, message)), None)


def innermost_line_of_agent(frames: traceback.StackSummary) -> str:
    """Return the innermost line of the agent's code, or an empty string if there is none."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        if _is_agent_code(path):
            return f"{path.name}, line {frame.lineno}: `{frame.line}`"
    return ""


def is_refusal(error: BaseException) -> bool:
    """Return whether an LLM refused a request of the agent as invalid."""
    statuses = (getattr(cause, name, None) for cause in _causes(error) for name in _STATUSES)
    return 400 in statuses


def _line_of_agent(error: BaseException) -> str:
    for cause in _causes(error):
        if line := innermost_line_of_agent(traceback.extract_tb(cause.__traceback__)):
            return line
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the causes of an error, the first one first, then the error itself."""
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)
    yield error


def _is_agent_code(path: Path) -> bool:
    """Return whether a file is part of the agent, in the repository or in a model."""
    others = (*ENVIRONMENTS, Path(__file__).parents[1])
    return path.is_file() and not any(map(path.is_relative_to, others))
