"""Rules about the LLM: what it gets and sends, and an LLM that fails, hangs or never stops."""

import json
from pathlib import Path
from typing import Any

import pytest

from .harness.agents import HELLO, Agent, Item, LoadedAgent, Request, output_of, text_of
from .harness.offline import OfflineLLM
from .harness.rules import rule
from .harness.waiting import PATIENCE, Attempt

PROVIDERS = ("gemini", "claude", "deepseek", "vllm", "llama.cpp", "lmdeploy")
# The items of a conversation, by a word that each of them contains.
ITEMS = {
    "acorn": "the system message",
    "bramble": "the first user message",
    "clover": "the tool call",
    "dahlia": "the tool output",
    "elder": "the agent's own answer",
    "fennel": "the last user message",
}
CONVERSATION: list[Any] = [
    {"role": "system", "content": "Mind the acorn."},
    {"role": "user", "content": "What about the bramble?"},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "an_earlier_tool",
        "arguments": '{"of": "clover"}',
    },
    {"type": "function_call_output", "call_id": "call_1", "output": "dahlia"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It is the elder.", "annotations": []}],
    },
    {"role": "user", "content": [{"type": "input_text", "text": "And the fennel?"}]},
]


@rule(
    "whole-conversation",
    "The LLM receives every item of the request, in order.",
    why="Clients send the whole conversation with every turn, because the agent stores none. The "
    "agent forgets what it does not pass on.",
    fix="Pass all items of `request.input` to the LLM with `to_messages` of runtime/messages.py: "
    "messages of all roles, tool calls and their outputs.",
)
def test_whole_conversation(agent: Agent, offline_llm: OfflineLLM) -> None:
    offline_llm.use("demo")
    agent.predict({"input": CONVERSATION})
    offline_llm.skip_if_unused()
    positions = [offline_llm.last_body.find(word) for word in ITEMS]
    missing = [item for item, at in zip(ITEMS.values(), positions, strict=True) if at < 0]
    assert not missing, f"The LLM did not receive {', '.join(missing)}."
    assert positions == sorted(positions), "The LLM received the conversation in another order."


@rule(
    "provider-streams",
    "The agent understands the streams of all providers.",
    why="Providers with OpenAI's API send tool calls without index or id, reasoning in fields of "
    "their own, and signatures that the next request must contain. Calls get lost, or are refused.",
    fix="Convert completions with `to_events` of runtime/messages.py, and add the items of the "
    "answer to the messages with `to_messages(items)`, without copying or changing them.",
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_provider_streams(
    agent: Agent, example: Request, offline_llm: OfflineLLM, provider: str
) -> None:
    offline_llm.use("tools")
    expected = calls_of(output_of(agent, example))
    offline_llm.skip_if_unused()
    offline_llm.use_provider(provider)
    output = output_of(agent, example)
    assert calls_of(output) == expected, f"With the stream of {provider} the tool calls differ."
    assert any(map(text_of, output)), f"With the stream of {provider} the answer has no text."


def calls_of(items: list[Item]) -> list[tuple[str, Any]]:
    """Return name and arguments of each tool call."""
    calls = (item for item in items if item["type"] == "function_call")
    return [(call["name"], json.loads(call["arguments"])) for call in calls]


@rule(
    "llm-failures",
    "If the LLM fails, the caller gets an error instead of an answer.",
    why="An apology or an empty answer looks like success: users see it, evaluations count it as "
    "an answer, and no alert fires.",
    fix="Do not catch the exception in the agent: servers turn it into a status. Never end the "
    "process with sys.exit.",
)
@pytest.mark.parametrize("model", ["fail", "empty", "cut"])
def test_llm_failures(agent: Agent, offline_llm: OfflineLLM, model: str) -> None:
    offline_llm.use(model)
    for call in (agent.predict, lambda request: list(agent.stream(request))):
        attempt = Attempt(call, HELLO)
        finished = attempt.finished()
        if not finished:
            offline_llm.use("demo")  # so that the attempt finishes
        offline_llm.skip_if_unused()
        assert finished, (
            f"With offline:/{model} the agent called the LLM {offline_llm.calls} times in "
            f"{PATIENCE} s and did not stop."
        )
        error = attempt.error
        assert not isinstance(error, SystemExit), f"With offline:/{model} it ended the process."
        assert error, f"With offline:/{model} the agent still answered: {attempt.answer}"


@rule(
    "time-out",
    "If the LLM sends nothing for `llm_timeout_seconds`, the request fails.",
    why="A request that never ends occupies a worker. A few of them stop the server.",
    fix="Pass `llm_timeout_seconds` and `llm_max_retries` to the client, as `connect` of "
    "runtime/llm does.",
)
def test_time_out(agent: Agent, model_path: Path, offline_llm: OfflineLLM) -> None:
    offline_llm.use("hang")
    settings = {"llm_timeout_seconds": 0.2, "llm_max_retries": 0}
    attempt = Attempt(LoadedAgent(model_path, settings).predict, HELLO)
    finished = attempt.finished()
    offline_llm.skip_if_unused()
    assert finished, f"With a timeout of 0.2 s the agent was still waiting after {PATIENCE} s."
    assert attempt.error, f"The agent still answered: {attempt.answer}."


@rule(
    "bounded-rounds",
    "The agent stops an LLM that calls tools forever.",
    why="LLMs can repeat tool calls. Without a limit the request never ends, and every round costs "
    "money.",
    fix="Count the rounds of the loop, and stop at `max_rounds` of config.yml with an answer or an "
    "error.",
)
def test_bounded_rounds(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("endless-tools")
    attempt = Attempt(agent.predict, example)
    finished = attempt.finished()
    offline_llm.use("fail")  # so that the attempt finishes
    offline_llm.skip_if_unused()
    assert finished, (
        f"In {PATIENCE} s the agent called the LLM {offline_llm.calls} times and did not stop."
    )


@rule(
    "side-by-side",
    "While one request waits for the LLM, others are answered.",
    why="A server uses one instance for all users: with a lock around the whole answer, all of "
    "them wait for the slowest.",
    fix="Hold no lock while the LLM or a tool runs. Keep the data of a request in local variables, "
    "which need no lock.",
)
def test_side_by_side(agent: Agent, offline_llm: OfflineLLM) -> None:
    with offline_llm.one_request_waiting(agent.predict):
        second = Attempt(agent.predict, HELLO)
        finished = second.finished()
    second.finished()  # so that its trace does not appear in another test
    assert finished, f"While one request waited, a second got no answer within {PATIENCE} s."
