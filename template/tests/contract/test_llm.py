"""Rules about what happens when the LLM behind the agent fails, hangs or never stops."""

from pathlib import Path
from typing import Any

import pytest

from .harness.agents import HELLO, LoadedAgent, Request, Subject
from .harness.offline import Asked
from .harness.rules import rule
from .harness.waiting import PATIENCE, Outcome

# What the items of a conversation are called, by the word that each of them holds.
KINDS = {
    "acorn": "the system message",
    "bramble": "the first user message",
    "clover": "the call of a tool",
    "dahlia": "the output of a tool",
    "elder": "the agent's own answer",
    "fennel": "the last user message",
}
WORDS = list(KINDS)
CONVERSATION: list[Any] = [
    {"role": "system", "content": "Mind the acorn."},
    {"role": "user", "content": "What about the bramble?"},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "a_tool_of_before",
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
    "The LLM is told everything that the request holds, in its order.",
    why="A client sends the whole conversation with every turn, since the agent keeps none: what "
    "is left out of it the agent has forgotten.",
    mend="Hand all items of `request.input` to the LLM, with `to_messages`: messages of all "
    "roles, calls and their outputs.",
)
def test_whole_conversation(agent: Subject, asked: Asked) -> None:
    asked.use("demo")
    agent.predict({"input": CONVERSATION})
    asked.skip_unless_asked()
    places = [asked.last.find(word) for word in WORDS]
    forgotten = [word for word, place in zip(WORDS, places, strict=True) if place < 0]
    assert not forgotten, f"The LLM was not told {', '.join(KINDS[one] for one in forgotten)}."
    assert places == sorted(places), "The LLM was told the conversation in another order."


@rule(
    "llm-failures",
    "When the LLM fails, the caller gets an error and no answer.",
    why="An apology or an empty answer looks like success: it is shown to users, counted as an "
    "answer in evaluations, and no alarm goes off.",
    mend="Let the exception out of `predict` and `predict_stream`; servers turn it into a status. "
    "Never end the process with sys.exit.",
)
@pytest.mark.parametrize("model", ["fail", "empty", "cut"])
def test_llm_failures(agent: Subject, asked: Asked, model: str) -> None:
    asked.use(model)
    for ask in (agent.predict, lambda request: list(agent.stream(request))):
        outcome = Outcome(ask, HELLO)
        ended = outcome.ended()
        if not ended:
            asked.use("demo")  # so that it does end, after it was seen
        asked.skip_unless_asked()
        assert ended, (
            f"With offline:/{model} it had asked {asked.times} times in {PATIENCE} s, and went on."
        )
        assert not isinstance(outcome.error, SystemExit), (
            f"With offline:/{model} it ended the process."
        )
        assert outcome.error, f"With offline:/{model} it answered all the same: {outcome.answer}"


@rule(
    "time-out",
    "An LLM that hangs ends in an error, in the time that config.yml allows it.",
    why="A request that never ends keeps a worker for itself; a few of them stop the server.",
    mend="Pass `llm_timeout_seconds` and `llm_max_retries` on to the client, as `connect` does.",
)
def test_time_out(agent: Subject, model_path: Path, asked: Asked) -> None:
    asked.use("hang")
    hasty = {"llm_timeout_seconds": 0.2, "llm_max_retries": 0}
    outcome = Outcome(LoadedAgent(model_path, hasty).predict, HELLO)
    ended = outcome.ended()
    asked.skip_unless_asked()
    assert ended, f"After {PATIENCE} s, with a time-out of 0.2 s, it was still waiting."
    assert outcome.error, f"It answered all the same: {outcome.answer}."


@rule(
    "bounded-rounds",
    "An LLM that never stops calling tools is stopped.",
    why="LLMs do get caught in calls; without a bound the request never ends, and every round of "
    "it is paid for.",
    mend="Count the rounds of the loop and end it at `max_rounds` of config.yml, with an answer or "
    "with an error.",
)
def test_bounded_rounds(agent: Subject, example: Request, asked: Asked) -> None:
    asked.use("endless-tools")
    outcome = Outcome(agent.predict, example)
    ended = outcome.ended()
    asked.use("fail")  # so that a loop without end does end, after it was seen
    asked.skip_unless_asked()
    assert ended, f"After {PATIENCE} s it had asked the LLM {asked.times} times, and went on."


@rule(
    "side-by-side",
    "While one request waits for its LLM, others are answered.",
    why="A server answers many users with one instance: a lock around the whole answer makes all "
    "of them wait for the slowest.",
    mend="Hold no lock while the LLM or a tool is asked; keep what belongs to a request in local "
    "variables, which need none.",
)
def test_side_by_side(agent: Subject, asked: Asked) -> None:
    with asked.one_waiting(agent.predict):
        second = Outcome(agent.predict, HELLO)
        ended = second.ended()
    second.ended()  # now that it can: lest it leaves a trace in the middle of another test
    assert ended, f"While one request waited, a second was not answered within {PATIENCE} s."
