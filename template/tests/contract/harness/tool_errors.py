"""Outputs of tools that show a mistake in their code."""

import re
from collections.abc import Iterator

from .nested_data import leaves
from .tool_arguments import TEXTS
from .tool_calls import ToolCall

# The messages of exceptions that only a bug raises, and Python objects instead of their values.
# Others, such as KeyError and ConnectionError, can result from the input or the network.
BUGS = re.compile(
    r"name '\w+' is not defined|cannot access (local|free) variable"
    r"|has no attribute '|No module named|cannot import name|maximum recursion depth"
    r"|can only be used in that same thread"
    r"|no (current|running) event loop|[Ee]vent loop is (closed|already running)"
    r"|(attached|bound) to a different (event )?loop|cannot be called from a running event loop"
    r"|\(\) (missing (\d+|a) ?required|missing required argument|takes .* (positional|arguments?\b)"
    r"|got an unexpected|got multiple values|got some positional-only)|expected at (least|most) \d"
    r"|must be .{1,80}, not (type )?'?(str|int|float|bool|list|dict|tuple|set|bytes|None|datetime)"
    r"|unsupported operand type|can only concatenate|not supported between instances"
    r"|object is not (callable|subscriptable|iterable|an iterator)|cannot be interpreted as an int"
    r"|can't (compare|subtract) |codec can't (en|de)code|is not JSON serializable|unhashable type"
    r"|expected str instance|(argument( \d+)?|indices) must be (str|int|real|an int|a str|integer)"
    r"|Unknown format code|unsupported format string|not (enough|all) arguments (for|converted)"
    r"|Exceeds the limit \(\d+ digits\)"
    r"|changed size during iteration|already executing|reuse already awaited|annot pickle '"
    r"|closed (file|database)|(client|Session) (has been|is|instance, once it has been) closed"
    # What servers lack: a terminal, a main thread, files and packages of this machine
    r"|EOF when reading a line|reading from stdin|Inappropriate ioctl|works? in main thread"
    r"|unsupported locale setting|No time zone found with key|Missing optional dependency"
    r"|`Import \S+` failed|suitable TLS CA certificate bundle|has no \S+ profile configured"
    r"|invalid utf-8 sequence|No package metadata was found"
    r"|<.{1,200} at 0x[0-9a-f]+>"
)
MISSING_FILE = re.compile(r"No such file or directory|unable to open database file|no such table")
INVALID_TIME = re.compile(
    r"day is out of range for month|day \d+ must be in range 1\.\.\d+"
    r"|(month|hour|minute|second) must be in \d+\.\.\d+"
)
# Missing data can cause these. They are bugs only if they disappear when all arguments are passed.
OMITTED = re.compile(r"'NoneType'|division by zero")
MAX_ERROR = 1000  # characters; longer outputs are texts that may quote such messages


def broken_calls(calls: list[ToolCall]) -> Iterator[ToolCall]:
    """Yield the calls that failed because of a bug in the tool."""
    for call in calls:
        others = [one for one in calls if one.name == call.name]
        if len(call.output) <= MAX_ERROR and _is_bug(call, others):
            yield call


def broken_by_time(calls: list[ToolCall], others: list[ToolCall]) -> Iterator[ToolCall]:
    """Yield the calls that failed because of the time, but not with the same arguments at others.

    Args:
        calls: The calls at this time.
        others: The calls at all times.
    """
    for call in (one for one in calls if INVALID_TIME.search(one.output)):
        same = [one for one in others if (one.name, one.arguments) == (call.name, call.arguments)]
        if not all(INVALID_TIME.search(one.output) for one in same):
            yield call


def _is_bug(call: ToolCall, others: list[ToolCall]) -> bool:
    if MISSING_FILE.search(call.output):
        # A name that depends on the arguments is the caller's.
        names = {MISSING_FILE.split(one.output)[-1].casefold() for one in others}
        return len(names) == 1 and not any(text in name for name in names for text in _texts(call))
    # An error that repeats a text is about the text, such as the name of an attribute.
    if any(map(_repeats, others)):
        return False
    if not OMITTED.search(call.output):
        return bool(BUGS.search(call.output))
    most = max(len(_given(one)) for one in others)
    complete = [
        one for one in others if len(_given(one)) == most and 0 not in one.arguments.values()
    ]
    return len(_given(call)) < most and not any(OMITTED.search(one.output) for one in complete)


def _given(call: ToolCall) -> set[str]:
    return {name for name, value in call.arguments.items() if value is not None}


def _repeats(call: ToolCall) -> bool:
    """Return whether the output is an error that contains a text of the arguments."""
    if not BUGS.search(call.output):
        return False
    texts = {text.casefold() or "''" for text in TEXTS} & {text or "''" for text in _texts(call)}
    return any(text in call.output.casefold() for text in texts)


def _texts(call: ToolCall) -> list[str]:
    """Return each value of the arguments as a text, in lower case."""
    return [str(leaf).casefold() for leaf in leaves(call.arguments)]
