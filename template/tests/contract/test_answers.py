"""Rules about answers."""

import json
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from mlflow import MlflowClient
from openai.types.responses import ResponseFunctionToolCallOutputItem, ResponseOutputItem
from pydantic import ValidationError

from .harness.agents import (
    Agent,
    Item,
    Request,
    ids_of,
    instance_of,
    items_of,
    output_of,
    stream_of,
    text_of,
)
from .harness.canaries import Canaries
from .harness.conversation import wants_json
from .harness.errors import AGENT_ERRORS, describe_error, describe_validation_error
from .harness.network import refuse_connections
from .harness.offline import OfflineLLM
from .harness.rules import ENDLESS_FAILURE, FailedRuleError, NotCheckedError, rule
from .harness.same_items import is_constant
from .harness.sample_requests import ANSWER, REQUESTS, USER_DATA, two_turns
from .harness.strict_json import problems_with_json
from .harness.tool_calls import (
    as_json,
    calls_in,
    delay_first_call,
    use_replies,
    with_hostile_texts,
    with_last_arguments,
    with_many_arguments,
    with_one_call,
)
from .harness.waiting import PATIENCE, Attempt


@rule(
    "answer-text",
    "Every answer contains an assistant message with text.",
    why="AI Playground shows messages. Without one, the agent seems to have crashed.",
    fix="End every answer with a message: after the tools have run, call the LLM again. If there "
    "is nothing to answer, raise an error.",
)
def test_answer_text(agent: Agent, example: Request, llm: str) -> None:
    output = output_of(agent, example)
    texts = [text_of(item) for item in output if item.get("role") == "assistant"]
    types = ", ".join(str(item.get("type")) for item in output)
    assert "".join(texts).strip(), f"The output contains no text, only {types or 'no items'}."


@rule(
    "output-items",
    "The output is strict JSON, and the OpenAI SDK can parse every item.",
    why="Callers parse answers with that SDK and send the items with the next turn. A server "
    "answers with an error if an item is not valid JSON.",
    fix="Build items with the helpers of ResponsesAgent (create_text_output_item, "
    "create_function_call_item, …). In `custom_outputs` use only strings, numbers, lists and "
    "dictionaries: a date as `.isoformat()`, a set as a list, None instead of NaN.",
)
def test_output_items(agent: Agent, example: Request, llm: str) -> None:
    answer = agent.predict(example)
    problems = list(problems_with_json(answer))
    assert not problems, f"The answer is not strict JSON: {'; '.join(problems)}."
    represented = re.search(r"<[\w.]+ object at 0x[0-9a-f]+>", json.dumps(answer))
    assert not represented, f"The answer contains a Python object as text: {represented[0]}."
    failed = answer.get("error") or answer.get("status") not in (None, "completed", "incomplete")
    assert not failed, (
        f"The answer reports status {answer.get('status')}, error {answer.get('error')}."
    )
    for item in items_of(answer):
        problem = problem_with(item)
        assert not problem, f"An item of type {item.get('type')!r} is invalid: {problem}."


ITEM_CLASSES: dict[str, Any] = {
    get_args(item.model_fields["type"].annotation)[0]: item
    for item in (
        *get_args(get_args(ResponseOutputItem)[0]),
        ResponseFunctionToolCallOutputItem,
    )
}


def problem_with(item: Item) -> str:
    """Return why an item is invalid for the OpenAI SDK, or an empty string."""
    if item.get("status") == "in_progress":
        return "its status is still in_progress"
    cls = ITEM_CLASSES.get(item.get("type", ""))
    if cls is None:
        return f"the types of the Responses API are {', '.join(sorted(ITEM_CLASSES))}"
    # MLflow's helpers omit these fields; `item-ids` checks the ids of other items.
    optional = {"status": "completed", "id": ""}
    try:
        cls.model_validate(optional | item)
    except ValidationError as error:
        return describe_validation_error(error)
    return ""


CLOSED_ENVIRONMENT = rule(
    "closed-environment",
    "Answers, errors, LLM requests and logs contain no values of environment variables and no "
    "credentials of callers. Answers, errors and logs contain no instructions, and answers and "
    "errors no settings.",
    why="The environment contains the agent's credentials. Callers see the answers and errors, "
    "others read the logs.",
    fix="Put only values that callers may see into texts, `custom_outputs` and messages of "
    "exceptions, one by one. Send keys in headers: errors contain URLs. Do not log variables, "
    "headers, clients or the messages for the LLM.",
)


