"""The errors of agents: their messages, causes and lines."""

import re
import traceback
from asyncio import CancelledError
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from .project import ENVIRONMENTS

# What an agent may raise. It excludes KeyboardInterrupt, which ends the tests.
AGENT_ERRORS = (Exception, SystemExit, GeneratorExit, CancelledError)

# The template raises these, and their messages say what to do.
UNLOCATED = ("ConfigError", "ProjectError")
# Attributes of the errors of openai, and of LLMError.
_STATUSES = ("status_code", "status")


def describe_error(error: BaseException) -> str:
    """Return the error's type and message, and the line of the agent's code that raised it."""
    text = (
        describe_validation_error(error) if isinstance(error, ValidationError) else text_of(error)
    )
    text = " ".join(f"{type(error).__name__}: {text}".split())
    text = re.sub(" (For further information visit|Review the stack trace) .*", "", text)
    line = "" if type(error).__name__ in UNLOCATED else first_line_of_agent(error)
    return f"{text} ({line})" if line else text


def text_of(error: BaseException) -> str:
    """Return the message of an error, or "" if its class cannot write one."""
    try:
        return str(error)
    except Exception:
        return ""


def describe_validation_error(error: ValidationError) -> str:
    """List the invalid fields, such as `Response: status: Field required; id: Field required`."""
    details = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
    return f"{error.title}: {'; '.join(details)}"


def innermost_line_of_agent(frames: traceback.StackSummary) -> str:
    """Return the innermost line of the agent's code, or an empty string if there is none."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        if _is_agent_code(path):
            return f"{path.name}, line {frame.lineno}: `{frame.line}`"
    return ""


def is_refusal(error: BaseException) -> bool:
    """Return whether an LLM refused a request of the agent as invalid."""
    statuses = (getattr(cause, name, None) for cause in causes_of(error) for name in _STATUSES)
    return 400 in statuses


def first_line_of_agent(error: BaseException) -> str:
    """Return the line of the agent's code in the first cause that has one, or an empty string."""
    lines = (line_of_agent(cause) for cause in causes_of(error))
    return next(filter(None, lines), "")


def line_of_agent(error: BaseException) -> str:
    """Return the line of the agent's code that raised an error, or an empty string."""
    return innermost_line_of_agent(traceback.extract_tb(error.__traceback__))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the causes of an error, the first one first, then the error itself."""
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from causes_of(cause)
    yield error


def _is_agent_code(path: Path) -> bool:
    """Return whether a file is part of the agent, in the repository or in a model."""
    others = (*ENVIRONMENTS, Path(__file__).parents[1])
    return path.is_file() and not any(map(path.is_relative_to, others))
