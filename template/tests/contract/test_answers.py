"""Rules about answers, asked for the way callers ask."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, get_args

import pytest
from openai.types.responses import ResponseFunctionToolCallOutputItem, ResponseOutputItem
from pydantic import ValidationError

from .harness.agents import Item, Request, Subject, instance_of, output_of, text_of
from .harness.errors import described, mend_for
from .harness.offline import Asked
from .harness.rules import BrokenRuleError, rule
from .harness.state import state_of
from .harness.strict_json import problems_with_json

HELLO = {"role": "user", "content": "Hello, who are you?"}
TOOL_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "a_tool_of_before",
    "arguments": "{}",
}
TOOL_OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
ANSWER = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "I am an agent.", "annotations": []}],
}

REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "They greet me."}],
}

REQUESTS: dict[str, Request] = {
    "text": {"input": [HELLO]},
    "content parts": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Hello,"},
                    {"type": "input_text", "text": "who are you?"},
                ],
            }
        ]
    },
    "a text in other scripts": {"input": [{"role": "user", "content": "Grüße, 世界! 🌍 \u202e"}]},
    "a long text": {"input": [{"role": "user", "content": "Hello! " * 1000}]},
    "several turns": {"input": [HELLO, ANSWER, {"role": "user", "content": "And who am I?"}]},
    "an answer of before as plain text": {
        "input": [HELLO, {"role": "assistant", "content": "I am an agent."}, HELLO]
    },
    "two messages in a row": {"input": [HELLO, HELLO]},
    "a tool's output as the last item": {"input": [HELLO, TOOL_CALL, TOOL_OUTPUT]},
    "an assistant's message as the last item": {"input": [HELLO, ANSWER]},
    "reasoning of before": {"input": [HELLO, REASONING, ANSWER, HELLO]},
    "a system message": {"input": [{"role": "system", "content": "Be brief."}, HELLO]},
    "a developer message": {"input": [{"role": "developer", "content": "Be brief."}, HELLO]},
    "no custom_inputs": {"input": [HELLO], "custom_inputs": None},
    "custom_inputs": {"input": [HELLO], "custom_inputs": {"tenant": "a", "limits": [1, 2]}},
    "empty custom_inputs": {"input": [HELLO], "custom_inputs": {}},
    "context": {"input": [HELLO], "context": {"conversation_id": "c-1", "user_id": "u-1"}},
    "a context without a user": {"input": [HELLO], "context": {"conversation_id": "c-1"}},
    "an empty context": {"input": [HELLO], "context": {}},
    "the API's options": {
        "input": [HELLO],
        "temperature": 0.5,
        "max_output_tokens": 500,
        "top_p": 0.9,
        "metadata": {"source": "test"},
        "store": False,
        "user": "u-1",
    },
    "unknown extra keys": {"input": [HELLO], "no_such_key": True},
}


CANARY = "canary-of-the-contract"

EVERY_REQUEST = rule(
    "every-request",
    "Every kind of Responses request is answered.",
    why="AI Playground sends several turns, Review App a context, applications content parts, and "
    "clients return the items of the turn before.",
    mend="Take nothing about the request for granted: it is an object, not a dictionary; "
    "`content` is a string or a list; `custom_inputs`, `context` and what is in it may be None; "
    "the last item need not be a user's message. `to_messages` in conversation.py handles it all.",
)


# What only a mistake raises; anything else may be said on purpose to who sends the wrong thing.
MISTAKES = (AttributeError, AssertionError, LookupError, NameError, TypeError, SystemExit)


@EVERY_REQUEST
@pytest.mark.parametrize("kind", REQUESTS)
def test_every_request(agent: Subject, kind: str) -> None:
    try:
        output = answer_to(agent, REQUESTS[kind], f"With {kind}")
    except BrokenRuleError as error:
        if "custom_inputs" in kind and not isinstance(error.__cause__, MISTAKES):
            return
        raise
    assert any(map(text_of, output)), f"A request with {kind} got no text."


@EVERY_REQUEST
def test_own_answer_of_before(agent: Subject, example: Request, llm: str) -> None:
    items = output_of(agent, example)
    conversation = {"input": [*example["input"], *items, HELLO]}
    answer_to(agent, conversation, "With its own answer of the turn before")


def answer_to(agent: Subject, request: Request, which: str) -> list[Item]:
    """Ask, and take an error for a broken rule."""
    try:
        return output_of(agent, request)
    except (Exception, SystemExit) as error:
        raise BrokenRuleError(f"{which}: {described(error)}") from error


@rule(
    "answer-text",
    "Every answer holds a message of the assistant with text in it.",
    why="AI Playground shows messages; an answer of calls alone, or of nothing, looks to its user "
    "as if the agent had crashed.",
    mend="End every answer with a message: after the tools have run, ask the LLM again. When "
    "there is nothing to say, raise an error.",
)
def test_answer_text(agent: Subject, example: Request, llm: str) -> None:
    output = output_of(agent, example)
    said = [text_of(item) for item in output if item.get("role") == "assistant"]
    types = [item.get("type") for item in output]
    assert "".join(said).strip(), f"The output has {types or 'no items'}, and no text among them."


@rule(
    "output-items",
    "The output is strict JSON, and each of its items is one the OpenAI SDK can read.",
    why="Callers parse the answer with that SDK, and return its items with the next turn: what it "
    "cannot read, or what is no JSON, makes a server answer with an error instead.",
    mend="Build items with the helpers of ResponsesAgent (create_text_output_item, "
    "create_function_call_item, …). Put into `custom_outputs` only texts, numbers, lists and "
    "dictionaries: a date as `.isoformat()`, a set as a list, None instead of NaN.",
)
def test_output_items(agent: Subject, example: Request, llm: str) -> None:
    answer = agent.predict(example)
    problems = list(problems_with_json(answer))
    assert not problems, f"The answer is no strict JSON: {'; '.join(problems)}."
    failed = answer.get("error") or answer.get("status") not in (None, "completed", "incomplete")
    assert not failed, (
        f"It says that it failed: status {answer.get('status')}, error {answer.get('error')}."
    )
    for item in output_of(agent, example):
        problem = problem_with(item)
        assert not problem, f"An item of the type {item.get('type')!r}: {problem}"


KNOWN_ITEMS: dict[str, Any] = {
    get_args(item.model_fields["type"].annotation)[0]: item
    for item in (
        *get_args(get_args(ResponseOutputItem)[0]),
        ResponseFunctionToolCallOutputItem,
    )
}


def problem_with(item: Item) -> str:
    """What the OpenAI SDK's own types say against an item; nothing when it is valid."""
    if item.get("status") == "in_progress":
        return "its status is still in_progress."
    known = KNOWN_ITEMS.get(item.get("type", ""))
    if known is None:
        return f"the Responses API has no such type, only {', '.join(sorted(KNOWN_ITEMS))}."
    try:
        # MLflow's helpers leave out the status, which the SDK's client fills in by itself.
        known.model_validate({"status": "completed", **item})
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
    return ""


