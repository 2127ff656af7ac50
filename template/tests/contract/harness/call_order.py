"""Finds tools whose outputs depend on the calls before them.

An example is a cache whose key lacks an argument: it returns what an earlier call has computed.
"""

import json
import time
from collections.abc import Iterable
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


def calls_that_depend_on_others(model_path: Path, request: Request) -> list[str]:
    """Describe the tool calls with another output if the tools are called in reverse order.

    Tools with chance, and those that change with each call, are left out.

    Args:
        model_path: The folder of the model.
        request: A request that it answers.
    """

    def compare(request: Request) -> list[str]:
        model = reloaded(model_path)
        first = outputs_in_order(model, request, range(MAX_CALLS))
        again = outputs_in_order(model, request, range(MAX_CALLS))
        reverse = outputs_in_order(reloaded(model_path), request, reversed(range(MAX_CALLS)))
        constant = {call for call in first if first[call] == again.get(call)}
        changed = [call for call in constant if first[call] != reverse.get(call, first[call])]
        if not changed:
            return []
        # A value that is chosen at random while loading differs in each process.
        other = outputs_in_order(reloaded(model_path), request, range(MAX_CALLS))
        return [
            f"{name}, called with {arguments}, returns {first[name, arguments]} or "
            f"{reverse[name, arguments]}, depending on the calls before it"
            for name, arguments in sorted(changed)
            if first[name, arguments] == other.get((name, arguments))
        ]

    with pytest.MonkeyPatch.context() as patch, time_machine.travel(time.time(), tick=False):
        refuse_connections(patch)  # so that no service gets these arguments
        patch.setenv("AGENT_LLM", "offline:/numbered")
        attempt = Attempt(compare, request)
        attempt.finished()  # on a clock that stands still, a tool that waits never ends
    return attempt.answer or []


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
            outputs[call.name, as_json(call.arguments)] = call.output
    return outputs
