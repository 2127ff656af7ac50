"""Rules about the LLM: what it gets and sends, and an LLM that fails, hangs or never stops."""

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from .harness.agents import (
    HELLO,
    OTHER_LLM,
    Agent,
    Item,
    LoadedAgent,
    Request,
    output_of,
    stream_of,
    text_of,
)
from .harness.conversation import (
    CONVERSATION,
    ITEMS,
    PARTS,
    LLMCall,
    calls_by_agent,
    fullest_call,
    instruction_lines,
    joined,
    main_calls,
    missing_words,
    output_text,
    strings,
)
from .harness.errors import AGENT_ERRORS, describe_error, is_refusal
from .harness.fixes import fix_for
from .harness.network import refuse_connections, shorten_timeouts
from .harness.offline import OfflineLLM
from .harness.rules import FailedRuleError, NotCheckedError, rule
from .harness.sample_requests import IMAGE, PNG, TWO_PARTS, user
from .harness.tool_calls import record_outputs, use_replies, with_long_texts
from .harness.waiting import PATIENCE, Attempt

PROVIDERS = ("gemini", "claude", "deepseek", "vllm", "llama.cpp", "lmdeploy")
LONG_REQUEST: Request = {"input": CONVERSATION}
NOTE = "juniper"  # a word in custom_inputs
# Further keys in `custom_inputs`, with the value 0, and a text in a list.
OTHER_INPUTS = tuple(f"larch{number}" for number in range(12))
IN_A_LIST = "yew"
ENDS = ("aster", "begonia", "cosmos")  # of long tool outputs
MAX_OUTPUT = 300  # characters; an agent may shorten longer outputs for the LLM


@rule(
    "llm-requests",
    "OpenAI, Anthropic and Gemini accept the requests of the agent.",
    why="An API refuses the whole request because of one invalid tool or message, and the caller "
    "gets no answer. The offline LLM refuses the same requests.",
    fix="Build the messages with `to_messages` of runtime/messages.py, and the tools with "
    "`Toolbox` of runtime/toolbox.py.",
)
def test_llm_requests(url: str | None, request: pytest.FixtureRequest) -> None:
    if url:
        pytest.skip(OTHER_LLM)
    first_requests = request.getfixturevalue("first_requests")
    first_requests.llm.skip_if_unused()
    if refusal := first_requests.refusal:
        found = describe_error(refusal)
        raise FailedRuleError(found, fix_for(refusal)) from refusal