@rule(
    "closed-environment",
    "Nothing of the environment of the process is in an answer.",
    why="The environment holds the credentials of the agent; what an answer shows, everybody sees.",
    mend="Put only what callers may know into texts and `custom_outputs`, value by value.",
)
def test_closed_environment(
    agent: Subject, example: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_of(agent)
    monkeypatch.setenv("AGENT_CANARY", CANARY)
    said = json.dumps([agent.predict(example), list(agent.stream(example))], default=str)
    assert CANARY not in said, "The value of the variable AGENT_CANARY, set by this test, is in it."


@rule(
    "item-ids",
    "Every item has an id of its own, of at most 64 characters, which no other answer uses.",
    why="Clients keep and return items by their ids: where one is missing, used twice or too "
    "long, the next turn is refused, or one message takes the place of another.",
    mend='Give each item a fresh id, such as f"msg_{uuid4().hex}", when it is made.',
)
def test_item_ids(agent: Subject, example: Request, llm: str) -> None:
    ids = [item.get("id") for item in output_of(agent, example)]
    assert all(ids), f"An item has no id; the ids are {ids}."
    assert len(set(ids)) == len(ids), f"An id is used twice; the ids are {ids}."
    assert all(len(str(one)) <= 64 for one in ids), f"An id is longer than 64 characters: {ids}."
    again = {item.get("id") for item in output_of(agent, example)}
    shared = again.intersection(ids)
    assert not shared, f"Two answers use the same ids: {', '.join(map(str, shared))}."


@rule(
    "tool-calls",
    "Each function call has arguments that are a JSON object, and exactly one output.",
    why="AI Playground shows calls with their outputs, and model APIs refuse a conversation in "
    "which a call has no output or two.",
    mend="Yield a function_call_output with the `call_id` of every function_call, after it, and "
    "write arguments with json.dumps, never with str.",
)
def test_tool_calls(agent: Subject, example: Request, llm: str) -> None:
    check_calls(output_of(agent, example))


def check_calls(output: list[Item]) -> None:
    """Assert that function calls and their outputs belong together."""
    called: list[str] = []
    answered: list[str] = []
    for item in output:
        if item.get("type") == "function_call":
            called.append(str(item.get("call_id")))
            arguments = item.get("arguments")
            assert is_json_object(arguments), (
                f"The arguments of {item.get('name')} are no JSON object: {arguments}"
            )
        elif item.get("type") == "function_call_output":
            answered.append(str(item.get("call_id")))
            assert answered[-1] in called, f"The output of {answered[-1]} has no call before it."
    assert len(set(called)) == len(called), f"Two calls have the same call_id: {called}."
    assert sorted(called) == sorted(answered), f"Calls {called} have the outputs {answered}."


def is_json_object(text: Any) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


@rule(
    "failing-tools",
    "A tool that fails becomes an output that the LLM sees, and the request is answered.",
    why="LLMs call tools wrongly every day; one bad call must not cost the user the answer.",
    mend="Catch what a tool raises and return it as its output, as `Toolbox.run` does.",
)
def test_failing_tools(agent: Subject, example: Request, asked: Asked) -> None:
    asked.use("wrong-tools")
    try:
        output = output_of(agent, example)
    except (Exception, SystemExit) as error:
        asked.skip_unless_asked()
        raise BrokenRuleError(f"A wrong call ended the request: {described(error)}") from error
    check_calls(output)
    assert any(map(text_of, output)), "After a wrong call there was no text."


@rule(
    "last-turn",
    "The answer depends on what the user said last.",
    why="An agent that answers the first turn, or nothing in particular, passes every other check.",
    mend="Hand the whole of `request.input` to the LLM, in its order.",
)
def test_last_turn(agent: Subject) -> None:
    alder, birch = (words_of(output_of(agent, asking(word))) for word in ("alder", "birch"))
    assert alder != birch, f"To two different requests it said the same: {alder!r}."


def asking(word: str) -> Request:
    """A request of two turns, of which only the last word differs from others."""
    return {"input": [HELLO, ANSWER, {"role": "user", "content": f"Say {word}, please."}]}


def words_of(output: list[Item]) -> str:
    """All that an output says."""
    return " ".join(map(text_of, output))


@rule(
    "requests-apart",
    "Nothing of one request is in the answer to another, also when many come at once.",
    why="A server answers many users with one instance: what is kept on it is shown to others.",
    mend="Keep what belongs to a request in local variables, never on `self`, the class or the "
    "module, nor in a default argument.",
)
@pytest.mark.usefixtures("untraced")
def test_requests_apart(agent: Subject) -> None:
    words = [f"word{number:02}" for number in range(agent.crowd)]
    together = Barrier(len(words))

    def answer(word: str) -> str:
        together.wait(timeout=60)
        return said_to(agent, word)

    with ThreadPoolExecutor(len(words)) as pool:
        answers = dict(zip(words, pool.map(answer, words), strict=True))
    answers["alone"] = said_to(agent, "alone")
    for word, text in answers.items():
        others = [other for other in answers if other != word and other in text]
        assert not others, f"The answer to {word!r} holds what others said: {', '.join(others)}."


def said_to(agent: Subject, word: str) -> str:
    """The whole of an answer; an error, which others may not get, counts as a broken rule."""
    try:
        return json.dumps(agent.predict(asking(word)), default=str)
    except (Exception, SystemExit) as error:
        seen = described(error)
        raise BrokenRuleError(f"Asked from another thread: {seen}", mend_for(seen)) from error


@rule(
    "stateless",
    "Answering leaves the agent, its class and its modules as they were.",
    why="A server answers many users at once with one instance: what one request writes there, "
    "others read, or write over.",
    mend="Keep what belongs to a request in local variables, and hand it on as an argument.",
)
def test_stateless(agent: Subject, model_path: Path) -> None:
    instance = instance_of(agent)
    for word in ("alder", "birch"):  # what is made once, at the first request, may stay
        agent.predict(asking(word))
        list(agent.stream(asking(word)))
    before = state_of(instance, model_path)
    agent.predict(asking("cedar"))
    list(agent.stream(asking("damson")))
    after = state_of(instance, model_path)
    places = (place for place in before | after if before.get(place) != after.get(place))
    changed = dict.fromkeys(place.partition("[")[0] for place in places)
    assert not changed, f"Changed by answering: {', '.join(changed)}."
