"""The usual fixes of errors, by what raises them and where."""

import re
from typing import NamedTuple

from .errors import causes_of, line_of_agent, text_of
from .moved_modules import moved_module
from .project import COMMAND, PACKAGE


class Fix(NamedTuple):
    """A fix, and regular expressions for the errors that it fixes.

    Attributes:
        text: What to do.
        error: Matches the whole name of the error's class.
        message: Occurs in its message.
        line: Occurs in the line of the agent's code that raised it.
    """

    text: str
    error: str = r"\w+"
    message: str = ""
    line: str = ""


NO_STORE = (
    "Do not select a store or an experiment in the agent's files: remove set_tracking_uri, "
    "set_experiment and start_run from code that runs at import."
)
NO_CREDENTIALS = (
    "Read environment variables and create clients in the function that answers a request. There "
    "may be no credentials where the model is logged and loaded."
)
# An error that matches none has the fix of its rule: no hint is better than a wrong one.
FIXES = (
    Fix(
        "Correct the file that the message names, and pass "
        '`model_config=config.model_dump(mode="json")` to log_model.',
        error="ConfigError",  # its message may contain any word
    ),
    Fix(
        "End agent.py with `mlflow.models.set_model(AGENT)`, where AGENT is an instance of the "
        "agent's class. Do not put it into a function or below `if __name__ == ...`.",
        message="set using mlflow.models.set_model|must accept exactly one argument",
    ),
    Fix(
        "Write the version as a constant: Model Serving copies the code of the package, and does "
        "not install it.",
        error="PackageNotFoundError",
        message=rf"\b{COMMAND}\b",
    ),
    Fix(
        "Run coroutines on a separate event loop in another thread, or move them into the "
        "asynchronous method `answer`.",
        error="RuntimeError",
        message="event loop",
    ),
    Fix(
        "Let the tool finish: limit its loops, and give its requests a timeout.",
        error="AnswerTimeoutError",
        message="did not finish",
    ),
    Fix(
        "Return the answer from `predict`; only predict_stream yields.",
        message="<generator object",
    ),
    Fix(
        "Write `def predict` and `def predict_stream` without `async`, or derive the class from "
        "AsyncResponsesAgent and write `async def answer`.",
        error="MlflowException|TypeError|ValidationError",
        message="coroutine|async_generator",
    ),
    Fix(
        "Derive the agent's class from mlflow.pyfunc.ResponsesAgent, read `request.input`, and "
        "return a ResponsesAgentResponse.",
        message=r"\b(ChatAgent|ChatModel)\b",
    ),
    Fix(
        "The messages are in `request.input`, not in `messages`.",
        error="KeyError",
        message="^'messages'$",
        line="request",
    ),
    Fix(
        "Write `def predict(self, request)` and `def predict_stream(self, request)`. The messages "
        "are in `request.input`.",
        error="TypeError",
        message=r"predict(_stream)?\(\) (missing|takes|got)",
    ),
    Fix(
        "List functions in `TOOLS`, such as `[one, another]`. Their names, type hints and "
        "docstrings describe them to the LLM; do not write schemas. Remove decorators of "
        "frameworks, such as `@tool`.",
        error="AttributeError",
        message="no attribute '__name__'",
    ),
    Fix(
        "Give each tool its own name of at most 64 ASCII letters, digits, `_` and `-`, and a "
        "description of at most 1,024 characters. Describe its arguments with type hints. If you "
        'write a schema, it needs `"type": "object"`, `properties` with types, and `items` in each '
        "array.",
        message="Invalid 'tools|parameter: 'tools|Invalid schema for function"
        "|Tool names must be unique",
    ),
    Fix(
        "Convert the items of the request and of each round with `to_messages` of "
        "runtime/messages.py. Send the output of each tool call directly after the call, and leave "
        "out messages without text.",
        message="Invalid 'messages|no output before|half of a surrogate pair",
    ),
    Fix(
        "Correct the option that the message names, where the agent calls the LLM or under "
        "`llm_options` in config.yml.",
        message=r"status 400: (Invalid|Missing required parameter:|Unknown parameter:) '",
    ),
    Fix(
        "Shorten instructions.md and the outputs of tools: every call of the LLM contains them.",
        message="maximum context length",
    ),
    Fix(
        "Remove `signature=` from the call of log_model. MLflow sets it.",
        error="MlflowException",
        message="standard signature",
    ),
    Fix(
        'Write input_example.json as {"input": [{"role": "user", "content": "…"}]}. Roles are '
        "user, assistant, system and developer. Put other data under `custom_inputs`.",
        error="MlflowException",
        message="Invalid input example",
    ),
    Fix(
        "Yield ResponsesAgentStreamEvent objects with items from create_text_output_item and "
        "similar helpers. The content of a message is a list of parts of type output_text.",
        error="ValidationError|MlflowException|TypeError",
        message="ResponsesAgentStreamEvent",
    ),
    Fix(
        "Return ResponsesAgentResponse(output=[…]) from `predict`, with items from "
        "create_text_output_item and similar helpers.",
        error="ValidationError|MlflowException|TypeError",
        message="ResponsesAgentResponse|ResponsesResponse",
    ),
    Fix(
        "Pass an id for the item, such as f'msg_{uuid4().hex}'.",
        error="TypeError",
        message=r"create_\w+\(\) missing",
    ),
    Fix(
        "Let `predict` call `predict_stream`, but not the other way around.",
        error="RecursionError",
        line="predict",
    ),
    Fix(
        "Make predict_stream a generator: `yield` each event.",
        message="output_reducer argument",
    ),
    Fix(
        "Implement `answer` in the agent's class, or `predict` and `predict_stream` if it does not "
        "derive from AsyncResponsesAgent.",
        error="TypeError",
        message="abstract class",
    ),
    Fix(
        "Move the files of `artifacts` into the package, and read them with importlib.resources. "
        "Add the settings of `model_config` to config.yml, and read them from `self.config`.",
        line=r"\bcontext\.(artifacts|model_config)\b",
    ),
    Fix(
        "The request is an object: read `request.input`. Its `custom_inputs` and `context` may be "
        "None, so check before you read from them.",
        error="AttributeError|TypeError",
        message="Request' object|'tuple' object has no attribute|'NoneType' object",
        line=r"\brequest\.|custom_inputs|\bcontext\.",
    ),
    Fix(NO_STORE, message="Run with (id=.* not found|UUID .* is already active)"),
    Fix(NO_STORE, line="set_tracking_uri|set_experiment"),
    Fix(
        "`uv add` the package, or move the module into the agent's package and import it from "
        "there.",
        error="ModuleNotFoundError",
    ),
    Fix(
        'Pass `model_config=config.model_dump(mode="json")` to log_model.',
        message="Config file is not provided",
    ),
    Fix(
        "Raise an exception instead of ending the process, and do not parse a command line in the "
        "agent's code.",
        error="SystemExit",
    ),
    Fix(
        "Let the LLM's client read OPENAI_BASE_URL or DATABRICKS_HOST, without `base_url` and "
        "`api_key` in the code. The tests answer at that address in place of the provider.",
        error="APIConnectionError|AuthenticationError",
    ),
    Fix(NO_CREDENTIALS, message="[Cc]redentials|api_key|API_KEY", line=r"^(?!.*custom_inputs)"),
    Fix(NO_CREDENTIALS, line=r"environ[\[.]|getenv\("),
    Fix(
        "Use a Python package instead of the program, or install it in the Dockerfile.",
        error="FileNotFoundError",
        line=r"subprocess|Popen|check_(call|output)",
    ),
    Fix(
        "Put the file into the agent's package, and read it with importlib.resources.",
        error="FileNotFoundError",
    ),
)


def fix_for(error: BaseException) -> str | None:
    """Return the usual fix of an error or of its first cause, or None if there is none."""
    first, *others = causes_of(error)
    # Others often repeat its message in their own.
    message = text_of(first)
    others = [one for one in others if not message or message not in text_of(one)]
    for cause in (first, *others):
        if moved := moved_module(text_of(cause), PACKAGE):
            return f"{moved} Change the import."
        if fix := next((fix.text for fix in FIXES if is_fix_of(fix, cause)), None):
            return fix
    return None


def is_fix_of(fix: Fix, error: BaseException) -> bool:
    """Return whether a fix applies to an error."""
    return bool(
        re.fullmatch(fix.error, type(error).__name__)
        and re.search(fix.message, text_of(error))
        and re.search(fix.line, line_of_agent(error))
    )