@rule(
    "instructions",
    "The LLM receives the instructions with every request.",
    why="Without its instructions the agent answers in another style, and ignores its limits.",
    fix="Start each LLM request with the instructions, whatever the request contains. If the agent "
    "does not use instructions.md, do not load it.",
)
def test_instructions(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    lines = instruction_lines()
    if not lines:
        pytest.skip("the agent does not load instructions.md, or all its lines have placeholders")
    found = texts_to_llm(agent, offline_llm, example)
    offline_llm.skip_if_unused()
    missing = [line for line in lines if line not in found]
    assert len(missing) < len(lines), "The LLM does not receive instructions.md."
    assert not missing, f"The LLM does not receive this line of instructions.md: {missing[0]!r}"
    requests = {
        "custom_inputs": with_note(example),
        "a context": example | {"context": {"conversation_id": "c-1", "user_id": "u-1"}},
        "earlier turns and a developer message": LONG_REQUEST,
    }
    for kind, request in requests.items():
        found = texts_to_llm(agent, offline_llm, request)
        missing = [line for line in lines if line not in found]
        assert not found or not missing, (
            f"For a request with {kind}, the LLM does not receive this line of instructions.md: "
            f"{missing[0]!r}"
        )


def with_note(request: Request) -> Request:
    """Return a request with a note and other values in its `custom_inputs`."""
    # Keys that no agent reads: one that reads a key may leave out the others.
    values = {"yarrow": NOTE, **dict.fromkeys(OTHER_INPUTS, 0), "hazel": [{"of": IN_A_LIST}]}
    return request | {"custom_inputs": (request.get("custom_inputs") or {}) | values}


def texts_to_llm(agent: Agent, offline_llm: OfflineLLM, request: Request) -> str:
    """Return the texts of all calls of the LLM for a request, or "" without a call."""
    before = offline_llm.calls
    with suppress(*AGENT_ERRORS):  # the agent may reject unknown custom_inputs
        agent.predict(request)
    return " ".join(LLMCall(body).text for body in offline_llm.bodies[before:])


@rule(
    "whole-conversation",
    "The LLM receives every item of the request, in order.",
    why="Clients send the whole conversation with every turn, because the agent stores none. The "
    "agent forgets what it does not pass on.",
    fix="Pass all items of `request.input` to the LLM: messages of all roles, tool calls and their "
    "outputs. Convert them with a function of runtime/, such as `to_messages`. Do not shorten, "
    "encode or de-duplicate them.",
)
def test_whole_conversation(agent: Agent, offline_llm: OfflineLLM) -> None:
    agent.predict(LONG_REQUEST)
    offline_llm.skip_if_unused()
    call = fullest_call(map(LLMCall, offline_llm.bodies))
    text = call.text
    missing = [item for word, item in ITEMS.items() if word not in text]
    assert not missing, (
        f"The LLM did not receive {len(missing)} of {len(ITEMS)} items: {', '.join(missing)}."
    )
    position = 0
    for word in ITEMS:  # which other messages, such as a plan, may repeat
        position = text.find(word, position)
        assert position >= 0, "The LLM received the conversation in another order."
    for part, (name, times) in PARTS.items():
        assert call.contains(part, times), f"The LLM did not receive {name}: {part!r}."


EVERY_ROUND = rule(
    "every-round",
    "Each call of the LLM contains the instructions, the conversation, `custom_inputs` and the "
    "tool outputs so far.",
    why="The LLM remembers nothing. Without the conversation it answers something else, and "
    "without the outputs it calls the same tools again.",
    fix="Pass all messages to the LLM in each round. In a loop, build them once, before it, and "
    "then add the calls and outputs of each round with `messages += to_messages(items)`.",
)


@EVERY_ROUND
def test_every_round(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("endless-tools")
    attempt = Attempt(agent.predict, with_note(example | LONG_REQUEST))
    if attempt.finished() and not offline_llm.calls:  # the agent may reject unknown custom_inputs
        attempt = Attempt(agent.predict, LONG_REQUEST)
    if not offline_llm.wait_for(attempt):
        raise NotCheckedError("the agent does not stop, see `bounded-rounds`")
    offline_llm.skip_if_unused()
    all_calls = [*map(LLMCall, offline_llm.bodies)]
    calls = main_calls(all_calls)
    for one in calls_by_agent(calls):
        check_rounds(one)
    if attempt.error and is_refusal(attempt.error):
        found = describe_error(attempt.error)
        raise FailedRuleError(found, fix_for(attempt.error)) from attempt.error
    in_later_turns = any(NOTE in call.text for call in all_calls)
    check_note(agent, example, offline_llm, in_later_turns=in_later_turns)
    if attempt.answer and len(all_calls) > 1 and any(call.outputs for call in calls):
        check_outputs(attempt.answer["output"], all_calls[1:])
        check_failed_outputs(agent, example, offline_llm)


@EVERY_ROUND
def test_images_in_every_round(agent: Agent, offline_llm: OfflineLLM) -> None:
    offline_llm.use("tools")
    with suppress(*AGENT_ERRORS):  # the agent may refuse images
        agent.predict({"input": [user([*TWO_PARTS, IMAGE])]})
    if not offline_llm.calls:
        pytest.skip("the agent does not call the LLM for an image")
    for calls in calls_by_agent(main_calls([*map(LLMCall, offline_llm.bodies)])):
        has_image = [PNG in call.body for call in calls]
        assert all(has_image) or not has_image[0], (
            f"Call {has_image.index(False) + 1} of {len(calls)} to the LLM lacks the image of the "
            "user's message."
        )


@EVERY_ROUND
def test_long_outputs(
    agent: Agent, example: Request, offline_llm: OfflineLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_replies("long-texts", partial(with_long_texts, ENDS))
    offline_llm.use("long-texts")
    refuse_connections(monkeypatch)  # no service gets these arguments
    returned = record_outputs(monkeypatch)
    try:
        output = output_of(agent, example)
    except AGENT_ERRORS:  # `failing-tools` checks it
        return
    finally:
        offline_llm.skip_if_unused()
    answered = " ".join(output_text(item["output"]) for item in output if "output" in item)
    messages = LLMCall(offline_llm.bodies[-1]).messages
    outputs = [joined(strings([one["content"]])) for one in messages if one["role"] == "tool"]
    received = joined(outputs)
    cut = [end for end in ENDS if end in answered and end not in received]
    # An agent may shorten long outputs, but then all of them.
    assert not cut or not any(end in received for end in ENDS), (
        f"The LLM receives only the start of {len(cut)} of {len(ENDS)} tool outputs that are "
        "equally long."
    )
    check_whole(returned, outputs)


def check_whole(returned: list[str], received: list[str]) -> None:
    """Assert that the LLM does not receive only the start of an output, without a note."""
    whole = {joined([text]) for text in returned}
    for start in filter(None, set(received) - whole):
        if text := next((one for one in whole if one.startswith(start)), None):
            raise FailedRuleError(
                f"The LLM receives only the first {len(start)} of {len(text)} characters of a tool "
                "output, and cannot know that the rest is missing.",
                "Send whole outputs. `tool_max_characters` in config.yml limits them, and adds a "
                "note.",
            )


def check_rounds(calls: list[LLMCall]) -> None:
    """Assert that what one call of an agent contains, all calls contain, and all tool outputs."""
    parts = ITEMS | {NOTE: "custom_inputs"} | dict.fromkeys(instruction_lines(), "the instructions")
    parts = {part: name for part, name in parts.items() if any(part in one.text for one in calls)}
    has_drafts = drafts_per_round(calls) > 1
    outputs: set[str] = set()
    for number, call in enumerate(calls, 1):
        missing = dict.fromkeys(name for part, name in parts.items() if part not in call.text)
        if outputs - call.outputs:
            missing["the tool outputs of earlier rounds"] = None
        assert not missing, f"Call {number} of {len(calls)} to the LLM lacks {', '.join(missing)}."
        is_repeated = call.tools and number > 1 and call.body == calls[number - 2].body
        assert has_drafts or not is_repeated, (
            f"Call {number} of {len(calls)} to the LLM lacks the tool calls and outputs of call "
            f"{number - 1}, and is the same."
        )
        outputs |= call.outputs


def drafts_per_round(calls: Iterable[LLMCall]) -> int:
    """Return how often an agent sends the same request in each of several rounds."""
    bodies = groupby(call.body for call in calls if call.tools)
    sizes = [len([*equal]) for _, equal in bodies]
    return sizes[0] if len(sizes) > 1 and len({*sizes}) == 1 else 1


def check_note(
    agent: Agent, example: Request, offline_llm: OfflineLLM, *, in_later_turns: bool
) -> None:
    """Assert that the LLM receives `custom_inputs` with the first turn and with later ones."""
    offline_llm.use("demo")
    found = texts_to_llm(agent, offline_llm, with_note(example))
    turns = "Without" if in_later_turns else "With"
    assert not found or (NOTE in found) == in_later_turns, (
        f"{turns} earlier turns, the LLM does not receive custom_inputs."
    )
    missing = [word for word in (*OTHER_INPUTS, IN_A_LIST) if NOTE in found and word not in found]
    assert not missing, f"The LLM does not receive all custom_inputs; it lacks {missing[0]!r}."


def check_failed_outputs(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    """Assert that the LLM receives the outputs of failed calls as well."""
    offline_llm.use("wrong-tools")
    start = offline_llm.calls
    try:
        output = output_of(agent, example)
    except AGENT_ERRORS:  # `failing-tools` checks it
        return
    check_outputs(output, [*map(LLMCall, offline_llm.bodies[start + 1 :])])


def check_outputs(items: list[Item], later: list[LLMCall]) -> None:
    """Assert that the LLM receives what callers see as outputs of tools."""
    text = " ".join(call.text for call in later)
    # The LLM need not receive the outputs of its last calls, which may end the answer.
    received = {identifier for call in later for identifier in call.outputs}
    known = [at for at, item in enumerate(items) if item.get("call_id") in received]
    calls = [at for at, item in enumerate(items) if item.get("type") == "function_call"]
    last = max(known or calls, default=-1)
    outputs = [output_text(item["output"]) for item in items[: last + 1] if "output" in item]
    for output in (output for output in outputs if len(output) < MAX_OUTPUT):
        missing = " ".join(missing_words(output, text))
        assert not missing, f"The LLM does not receive {missing!r} of the tool output {output!r}."


@rule(
    "provider-streams",
    "The agent understands the streams of all providers.",
    why="Providers with OpenAI's API send tool calls without index or id, reasoning in fields of "
    "their own, and signatures that the next request must contain. Calls get lost, or are refused.",
    fix="Convert completions with `to_events` of runtime/messages.py, and add the items of the "
    "answer to the messages with `to_messages(items)`, without copying or changing them. Let "
    "the client of a framework send its requests with `LLM.stream`.",
)
@pytest.mark.parametrize("dialect", PROVIDERS)
def test_provider_streams(
    agent: Agent, example: Request, offline_llm: OfflineLLM, dialect: str
) -> None:
    offline_llm.use("tools")
    expected = calls_of(output_of(agent, example))
    offline_llm.skip_if_unused()
    offline_llm.use_provider(dialect)
    output = output_of(agent, example)
    assert calls_of(output) == expected, f"With the stream of {dialect} the tool calls differ."
    assert any(map(text_of, output)), f"With the stream of {dialect} the answer has no text."


def calls_of(items: list[Item]) -> list[tuple[str, Any]]:
    """Return the name and the arguments of each tool call; `tool-calls` checks that they exist."""
    calls = (item for item in items if item.get("type") == "function_call")
    found = [(str(call.get("name")), parsed(call.get("arguments"))) for call in calls]
    return sorted(found, key=str)  # an agent may yield each call when its tool has finished


def parsed(text: Any) -> Any:
    """Return the value of a JSON text, or the text itself if it is not valid JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


LLM_FAILURES = rule(
    "llm-failures",
    "If the LLM fails, the caller gets an error instead of an answer.",
    why="An apology or an empty answer looks like success: users see it, evaluations count it as "
    "an answer, and no alert fires.",
    fix="Do not catch the exception in the agent: servers turn it into a status. Never end the "
    "process with sys.exit. Do not answer with another LLM that callers did not select.",
)


@LLM_FAILURES
@pytest.mark.parametrize("model", ["fail", "empty", "cut"])
def test_llm_failures(agent: Agent, example: Request, offline_llm: OfflineLLM, model: str) -> None:
    for request in (HELLO, example):
        offline_llm.use(model)
        calls = offline_llm.calls
        attempts = [Attempt(agent.predict, request), Attempt(stream_of(agent), request)]
        finished = all(attempt.finished() for attempt in attempts)
        if not finished:
            offline_llm.use("demo")  # so that the attempts finish
        if model == "empty" and offline_llm.has_own_client:
            pytest.skip("OpenAI's API does not require an answer with text")
        assert finished, (
            f"With offline:/{model} the agent called the LLM {offline_llm.calls - calls} times in "
            f"{PATIENCE} s and did not stop."
        )
        if offline_llm.calls == calls:  # an agent may answer a greeting without the LLM
            continue
        for attempt in attempts:
            error = attempt.error
            assert not isinstance(error, SystemExit), (
                f"With offline:/{model} the agent ended the process."
            )
            assert error, f"With offline:/{model} the agent still answered: {attempt.answer}"
    offline_llm.skip_if_unused()


@LLM_FAILURES
@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_refused_requests(agent: Agent, offline_llm: OfflineLLM, status: int) -> None:
    offline_llm.use("tools")  # not the default, which an agent may call instead
    agent.predict(HELLO)
    offline_llm.skip_if_unused()
    answered = [*offline_llm.bodies]
    offline_llm.refusal = status
    attempts = [Attempt(agent.predict, HELLO), Attempt(stream_of(agent), HELLO)]
    finished = all(attempt.finished() for attempt in attempts)
    offline_llm.refusal = None  # so that the attempts finish
    refused = offline_llm.bodies[len(answered) :]
    assert finished, (
        f"With status {status} of the LLM, the agent called it {len(refused)} times in {PATIENCE} "
        "s and did not stop."
    )
    for attempt in attempts:
        assert attempt.error, (
            f"With status {status} of the LLM, the agent still answered: {attempt.answer}"
        )
    others = sorted(models_in(refused) - models_in(answered))
    assert not others, (
        f"With status {status} of the LLM, the agent called another one: {', '.join(others)}."
    )


def models_in(bodies: Iterable[str]) -> set[str]:
    """Return the names of the LLMs that requests select."""
    return {json.loads(body)["model"] for body in bodies}


@LLM_FAILURES
def test_refused_later_requests(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("tools")
    offline_llm.refusal = 429
    for call in (agent.predict, stream_of(agent)):
        start = offline_llm.calls
        offline_llm.refused_from = start + 2
        attempt = Attempt(call, example)
        finished = attempt.finished()
        refused = offline_llm.bodies[start + 1 :]
        if not finished:
            offline_llm.refusal = None  # so that the attempt finishes
        assert finished, (
            "After the LLM refused a later request with status 429, the agent did not stop within "
            f"{PATIENCE} s."
        )
        # Other requests, such as a check of the answer, may be optional.
        if any(LLMCall(body).outputs for body in refused):
            assert attempt.error, (
                "The LLM refuses a request with outputs of tools with status 429, but the agent "
                f"still answers: {attempt.answer}"
            )
    offline_llm.skip_if_unused()


@LLM_FAILURES
@pytest.mark.parametrize("provider", ["openai", "databricks"])
def test_missing_login(
    agent: Agent,
    example: Request,
    offline_llm: OfflineLLM,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
) -> None:
    offline_llm.use("demo")
    agent.predict(example)
    offline_llm.skip_if_unused()
    if offline_llm.has_own_client:
        pytest.skip("the agent's own LLM client does not read AGENT_LLM")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AGENT_LLM", f"{provider}:/no-login")
    attempt = Attempt(agent.predict, example)
    assert attempt.finished(), f"Without a login, the agent did not stop within {PATIENCE} s."
    assert attempt.error, (
        f"Without a login for {provider}:/, the agent still answered: {attempt.answer}"
    )


@rule(
    "time-out",
    "If the LLM sends nothing for `llm_timeout_seconds`, or nothing more, the request fails.",
    why="A request that never ends occupies a worker. A few of them stop the server.",
    fix="Pass `llm_timeout_seconds` and `llm_max_retries` to the client, as `connect` of "
    "runtime/llm does.",
)
@pytest.mark.parametrize("model", ["hang", "stall"])
def test_time_out(
    agent: Agent,
    model_path: Path,
    example: Request,
    offline_llm: OfflineLLM,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    offline_llm.use(model)
    settings = {"llm_timeout_seconds": 0.2, "llm_max_retries": 0}
    shorten_timeouts(monkeypatch, 0.2)  # of the agent's own client
    loaded = LoadedAgent(model_path, settings)
    attempts = [Attempt(loaded.predict, example), Attempt(stream_of(loaded), example)]
    finished = all(attempt.finished() for attempt in attempts)
    offline_llm.skip_if_unused()
    assert finished, (
        f"With offline:/{model} and a timeout of 0.2 s, the agent still waited after {PATIENCE} s."
    )
    for attempt in attempts:
        assert attempt.error, f"With offline:/{model} the agent still answered: {attempt.answer}"


@rule(
    "bounded-rounds",
    "The agent stops an LLM that calls tools forever.",
    why="LLMs can repeat tool calls. Without a limit the request never ends, and every round costs "
    "money.",
    fix="Stop after at most `max_rounds` LLM calls (see config.yml), with an answer or an error.",
)
def test_bounded_rounds(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("endless-tools")
    attempt = Attempt(agent.predict, example)
    finished = offline_llm.wait_for(attempt)
    calls = offline_llm.calls
    offline_llm.use("fail")  # so that the attempt finishes
    offline_llm.skip_if_unused()
    assert finished, f"The agent called the LLM {calls} times and did not stop."
    texts = [text_of(item) for item in attempt.answer["output"]] if attempt.answer else []
    assert attempt.error or any(texts), "The agent stopped without a text, and without an error."


@rule(
    "side-by-side",
    "While one request waits for the LLM, others are answered.",
    why="A server uses one instance for all users: with a lock around the whole answer, all of "
    "them wait for the slowest.",
    fix="Hold no lock while the LLM or a tool runs. Keep the data of a request in local variables, "
    "which need no lock.",
)
def test_side_by_side(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    with offline_llm.one_request_waiting(agent.predict, example):
        second = Attempt(agent.predict, HELLO)
        finished = second.finished()
    second.finished()  # so that its trace does not appear in another test
    assert finished, f"While one request waited, a second got no answer within {PATIENCE} s."
    if error := second.error:
        found = f"While one request waited, a second failed: {describe_error(error)}"
        raise FailedRuleError(found, fix_for(error)) from error
