"""Rules about answers, asked of the loaded model the way callers ask."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import mlflow
import pytest
from openai.types.responses import ResponseFunctionToolCallOutputItem, ResponseOutputItem
from pydantic import TypeAdapter, ValidationError

from .conftest import Asked
from .rules import BrokenRuleError, rule
from .subject import Item, LoadedAgent, Request, text_of

HELLO = {"role": "user", "content": "Hello, who are you?"}
HELLO_REQUEST = {"input": [HELLO]}
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
    "several turns": {"input": [HELLO, ANSWER, {"role": "user", "content": "And who am I?"}]},
    "a tool's output as the last item": {"input": [HELLO, TOOL_CALL, TOOL_OUTPUT]},
    "a system message": {"input": [{"role": "system", "content": "Be brief."}, HELLO]},
    "a developer message": {"input": [{"role": "developer", "content": "Be brief."}, HELLO]},
    "custom_inputs": {"input": [HELLO], "custom_inputs": {"tenant": "a", "limits": [1, 2]}},
    "context": {"input": [HELLO], "context": {"conversation_id": "c-1", "user_id": "u-1"}},
    "an empty context": {"input": [HELLO], "context": {}},
    "unknown extra keys": {"input": [HELLO], "no_such_key": True},
}


@rule(
    "every-request",
    "Every kind of Responses request is answered.",
    why="AI Playground sends several turns, Review App a context, applications content parts, and "
    "clients return the items of the turn before.",
    mend="Take nothing about the request for granted: `content` is a string or a list, "
    "`custom_inputs` and `context` may be None, and the last item need not be a user's message.",
)
@pytest.mark.parametrize("kind", REQUESTS)
def test_every_request(agent: LoadedAgent, kind: str) -> None:
    try:
        output = agent.output(REQUESTS[kind])
    except Exception as error:
        raise BrokenRuleError(f"With {kind}: {type(error).__name__}: {error}") from error
    assert any(map(text_of, output)), f"A request with {kind} got no text."


@rule(
    "output-items",
    "The output is strict JSON, and each of its items is one the OpenAI SDK can read.",
    why="Callers parse the answer with that SDK, and return its items with the next turn: an item "
    "without an id, or with one that is used twice or too long, makes that turn fail.",
    mend="Build items with the helpers of ResponsesAgent (create_text_output_item, …), each with a "
    "fresh id of at most 64 characters, and text in parts of the type output_text.",
)
@pytest.mark.parametrize("llm", ["demo", "tools"])
def test_output_items(
    agent: LoadedAgent, example: Request, monkeypatch: pytest.MonkeyPatch, llm: str
) -> None:
    monkeypatch.setenv("AGENT_LLM", f"offline:/{llm}")
    answer = agent.predict(example)
    try:
        json.dumps(answer, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BrokenRuleError(f"The answer is no strict JSON: {error}") from error
    for item in answer["output"]:
        problem = problem_with(item)
        assert not problem, f"An item of the type {item['type']!r}: {problem}"
    ids = [item.get("id") for item in answer["output"]]
    assert all(ids), f"An item has no id; the ids are {ids}."
    assert len(set(ids)) == len(ids), f"An id is used twice; the ids are {ids}."
    assert all(len(one) <= 64 for one in ids), f"An id is longer than 64 characters: {ids}."


def problem_with(item: Item) -> str:
    """What the OpenAI SDK's own types say against an item; nothing when it is valid."""
    known: Any = ResponseOutputItem | ResponseFunctionToolCallOutputItem
    try:
        # MLflow's helpers leave out the status, which the SDK's client fills in by itself.
        TypeAdapter(known).validate_python({"status": "completed", **item})
    except ValidationError as error:
        same_type = [one for one in error.errors() if one["loc"][0] != "function-after"]
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in same_type)
    return ""


