"""Rules about tools.

The LLM may call them, and they work in any thread, in any process and with any valid arguments.
"""

import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from .harness.agents import HELLO_MESSAGE, Agent, Item, LoadedAgent, Request, output_of
from .harness.call_order import ComparedCalls, calls_that_depend_on_process
from .harness.clock import EVERY_HOUR
from .harness.conversation import LLMCall
from .harness.errors import AGENT_ERRORS
from .harness.fresh_process import KEPT_VARIABLES, FreshProcess
from .harness.network import refuse_connections
from .harness.offline import OfflineLLM
from .harness.provider import Provider
from .harness.rules import FailedRuleError, NotCheckedError, rule
from .harness.sample_requests import ANSWER, TOOL_CALL, TOOL_OUTPUT
from .harness.tool_arguments import values_of_enums
from .harness.tool_calls import (
    ToolCall,
    as_json,
    calls_in,
    use_replies,
    with_first_arguments,
    with_many_arguments,
)
from .harness.tool_errors import INVALID_TIME, broken_by_time, broken_calls

EARLIER_CALLS = 15
# The message of a KeyError is only the key.
KEY_ERROR = re.compile(r"(?:failed|KeyError)[:(]\s*'(\w+)'\W*$")
INVALID_PART = re.compile(r"(month|hour|minute|second) must be in \d+\.\.\d+")
# A time without AM or PM.
TIME = re.compile(r"\b(\d{1,2}):\d\d(?::\d\d)?\b(?!:| ?[AaPp]\.?[Mm])")
NOTHING = re.compile(r'|\[\]|\{\}|null|""|Error: .*pop from (an )?empty .*', re.IGNORECASE)

WORKING_TOOLS = rule(
    "working-tools",
    "No tool fails because of its code: with any valid arguments, in any thread and process.",
    why="The LLM reads the error and answers without the tool. Requests still succeed, so no alert "
    "fires, but the tool never works.",
    fix="Fix the tool in tools.py. Import all names: `spark`, `dbutils` and `display` exist only "
    "in notebooks. Expect that optional arguments are omitted, and texts and lists are empty. "
    "Open files with importlib.resources, and connections and iterators for each call. Use "
    "nothing that servers lack: a terminal, signals, locales, files of this machine. Write `async "
    "def` if the tool needs an event loop, and `await` what it calls. If the input is invalid, "
    "raise a ValueError that says why.",
)