REPLIES_WITH_ARGUMENTS = {
    "many-arguments": with_many_arguments,
    "hostile-texts": with_hostile_texts,
}
HOSTILE_FIX = (
    "Do not run a text of the LLM as code or in a shell, and do not open it as a path: parse it, "
    "and allow only the names of known files."
)


@pytest.fixture
def canaries(agent: Agent, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Recognizes the environment, the instructions and the settings of the agent."""
    return Canaries(monkeypatch, model_path)


def with_unknown_inputs(request: Request) -> Request:
    """Return a request with values that an agent may refuse, with an error about them."""
    unknown = dict.fromkeys((*USER_DATA, "mode", "role", "style"), "unknown")
    flags = dict.fromkeys(("debug", "verbose", "trace"), True)
    return request | {"custom_inputs": (request.get("custom_inputs") or {}) | unknown | flags}


@CLOSED_ENVIRONMENT
@pytest.mark.parametrize(
    "llm",
    [
        *("offline:/demo", "offline:/tools", "offline:/many-arguments", "offline:/hostile-texts"),
        *("offline:/wrong-tools", "offline:/endless-tools", "offline:/fail"),
        "openai:/fail",  # through HTTP, with a key
    ],
)
def test_closed_environment(
    agent: Agent,
    example: Request,
    canaries: Canaries,
    offline_llm: OfflineLLM,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
    llm: str,
) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # it logs URLs, and some APIs expect their key there
    caplog.set_level(logging.INFO)
    for name, reply in REPLIES_WITH_ARGUMENTS.items():
        if llm == f"offline:/{name}":
            use_replies(name, reply)
            refuse_connections(monkeypatch)  # so that no service gets these arguments
    for one in finished_attempts(agent, example, offline_llm, llm):
        text = describe_error(one.error) if one.error else json.dumps(one.answer, default=str)
        found = canaries.found_in(text)
        kind = "error" if one.error else "answer"
        if found:
            fix = HOSTILE_FIX if llm == "offline:/hostile-texts" else None
            raise FailedRuleError(f"With {llm}, an {kind} contains {found}.", fix)
    warnings = "".join(str(one.message) for one in recwarn)
    log = "".join((caplog.text, *capsys.readouterr(), warnings))
    found = canaries.variables_in(log) or canaries.instructions_in(log)
    assert not found, f"With {llm}, the log contains {found}."
    found = canaries.variables_in("".join(offline_llm.bodies))
    assert not found, f"An LLM request contains {found}."


def finished_attempts(
    agent: Agent, example: Request, offline_llm: OfflineLLM, llm: str
) -> list[Attempt]:
    """Send several requests at once, and wait for them.

    Raises:
        FailedRuleError: They do not finish.
        NotCheckedError: They do not finish, and another rule says so.
    """
    provider, _, model = llm.partition(":/")
    offline_llm.use(model, provider)
    attempts = [
        Attempt(agent.predict, example),
        Attempt(stream_of(agent), example),
        Attempt(agent.predict, REQUESTS["a file"]),
        Attempt(agent.predict, with_unknown_inputs(example)),
    ]
    if all(offline_llm.wait_for(one) for one in attempts):
        return attempts
    if model == "fail":
        raise NotCheckedError(ENDLESS_FAILURE)
    if model == "endless-tools":
        offline_llm.use("fail")  # so that the attempts finish
        raise NotCheckedError("the agent does not stop, see `bounded-rounds`")
    raise FailedRuleError(
        f"With {llm}, the agent did not stop within {PATIENCE} s.",
        "Answer or raise an error, whatever the LLM calls. The message of a tool's exception is "
        "the output of its call.",
    )


@rule(
    "item-ids",
    "Every item has a unique id of at most 64 characters.",
    why="Clients store and send items by their ids. If an id is missing, repeated or too long, the "
    "next turn fails, or one message overwrites another.",
    fix='Give each item a new id, such as f"msg_{uuid4().hex}", when you create it.',
)
def test_item_ids(agent: Agent, example: Request, llm: str) -> None:
    ids = ids_of(output_of(agent, example))
    assert all(ids), f"An item has no id; the ids are {ids}."
    assert len(set(ids)) == len(ids), f"Two items have the same id; the ids are {ids}."
    assert all(len(str(one)) <= 64 for one in ids), f"An id is longer than 64 characters: {ids}."
    repeated = set(ids_of(output_of(agent, example))).intersection(ids)
    assert not repeated, f"Two answers use the same ids: {', '.join(map(str, repeated))}."


TOOL_CALLS = rule(
    "tool-calls",
    "Every function call has a JSON object as arguments, and exactly one output.",
    why="AI Playground shows calls with their outputs. LLM APIs do not accept a conversation in "
    "which a call has no output or two.",
    fix="After each function_call, yield one function_call_output with the same `call_id`, and "
    "call the LLM again, even if it wrote a text. Write arguments with json.dumps, not with str.",
)


@TOOL_CALLS
def test_tool_calls(agent: Agent, example: Request, llm: str) -> None:
    check_pairs(output_of(agent, example))


@TOOL_CALLS
def test_calls_after_a_text(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    calls: list[tuple[str, str]] = []

    def call_once(messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
        calls[:] = with_one_call(messages, tools)
        return tuple(calls)

    use_replies("silent-tool", call_once)
    offline_llm.use("silent-tool")
    output_of(agent, example)
    calls_without_text = offline_llm.calls
    use_replies("announced-tool", call_once, text="Let me look it up.")
    offline_llm.use("announced-tool")
    output = output_of(agent, example)
    offline_llm.skip_if_unused()
    check_pairs(output)
    calls_with_text = offline_llm.calls - calls_without_text
    has_called = any(item.get("type") == "function_call" for item in output)
    # An agent may hide its calls, but the LLM gets their outputs.
    assert has_called or calls_with_text > 1 or not calls, (
        "The LLM wrote a text before its tool call, and the agent answered without the call."
    )
    assert calls_with_text >= calls_without_text, (
        f"The LLM wrote a text before its tool call, and the agent called it {calls_with_text} "
        f"times. Without the text, it called it {calls_without_text} times."
    )


@TOOL_CALLS
def test_repeated_calls(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    def call_repeatedly(messages: list[Any], tools: list[Any]) -> tuple[tuple[str, str], ...]:
        return with_one_call(messages, tools) * 6

    use_replies("repeated-calls", call_repeatedly)
    offline_llm.use("repeated-calls")
    try:
        output = output_of(agent, example)
    except AGENT_ERRORS as error:
        offline_llm.skip_if_unused()
        found = f"The LLM made the same call six times in one turn: {describe_error(error)}"
        raise FailedRuleError(found) from error
    check_pairs(output)


@TOOL_CALLS
def test_several_calls_of_a_tool(
    agent: Agent, example: Request, offline_llm: OfflineLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_connections(monkeypatch)
    use_replies("all-together", with_many_arguments)
    use_replies("last-alone", with_last_arguments)

    def outputs_with(model: str) -> dict[tuple[str, str], str]:
        offline_llm.use(model)
        calls = calls_in(output_of(agent, example))
        return {(one.name, as_json(one.arguments)): one.output for one in calls}

    def output_alone(call: tuple[str, str]) -> str:
        return outputs_with("last-alone")[call]

    alone = outputs_with("last-alone")
    with pytest.MonkeyPatch.context() as patch:
        delay_first_call(patch)
        together = outputs_with("all-together")
    offline_llm.skip_if_unused()
    for call, output in alone.items():
        found = together.get(call, output)
        if found != output and is_constant(partial(output_alone, call), output):
            raise FailedRuleError(
                f"The tool {call[0]}, called with {call[1]}, returns: {output} With other calls in "
                f"the same turn, the call has another output: {found}",
                "Run the tool for each call, with the arguments of this call, and keep the outputs "
                "in the order of the calls.",
            )


def check_pairs(output: list[Item]) -> None:
    """Assert that function calls and their outputs match."""
    calls: list[str] = []
    outputs: list[str] = []
    for item in output:
        call_id = str(item.get("call_id"))
        if item.get("type") == "function_call":
            calls.append(call_id)
            name, arguments = item.get("name"), item.get("arguments")
            assert is_json_object(arguments), (
                f"The arguments of {name} are not a JSON object: {arguments}"
            )
        elif item.get("type") == "function_call_output":
            outputs.append(call_id)
            assert call_id in calls, f"The output of {call_id} comes before its call."
    assert len(set(calls)) == len(calls), f"Two calls have the same call_id: {calls}."
    assert sorted(calls) == sorted(outputs), f"The calls are {calls}, but the outputs {outputs}."


def is_json_object(text: Any) -> bool:
    """Return whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


@rule(
    "failing-tools",
    "A failing tool becomes an output that the LLM sees, and the agent still answers.",
    why="LLMs often call tools with wrong arguments. One bad call must not fail the request.",
    fix="Catch the exception of a tool and return it as the tool's output, as `Toolbox.run` in "
    "runtime/toolbox.py does.",
)
def test_failing_tools(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("wrong-tools")
    try:
        answer = agent.predict(example)
    except AGENT_ERRORS as error:
        offline_llm.skip_if_unused()
        found = f"An invalid tool call failed the request: {describe_error(error)}"
        raise FailedRuleError(found) from error
    output = items_of(answer)
    check_pairs(output)
    assert any(map(text_of, output)), "After an invalid tool call the answer has no text."


@rule(
    "last-turn",
    "The answer depends on the last user message, and contains no earlier answer.",
    why="An agent that answers the first turn, or always the same, passes every other rule. An "
    "answer that is sent again appears twice in the conversation.",
    fix="Pass all items of `request.input` to the LLM, in order. Yield only new items.",
)
def test_last_turn(agent: Agent, url: str | None, request: pytest.FixtureRequest) -> None:
    words = ("alder", "birch")
    alder, birch = (output_texts(agent, two_turns(word)) for word in words)
    differ = alder != birch
    if not differ and not url:
        llm = request.getfixturevalue("offline_llm")
        # The agent's own last message, which the LLM repeats, may ask it to improve its answer.
        llm.repeat_all_messages()
        answers = {word: " ".join(output_texts(agent, two_turns(word))) for word in words}
        differ = all(word in answer for word, answer in answers.items())
        if not differ and llm.calls:
            # The LLM may only choose one of several answers.
            differ = wants_json(llm.bodies[-1]) and words[-1] in llm.bodies[-1]
        elif not differ and not request.getfixturevalue("first_requests").llm.calls:
            # An agent without an LLM may not know these words.
            differ = output_texts(agent, request.getfixturevalue("example")) != alder
    assert differ, f"Two different requests have the same answer: {' '.join(alder)!r}."
    earlier = text_of(ANSWER)
    assert earlier not in alder, f"The answer contains the earlier answer {earlier!r}."


def output_texts(agent: Agent, request: Request) -> list[str]:
    """Return the texts of the answer to a request."""
    return [text_of(item) for item in output_of(agent, request)]


@rule(
    "no-runs",
    "Answering neither starts an MLflow run nor writes to one.",
    why="A deployed agent may have no access to a tracking store. If it has, each request adds a "
    "run, and concurrent requests write to the same one.",
    fix="Remove the call of `mlflow.start_run`, `log_metric`, `log_param` or the like. To record "
    "data of a request, use `mlflow.update_current_trace` or `mlflow.start_span`.",
)
def test_no_runs(agent: Agent, example: Request, monkeypatch: pytest.MonkeyPatch, llm: str) -> None:
    instance_of(agent)
    calls = record_run_calls(monkeypatch)
    agent.predict(example)
    list(agent.stream(example))
    assert not calls, f"Answering calls {', '.join(dict.fromkeys(calls))}."


def record_run_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each call of a method that writes to a run is added.

    The functions of `mlflow`, such as `mlflow.log_metric`, call these methods.
    """
    calls: list[str] = []

    def recording(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def record(*arguments: Any, **options: Any) -> Any:
            calls.append(f"MlflowClient.{name}")
            return method(*arguments, **options)

        return record

    for name in dir(MlflowClient):
        if name in ("create_run", "set_tag", "set_terminated") or name.startswith("log_"):
            method = getattr(MlflowClient, name)
            monkeypatch.setattr(MlflowClient, name, recording(name, method))
    return calls
