"""Errors in words: what was raised, where in the agent's own code, and what usually mends it."""

import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

HINTS = {
    r"set using mlflow.models.set_model|must accept exactly one argument": (
        "End agent.py with `mlflow.models.set_model(AGENT)`, where AGENT is an instance of the "
        "agent's class; not inside a function, and not below `if __name__ == ...`."
    ),
    r"event loop": (
        "Run coroutines on an event loop of their own, `asyncio.new_event_loop()`, in the thread "
        "that answers the request."
    ),
    r"<generator object": "Return the answer from `predict`; only predict_stream yields.",
    r"coroutine|async_generator|was never awaited": (
        "Write `def predict` and `def predict_stream` without `async`; run coroutines inside them, "
        "on an event loop of their own."
    ),
    r"ChatAgent|ChatModel|KeyError: 'messages'": (
        "Derive the agent's class from mlflow.pyfunc.ResponsesAgent, take `request.input`, and "
        "return a ResponsesAgentResponse."
    ),
    r"predict(_stream)?\(\) (missing|takes|got)": (
        "Write `def predict(self, request)` and `def predict_stream(self, request)`: what older "
        "agents took as `messages` or `model_input` is `request.input`."
    ),
    r"no attribute '__name__'": (
        "List the functions themselves in `TOOLS`, as in `[one, another]`: the LLM is told their "
        "names, type hints and docstrings, so no schema is written by hand."
    ),
    r"standard signature": "Remove `signature=` from the call of log_model; MLflow sets it.",
    r"Invalid input example": (
        'Write input_example.json as {"input": [{"role": "user", "content": "…"}]}. Roles are '
        "user, assistant, system and developer; other data belongs under `custom_inputs`."
    ),
    r"ResponsesAgentStreamEvent": (
        "Yield ResponsesAgentStreamEvent objects, with items made by create_text_output_item and "
        "its siblings: the content of a message is a list of parts of the type output_text."
    ),
    r"ResponsesAgentResponse|ResponsesResponse": (
        "Return ResponsesAgentResponse(output=[…]) from `predict`, with items made by "
        "create_text_output_item and its siblings."
    ),
    r"create_\w+\(\) missing": "Give the item an id, such as f'msg_{uuid4().hex}'.",
    r"RecursionError": "Let `predict` call `predict_stream`, and `predict_stream` not `predict`.",
    r"output_reducer argument": "Make predict_stream a generator: `yield` each event.",
    r"abstract class": (
        "Implement `predict` and `predict_stream` in the class that `set_model` is given."
    ),
    r"Request' object|'tuple' object has no attribute|not subscriptable": (
        "The request is an object: take `request.input`. Its `custom_inputs` and `context` may be "
        "None, so ask before reading from them."
    ),
    r"Run with (id=.* not found|UUID .* is already active)|set_tracking_uri|set_experiment": (
        "Choose no store and no experiment in the agent's files: take set_tracking_uri, "
        "set_experiment and start_run out of the code that runs at import."
    ),
    r"No module named": (
        "`uv add` the package, or put the module into the agent's package and import it from there."
    ),
    r"Config file is not provided|config": (
        "Pass `model_config=config.model_dump()` to log_model, with every setting that is read."
    ),
    r"SystemExit": (
        "Raise an exception instead of ending the process, and parse no command line in the code "
        "that a model consists of."
    ),
    r"credentials|api_key|KeyError|environ|user code.*Error: '\w+'\.": (
        "Read environment variables and build clients in the function that answers a request: "
        "where the model is logged and loaded there may be none."
    ),
    r"No such file|FileNotFoundError": (
        "Put the file into the agent's package, and read it with importlib.resources."
    ),
}


def described(error: BaseException) -> str:
    """Name an error, what it says, and the line of the agent's code it comes from."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = text.partition(" For further information visit")[0]
    place = place_in_agent(error)
    return f"{text} ({place})" if place else text


def mend_for(text: str) -> str | None:
    """What usually mends an error that says this; None when it is not a usual one."""
    return next((mend for pattern, mend in HINTS.items() if re.search(pattern, text)), None)


def place_in_agent(error: BaseException) -> str:
    """The innermost line of the agent's own code that an error, or its cause, went through."""
    for cause in _causes(error):
        if place := innermost_of_agent(traceback.extract_tb(cause.__traceback__)):
            return place
    return ""


def innermost_of_agent(frames: traceback.StackSummary) -> str:
    """The innermost line of the agent's own code among frames; nothing when there is none."""
    for frame in reversed(frames):
        path = Path(frame.filename)
        if _is_of_agent(path):
            return f"{path.name}, line {frame.lineno}: `{frame.line}`"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error's causes, the first one first, then the error itself."""
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)
    yield error


def _is_of_agent(path: Path) -> bool:
    """Whether a file is the agent's, here or in a model, and none of Python's or of these tests."""
    others = (sys.prefix, sys.base_prefix, Path(__file__).parent)
    return path.is_file() and not any(map(path.is_relative_to, others))
