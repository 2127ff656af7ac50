"""Finds tools whose outputs depend on earlier calls or on the process.

A cache whose key lacks an argument returns the result of an earlier call. The order of a set of
texts differs in each process.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import time_machine

from .agents import Request
from .network import refuse_connections
from .reloading import reloaded
from .tool_arguments import MAX_CALLS, single_changes
from .tool_calls import as_json, calls_in, use_replies
from .waiting import Attempt

Outputs = dict[tuple[str, str], str]  # by the name of the tool and its arguments as JSON


@dataclass
class ComparedCalls:
    """What the tools returned in two orders.

    Attributes:
        dependent: Descriptions of the calls with another output in reverse order.
        steady: The calls with the same output each time: name, arguments as JSON, and output.
        now: The time of the clock that stood still, in seconds since 1970.
    """

    dependent: list[str] = field(default_factory=list)
    steady: list[tuple[str, str, str]] = field(default_factory=list)
    now: float = 0


def compare_orders(model_path: Path, request: Request) -> ComparedCalls:
    """Call the tools of a model in one order, and in reverse order.

    Tools with chance, and those that change with each call, are left out.

    Args:
        model_path: The folder of the model.
        request: A request that it answers.
    """
    now = time.time()

    def compare(request: Request) -> ComparedCalls:
        model = reloaded(model_path)
        first = outputs_in_order(model, request, range(MAX_CALLS))
        again = outputs_in_order(model, request, range(MAX_CALLS))
        reverse = outputs_in_order(reloaded(model_path), request, reversed(range(MAX_CALLS)))
        constant = {call for call in first if first[call] == again.get(call)}
        changed = [call for call in constant if first[call] != reverse.get(call, first[call])]
        # Another model has the same output, so it was not chosen at random while loading.
        steady = [(*call, first[call]) for call in constant if first[call] == reverse.get(call)]
        if not changed:
            return ComparedCalls([], steady, now)
        # A value that is chosen at random while loading differs in each model.
        other = outputs_in_order(reloaded(model_path), request, range(MAX_CALLS))
        dependent = [
            f"{name}, called with {arguments}, returns {first[name, arguments]} or "
            f"{reverse[name, arguments]}, depending on the calls before it"
            for name, arguments in sorted(changed)
            if first[name, arguments] == other.get((name, arguments))
        ]
        return ComparedCalls(dependent, steady, now)

    with pytest.MonkeyPatch.context() as patch, time_machine.travel(now, tick=False):
        refuse_connections(patch)  # so that no service gets these arguments
        patch.setenv("AGENT_LLM", "offline:/numbered")
        attempt = Attempt(compare, request)
        attempt.finished()  # on a clock that stands still, a tool that waits never ends
    return attempt.answer or ComparedCalls()


def calls_that_depend_on_process(
    model: Any, request: Request, calls: ComparedCalls, variables: Iterable[str]
) -> Iterator[str]:
    """Describe each tool call that returns another output here than in the other process.

    Args:
        model: The model, loaded in this process.
        request: A request that it answers.
        calls: What the other process has found.
        variables: The environment variables that the other process has, too.
    """
    kept = {*variables, "AGENT_LLM"}
    with pytest.MonkeyPatch.context() as patch:
        refuse_connections(patch)
        for name in [name for name in os.environ if name not in kept]:
            patch.delenv(name)
        patch.setenv("AGENT_LLM", "offline:/numbered")
        with time_machine.travel(calls.now, tick=False):
            attempt = Attempt(lambda one: outputs_in_order(model, one, range(MAX_CALLS)), request)
            attempt.finished()
        attempt.finished()  # a tool that waits ends only on a clock that runs
    outputs: Outputs = attempt.answer or {}
    for name, arguments, there in sorted(calls.steady):
        here = outputs.get((name, arguments), there)
        if here != there:
            call = f"{name}, called with {arguments}"
            yield f"{call}, returns {here}, but {there} in another process"


def outputs_in_order(model: Any, request: Request, numbers: Iterable[int]) -> Outputs:
    """Call each tool once per number, with the arguments of this number, and return the outputs."""
    outputs: Outputs = {}
    for number in numbers:

        def calls(
            _messages: list[Any], tools: list[Any], number: int = number
        ) -> tuple[tuple[str, str], ...]:
            sets = {tool["name"]: single_changes(tool["parameters"]) for tool in tools}
            return tuple(
                (name, json.dumps(arguments[number]))
                for name, arguments in sets.items()
                if number < len(arguments)
            )

        use_replies("numbered", calls)
        for call in calls_in(model.predict(request)["output"]):
            outputs[call.name, as_json(call.arguments)] = without_folders(call.output)
    return outputs


def without_folders(text: str) -> str:
    """Return a text without the folders that differ from process to process."""
    for folder in (tempfile.gettempdir(), str(Path.cwd()), str(Path.home())):
        if len(folder) > 1:
            text = text.replace(folder, "…")
    return text