@WORKING_TOOLS
def test_working_tools(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("tools")
    check_calls(tool_calls(agent, example, offline_llm))


@WORKING_TOOLS
def test_tools_with_many_arguments(
    agent: Agent, example: Request, offline_llm: OfflineLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_replies("many-arguments", with_many_arguments)
    offline_llm.use("many-arguments")
    # So that no service gets these arguments, and no call waits for one.
    refuse_connections(monkeypatch)
    calls = tool_calls(agent, example, offline_llm)
    check_calls(calls)
    for tool in offline_llm.tools():
        check_enums(tool, calls)
        check_times(tool, calls)


def check_enums(tool: dict[str, Any], calls: list[ToolCall]) -> None:
    """Assert that no value of an enumeration is unknown to its tool."""
    values = set(map(str, values_of_enums(tool.get("parameters"))))
    for call in (one for one in calls if one.name == tool["name"]):
        key = KEY_ERROR.search(call.output)
        assert not key or key[1] not in values, (
            f"The tool {call.name} allows the value {key and key[1]!r}, but returns: {call.output}"
        )


def check_times(tool: dict[str, Any], calls: list[ToolCall]) -> None:
    """Assert that a tool computes no time that does not exist, unless a caller can name one."""
    arguments = (tool.get("parameters") or {}).get("properties", {}).values()
    schemas = [part for one in arguments for part in one.get("anyOf", [one])]
    if not all(map(is_limited, schemas)):
        return
    has_numbers = any(one.get("type") == "integer" for one in schemas)
    invalid = INVALID_PART if has_numbers else INVALID_TIME  # 31 and 2 are valid, but no date
    for call in (one for one in calls if one.name == tool["name"]):
        assert not invalid.search(call.output), (
            f"The tool {call.name}, called with {as_json(call.arguments)}, which its schema "
            f"allows, returns: {call.output}"
        )


def is_limited(schema: dict[str, Any]) -> bool:
    """Return whether a schema allows only dates and times, known values or bounded numbers."""
    is_bounded = "minimum" in schema and "maximum" in schema
    return is_bounded or "enum" in schema or "format" in schema or schema.get("type") == "null"


@WORKING_TOOLS
def test_tools_in_two_threads(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("tools")
    tool_calls(agent, example, offline_llm)  # may create what tools share
    for tool in offline_llm.tools():
        use_replies("one-tool", partial(with_first_arguments, tool["name"]))
        offline_llm.use("one-tool")
        offline_llm.let_two_meet()
        with ThreadPoolExecutor(2) as pool:
            attempts = [pool.submit(tool_calls, agent, example, offline_llm) for _ in range(2)]
        for attempt in attempts:
            check_calls(attempt.result(), " in two threads at once")


@WORKING_TOOLS
def test_tools_in_a_new_process(fresh_process: FreshProcess) -> None:
    observed = fresh_process.observations()
    if observed.error:
        raise NotCheckedError("the model does not answer, see `fresh-process`")
    first = [ToolCall(**one) for one in observed.tool_calls]
    check_calls(first, " in a new process and folder")
    repeated = [ToolCall(**one) for one in observed.repeated_tool_calls]
    later = [ToolCall(**one) for one in observed.later_tool_calls]
    check_calls([*repeated, *later], " again")
    by_time = {
        datetime.fromisoformat(now): [ToolCall(**call) for call in calls]
        for now, calls in observed.tool_calls_by_time.items()
    }
    at_all_times = [*first, *itertools.chain.from_iterable(by_time.values())]
    for now, calls in by_time.items():
        for one in broken_by_time(calls, at_all_times):
            raise FailedRuleError(
                f"On {now.day} {now:%B, %H:%M} UTC, the tool {one.name} returns: {one.output}",
                "The time that it computes does not exist. Add a `timedelta` instead of changing "
                "a part, such as the month or the hour.",
            )
    check_clock(by_time)
    for one, again in itertools.product(first, repeated):
        is_used_up = NOTHING.fullmatch(again.output) and not NOTHING.fullmatch(one.output)
        assert not is_used_up or (one.name, one.arguments) != (again.name, again.arguments), (
            f"The tool {one.name} returns {one.output}, but later {again.output}."
        )


@WORKING_TOOLS
def test_tools_in_another_time_zone(fresh_process: FreshProcess) -> None:
    answers = fresh_process.observations().tool_calls_by_zone
    for calls in zip(*answers, strict=False):
        outputs = [call["output"] for call in calls]
        here, there = outputs[::2], outputs[1::2]
        if here[0] != there[0] and len({*here}) == len({*there}) == 1:
            raise FailedRuleError(
                f"The tool {calls[0]['name']} returns {here[0]}, but {there[0]} if the machine has "
                "another time zone.",
                "Name the time zone, as in `datetime.now(UTC)` or `time.astimezone(ZoneInfo(…))`.",
            )


@WORKING_TOOLS
def test_tools_in_any_order(fresh_process: FreshProcess) -> None:
    for call in ComparedCalls(**fresh_process.observations().compared_calls).dependent:
        raise FailedRuleError(
            f"The tool {call}.",
            "Keep no data of a call in the module. The key of a cache must contain all arguments.",
        )


@WORKING_TOOLS
def test_tools_in_another_process(
    loaded_agent: LoadedAgent, example: Request, fresh_process: FreshProcess, provider: Provider
) -> None:
    calls = ComparedCalls(**fresh_process.observations().compared_calls)
    variables = (*KEPT_VARIABLES, *provider.variables())
    for call in calls_that_depend_on_process(loaded_agent.model, example, calls, variables):
        raise FailedRuleError(
            f"The tool {call}.",
            "Sort the items of a set, and use a function of `hashlib` or `zlib.crc32` instead of "
            "`hash`: for texts, their results differ in each process.",
        )


def check_clock(by_time: dict[datetime, list[ToolCall]]) -> None:
    """Assert that no tool returns the same time before noon and 12 hours later."""
    outputs: dict[str, list[str]] = {}
    for call in itertools.chain.from_iterable(by_time[now] for now in EVERY_HOUR):
        outputs.setdefault(f"{call.name}({as_json(call.arguments)})", []).append(call.output)
    for call, texts in outputs.items():
        hours = {int(found[1]) for found in map(TIME.search, texts) if found}
        repeated = next((text for text in texts if texts.count(text) > 1), None)
        if hours == set(range(1, 13)) and repeated is not None:
            raise FailedRuleError(
                f"The tool call {call} returns {repeated} before noon and 12 hours later.",
                "Write the time with %H instead of %I, or add %p.",
            )


@WORKING_TOOLS
def test_defined_names(fresh_process: FreshProcess) -> None:
    if names := fresh_process.observations().undefined_names:
        raise FailedRuleError(f"{'; '.join(names)}.", "Correct the name, import it or define it.")


def tool_calls(agent: Agent, request: Request, llm: OfflineLLM) -> list[ToolCall]:
    """Return the tool calls that answer a request."""
    try:
        output = output_of(agent, request)
    except AGENT_ERRORS as error:
        raise NotCheckedError("the agent does not answer, see `every-request`") from error
    finally:
        llm.skip_if_unused()
    return calls_in(output)


def check_calls(calls: list[ToolCall], where: str = "") -> None:
    """Assert that no output of a tool shows a mistake in its code."""
    broken = next(broken_calls(calls), None)
    assert broken is None, (
        f"The tool {broken.name}, called with {as_json(broken.arguments)}"
        f"{where}, returns: {broken.output}"
    )


CALLABLE_TOOLS = rule(
    "callable-tools",
    "The LLM may call the tools in the first round of each turn.",
    why="An LLM that must answer without tools never uses them, and invents the facts.",
    fix="Set `max_rounds` in config.yml to at least 2: in the last round the LLM must answer "
    "without tools. Count only the calls of this answer, not those of earlier turns.",
)


@CALLABLE_TOOLS
def test_callable_tools(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("demo")
    tool_calls(agent, example, offline_llm)
    bodies: list[dict[str, Any]] = [json.loads(body) for body in offline_llm.bodies]
    with_tools = [body for body in bodies if body.get("tools")]
    choices = {json.dumps(body.get("tool_choice")) for body in with_tools}
    assert choices != {'"none"'}, (
        "The request to the LLM contains tools, but its `tool_choice` is none."
    )


@CALLABLE_TOOLS
def test_callable_tools_in_long_conversations(
    agent: Agent, example: Request, offline_llm: OfflineLLM
) -> None:
    offline_llm.use("demo")
    offered = []
    for items in ([], turns_with_calls()):
        start = offline_llm.calls
        tool_calls(agent, example | {"input": [*items, *example["input"]]}, offline_llm)
        offered.append({name for one in offline_llm.bodies[start:] for name in LLMCall(one).tools})
    missing = sorted(offered[0] - offered[1])
    assert not missing, (
        f"After {EARLIER_CALLS} turns with tool calls, the LLM may not call {', '.join(missing)}."
    )


def turns_with_calls() -> list[Item]:
    """Return earlier turns of a conversation, each with a tool call."""
    return [
        item
        for number in range(EARLIER_CALLS)
        for item in (
            HELLO_MESSAGE,
            TOOL_CALL | {"id": f"fc_{number}", "call_id": f"call_{number}"},
            TOOL_OUTPUT | {"call_id": f"call_{number}"},
            ANSWER | {"id": f"msg_{number}"},
        )
    ]