@rule(
    "tool-calls",
    "Each function call has arguments that are a JSON object, and exactly one output.",
    why="AI Playground shows calls with their outputs, and model APIs refuse a conversation in "
    "which a call has no output or two.",
    mend="Yield a function_call_output with the `call_id` of every function_call, and write "
    "arguments with json.dumps, never with str.",
)
def test_tool_calls(agent: LoadedAgent, example: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_LLM", "offline:/tools")
    check_calls(agent.output(example))


def check_calls(output: list[Item]) -> None:
    """Assert that function calls and their outputs belong together."""
    calls = [item for item in output if item["type"] == "function_call"]
    for call in calls:
        assert is_json_object(call["arguments"]), (
            f"The arguments of {call['name']} are no JSON object: {call['arguments']}"
        )
    outputs = [item["call_id"] for item in output if item["type"] == "function_call_output"]
    called = [call["call_id"] for call in calls]
    assert sorted(called) == sorted(outputs), f"Calls {called} have the outputs {outputs}."


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@rule(
    "failing-tools",
    "A tool that fails becomes an output that the LLM sees, and the request is answered.",
    why="LLMs call tools wrongly every day; one bad call must not cost the user the answer.",
    mend="Catch what a tool raises and return it as its output, as `Toolbox.run` does.",
)
def test_failing_tools(
    agent: LoadedAgent, example: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_LLM", "offline:/wrong-tools")
    try:
        output = agent.output(example)
    except Exception as error:
        raise BrokenRuleError(f"A wrong call ended the request: {error}") from error
    check_calls(output)
    assert any(map(text_of, output)), "After a wrong call there was no text."


@pytest.fixture
def untraced(agent: LoadedAgent) -> Iterator[None]:
    """No traces for a while: SQLite takes them one by one, which slows a crowd down to a queue.

    It asks for the agent first, since MLflow logs no model while tracing is off.
    """
    mlflow.tracing.disable()
    yield
    mlflow.tracing.enable()


def asking(word: str) -> Request:
    """A request of two turns, of which only the last word differs from others."""
    return {"input": [HELLO, ANSWER, {"role": "user", "content": f"Say {word}, please."}]}


def words_of(output: list[Item]) -> str:
    """All that an output says."""
    return " ".join(map(text_of, output))


@rule(
    "last-turn",
    "The answer depends on what the user said last.",
    why="An agent that answers the first turn, or nothing in particular, passes every other check.",
    mend="Hand the whole of `request.input` to the LLM, in its order.",
)
def test_last_turn(agent: LoadedAgent) -> None:
    alder, birch = (words_of(agent.output(asking(word))) for word in ("alder", "birch"))
    assert alder != birch, f"To two different requests it said the same: {alder!r}."


@rule(
    "requests-apart",
    "Nothing of one request is in the answer to another, also when 48 come at once.",
    why="A server answers many users with one instance: what is kept on it is shown to others.",
    mend="Keep what belongs to a request in local variables, never on `self`, the class or the "
    "module.",
)
def test_requests_apart(agent: LoadedAgent, untraced: None) -> None:
    words = [f"word{number:02}" for number in range(48)]
    together = Barrier(len(words))

    def answer(word: str) -> str:
        together.wait(timeout=60)
        return json.dumps(agent.predict(asking(word)))

    with ThreadPoolExecutor(len(words)) as pool:
        answers = dict(zip(words, pool.map(answer, words), strict=True))
    answers["alone"] = json.dumps(agent.predict(asking("alone")))
    for word, text in answers.items():
        others = [other for other in answers if other != word and other in text]
        assert not others, f"The answer to {word!r} holds what others said: {', '.join(others)}."


@rule(
    "llm-failures",
    "When the LLM fails, the caller gets an error and no answer.",
    why="An apology or an empty answer looks like success: it is shown to users, counted as an "
    "answer in evaluations, and no alarm goes off.",
    mend="Let the exception out of `predict` and `predict_stream`; servers turn it into a status.",
)
@pytest.mark.parametrize("llm", ["fail", "empty", "cut"])
def test_llm_failures(agent: LoadedAgent, asked: Asked, llm: str) -> None:
    asked.use(llm)
    for ask in (agent.predict, agent.stream):
        try:
            answer = ask(HELLO_REQUEST)
        except Exception:
            continue
        asked.skip_unless_asked()
        raise BrokenRuleError(f"With offline:/{llm} it answered all the same: {answer}")
    asked.skip_unless_asked()


@rule(
    "time-out",
    "An LLM that hangs ends in an error, in the time that config.yml allows it.",
    why="A request that never ends keeps a worker for itself; a few of them stop the server.",
    mend="Pass `llm_timeout_seconds` and `llm_max_retries` on to the client, as `connect` does.",
)
def test_time_out(model_path: Path, asked: Asked) -> None:
    asked.use("hang")
    hasty = {"llm_timeout_seconds": 0.2, "llm_max_retries": 0}
    agent = LoadedAgent(mlflow.pyfunc.load_model(str(model_path), model_config=hasty))
    answers: list[Any] = []

    def ask() -> None:
        with suppress(Exception):
            answers.append(agent.predict(HELLO_REQUEST))

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=20)
    asked.skip_unless_asked()
    assert not thread.is_alive(), "After 20 s, with a time-out of 0.2 s, it was still waiting."
    assert not answers, f"It answered all the same: {answers}."
