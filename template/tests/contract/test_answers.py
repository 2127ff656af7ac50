"""Rules about answers."""

import json
import logging
import re
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, get_args

import httpx
import pytest
from mlflow import MlflowClient
from openai.types.responses import ResponseFunctionToolCallOutputItem, ResponseOutputItem
from pydantic import ValidationError

from .harness.agents import (
    HELLO_MESSAGE,
    Agent,
    Item,
    LoadedAgent,
    Request,
    UnexpectedStatusError,
    ids_of,
    instance_of,
    output_of,
    text_of,
)
from .harness.canaries import Canaries
from .harness.conversation import LLMCall
from .harness.errors import AGENT_ERRORS, describe_error, describe_validation_error
from .harness.fixes import fix_for
from .harness.offline import OfflineLLM
from .harness.rules import FailedRuleError, NotCheckedError, rule
from .harness.state import state_of
from .harness.strict_json import problems_with_json
from .harness.tool_calls import use_replies, with_data_of_user
from .harness.waiting import PATIENCE, Attempt, eventually

TOOL_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "an_earlier_tool",
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
UNREADABLE_REASONING = REASONING | {"summary": [], "encrypted_content": "x"}
REFUSAL = ANSWER | {"content": [{"type": "refusal", "refusal": "I cannot help with that."}]}
# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
IMAGE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
FILE = {
    "type": "input_file",
    "filename": "notes.txt",
    "file_data": "data:text/plain;base64,d2lsbG93",
}
STORED_FILE = {"type": "input_file", "file_id": "file-6F2ksmvXxt4VdoqmHRw6kL"}
# An item of a tool that OpenAI runs.
WEB_SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "agents"},
}
# Attachments, and words of which one shows that the LLM knows of it; the file contains "willow".
ATTACHMENTS = {"an image": (IMAGE, ["image"]), "a file": (FILE, ["file", "notes.txt", "willow"])}
TWO_PARTS = [
    {"type": "input_text", "text": "Hello,"},
    {"type": "input_text", "text": "who are you?"},
]
EARLIER_USER = "cedar"  # of requests before those of other users
OPTIONS = {
    "temperature": 0.5,
    "max_output_tokens": 500,
    "top_p": 0.9,
    "metadata": {"source": "test"},
    "store": False,
    "user": f"{EARLIER_USER}-user",
}


def user(content: Any) -> Item:
    """Return a user message."""
    return {"role": "user", "content": content}


def hello(**fields: Any) -> Request:
    """Return a greeting with more fields."""
    return {"input": [HELLO_MESSAGE], **fields}


REQUESTS: dict[str, Request] = {
    "text": hello(),
    "content parts": {"input": [user(TWO_PARTS)]},
    "non-Latin text": {"input": [user("Grüße, 世界! 🌍 \u202e")]},
    "one word": {"input": [user("Hi")]},
    "placeholders in the text": {"input": [user("What do {name}, %s, 100 % and $x mean?")]},
    "a long text": {"input": [user("Hello! " * 1000)]},
    "several turns": {"input": [HELLO_MESSAGE, ANSWER, user("And who am I?")]},
    "an earlier answer as plain text": {
        "input": [HELLO_MESSAGE, {"role": "assistant", "content": "I am an agent."}, HELLO_MESSAGE]
    },
    "two messages in a row": {"input": [HELLO_MESSAGE, HELLO_MESSAGE]},
    "a tool output as the last item": {"input": [HELLO_MESSAGE, TOOL_CALL, TOOL_OUTPUT]},
    "an assistant message as the last item": {"input": [HELLO_MESSAGE, ANSWER]},
    "earlier reasoning": {"input": [HELLO_MESSAGE, REASONING, ANSWER, HELLO_MESSAGE]},
    "earlier reasoning without a summary": {
        "input": [HELLO_MESSAGE, UNREADABLE_REASONING, ANSWER, HELLO_MESSAGE]
    },
    "an earlier refusal": {"input": [HELLO_MESSAGE, REFUSAL, HELLO_MESSAGE]},
    "an earlier answer without text": {
        "input": [HELLO_MESSAGE, ANSWER | {"content": []}, HELLO_MESSAGE]
    },
    "an earlier web search": {"input": [HELLO_MESSAGE, WEB_SEARCH, ANSWER, HELLO_MESSAGE]},
    "an image": {"input": [user([*TWO_PARTS, IMAGE])]},
    "a file": {"input": [user([*TWO_PARTS, FILE])]},
    "the id of a file": {"input": [user([*TWO_PARTS, STORED_FILE])]},
    "a system message": {"input": [{"role": "system", "content": "Be brief."}, HELLO_MESSAGE]},
    "a developer message": {
        "input": [{"role": "developer", "content": "Be brief."}, HELLO_MESSAGE]
    },
    "no custom_inputs": hello(custom_inputs=None),
    "custom_inputs": hello(custom_inputs={"tenant": "a", "limits": [1, 2]}),
    "empty custom_inputs": hello(custom_inputs={}),
    "context": hello(
        context={"conversation_id": f"{EARLIER_USER}-conversation", "user_id": f"{EARLIER_USER}-id"}
    ),
    "a context without a user": hello(context={"conversation_id": f"{EARLIER_USER}-conversation"}),
    "an empty context": hello(context={}),
    "options of the API": hello(**OPTIONS),
    "unknown keys": hello(no_such_key=True),
}

FILES = ("an image", "a file", "the id of a file")
WITHOUT_TEXT = (*FILES, "an earlier refusal")

EVERY_REQUEST = rule(
    "every-request",
    "The agent answers every kind of Responses request.",
    why="AI Playground sends several turns, Review App sends a context, applications send content "
    "parts with images and files, and clients send the items of the previous turn.",
    fix="Make no assumptions about the request. It is an object, not a dictionary; `content` is a "
    "string or a list; `custom_inputs`, `context` and its fields may be None; the last item may "
    "not be a user message. `to_messages` in runtime/messages.py handles all of this. To reject "
    "images or files, raise RequestError of runtime/items.py: the server answers 400.",
)

# Exceptions that only a bug raises. An agent may raise others to report invalid custom_inputs.
BUGS = (AttributeError, AssertionError, LookupError, NameError, TypeError, SystemExit)


@EVERY_REQUEST
@pytest.mark.parametrize("kind", REQUESTS)
def test_every_request(agent: Agent, kind: str) -> None:
    try:
        output = answer_to(agent, REQUESTS[kind], f"A request with {kind} failed")
    except FailedRuleError as error:
        if "custom_inputs" in kind and not isinstance(error.__cause__, BUGS):
            return
        if kind in FILES and is_rejection(error.__cause__):
            return
        if kind in WITHOUT_TEXT and is_raised_by_mlflow(error.__cause__):
            return  # its `to_chat_completions_input` expects a text in each part
        raise
    assert any(map(text_of, output)), f"The answer to a request with {kind} has no text."
    if not isinstance(agent, LoadedAgent):  # each request to a deployed agent costs money
        return
    try:
        list(agent.stream(REQUESTS[kind]))
    except AGENT_ERRORS as error:
        found = f"The stream for a request with {kind} failed: {describe_error(error)}"
        raise FailedRuleError(found) from error


@EVERY_REQUEST
def test_own_previous_answer(agent: Agent, example: Request, llm: str) -> None:
    items = output_of(agent, example)
    conversation = {"input": [*example["input"], *items, HELLO_MESSAGE]}
    answer_to(agent, conversation, "A request with the agent's previous answer failed")


@rule(
    "attachments",
    "Images and files reach the LLM, or the request is rejected.",
    why="An agent that drops them answers as if they were not there, and users do not notice.",
    fix="Convert messages with `to_messages` of runtime/messages.py. To reject images or files, "
    "raise RequestError of runtime/items.py.",
)
@pytest.mark.parametrize("kind", ATTACHMENTS)
def test_attachments(agent: Agent, offline_llm: OfflineLLM, kind: str) -> None:
    attachment, words = ATTACHMENTS[kind]
    try:
        agent.predict({"input": [user([{"type": "input_text", "text": "Read it."}, attachment])]})
    except AGENT_ERRORS:  # `every-request` checks it
        return
    offline_llm.skip_if_unused()
    messages = [message for body in offline_llm.bodies for message in LLMCall(body).messages]
    texts = json.dumps([message for message in messages if message["role"] == "user"])
    assert any(word in texts for word in words), f"The LLM does not receive {kind}."


@rule(
    "content-parts",
    "A text and the same text as a content part get the same answer.",
    why="Some clients send the content of a message as a text, and others as a list of parts.",
    fix="Convert messages with `to_messages` of runtime/messages.py before you read their text. Do "
    "not search or compare `content`.",
)
def test_content_parts(agent: Agent, example: Request) -> None:
    for request in (hello(), example):
        in_parts = request | {"input": [with_parts(item) for item in request["input"]]}
        answers = [comparable(output_of(agent, one)) for one in (request, in_parts, request)]
        # Without parts, too, answers may differ: one may contain the time.
        assert answers[0] != answers[2] or answers[0] == answers[1], (
            f"The answer to a text is {answers[0]}, but as a content part {answers[1]}."
        )


def with_parts(item: Item) -> Item:
    """Return a message of the user with a content part instead of a text."""
    if item.get("role") != "user" or not isinstance(item["content"], str):
        return item
    return item | {"content": [{"type": "input_text", "text": item["content"]}]}


def comparable(items: list[Item]) -> list[str]:
    """Return the texts, the calls and the outputs of an answer, without ids."""
    return [text_of(item) or f"{item.get('name')} {item.get('output')}" for item in items]


def is_raised_by_mlflow(error: BaseException | None) -> bool:
    """Return whether a function of MLflow raised an error."""
    frames = list(traceback.walk_tb(error.__traceback__)) if error else []
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").startswith("mlflow.")


def is_rejection(error: BaseException | None) -> bool:
    """Return whether an error is the caller's: 4xx, or 502 if the LLM rejects the content."""
    if isinstance(error, UnexpectedStatusError):
        return error.status != httpx.codes.INTERNAL_SERVER_ERROR
    return any(cls.__name__ == "RequestError" for cls in type(error).__mro__)


def answer_to(agent: Agent, request: Request, failure: str) -> list[Item]:
    """Call the agent; an error fails the rule."""
    try:
        return output_of(agent, request)
    except AGENT_ERRORS as error:
        raise FailedRuleError(f"{failure}: {describe_error(error)}") from error


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
    failed = answer.get("error") or answer.get("status") not in (None, "completed", "incomplete")
    assert not failed, (
        f"The answer reports status {answer.get('status')}, error {answer.get('error')}."
    )
    for item in output_of(agent, example):
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
    "Answers, errors, LLM requests and logs contain no values of environment variables; answers "
    "and errors no instructions or settings.",
    why="The environment contains the agent's credentials. Callers see the answers and errors, "
    "others read the logs.",
    fix="Put only values that callers may see into texts, `custom_outputs` and messages of "
    "exceptions, one by one. Send keys in headers: errors contain URLs. Do not log variables, "
    "headers or clients.",
)


@pytest.fixture
def canaries(agent: Agent, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Recognizes the environment, the instructions and the settings of the agent."""
    return Canaries(monkeypatch, model_path)


@CLOSED_ENVIRONMENT
@pytest.mark.parametrize("model", ["demo", "tools", "wrong-tools", "fail"])
def test_closed_environment(
    agent: Agent,
    example: Request,
    canaries: Canaries,
    offline_llm: OfflineLLM,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    model: str,
) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # it logs URLs, and some APIs expect their key there
    caplog.set_level(logging.INFO)
    offline_llm.use(model)
    attempts = [
        Attempt(agent.predict, example),
        Attempt(lambda request: list(agent.stream(request)), example),
        Attempt(agent.predict, REQUESTS["a file"]),
    ]
    assert all(one.finished() for one in attempts), f"The agent did not stop within {PATIENCE} s."
    for one in attempts:
        text = describe_error(one.error) if one.error else json.dumps(one.answer, default=str)
        found = canaries.found_in(text)
        kind = "error" if one.error else "answer"
        assert not found, f"With offline:/{model}, an {kind} contains {found}."
    warnings = "".join(str(one.message) for one in recwarn)
    found = canaries.variables_in("".join((caplog.text, *capsys.readouterr(), warnings)))
    assert not found, f"With offline:/{model}, the log contains {found}."
    found = canaries.variables_in("".join(offline_llm.bodies))
    assert not found, f"An LLM request contains {found}."


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


@rule(
    "tool-calls",
    "Every function call has a JSON object as arguments, and exactly one output.",
    why="AI Playground shows calls with their outputs. LLM APIs do not accept a conversation in "
    "which a call has no output or two.",
    fix="After each function_call, yield one function_call_output with the same `call_id`. Write "
    "arguments with json.dumps, not with str.",
)
def test_tool_calls(agent: Agent, example: Request, llm: str) -> None:
    check_calls(output_of(agent, example))


def check_calls(output: list[Item]) -> None:
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
        output = output_of(agent, example)
    except AGENT_ERRORS as error:
        offline_llm.skip_if_unused()
        found = f"An invalid tool call failed the request: {describe_error(error)}"
        raise FailedRuleError(found) from error
    check_calls(output)
    assert any(map(text_of, output)), "After an invalid tool call the answer has no text."


@rule(
    "last-turn",
    "The answer depends on the last user message, and contains no earlier answer.",
    why="An agent that answers the first turn, or always the same, passes every other rule. An "
    "answer that is sent again appears twice in the conversation.",
    fix="Pass all items of `request.input` to the LLM, in order. Yield only new items.",
)
def test_last_turn(agent: Agent) -> None:
    alder, birch = (texts_about(agent, word) for word in ("alder", "birch"))
    assert alder != birch, f"Two different requests have the same answer: {' '.join(alder)!r}."
    earlier = text_of(ANSWER)
    assert earlier not in alder, f"The answer contains the earlier answer {earlier!r}."


def two_turns(word: str) -> Request:
    """Return a request of two turns that differs from others only in its last word."""
    return {"input": [HELLO_MESSAGE, ANSWER, user(f"Say {word}, please.")]}


def texts_about(agent: Agent, word: str) -> list[str]:
    """Return the texts of the answer to a request with this last word."""
    return [text_of(item) for item in output_of(agent, two_turns(word))]


REQUESTS_APART = rule(
    "requests-apart",
    "Answers and LLM requests contain no data of other requests, even if many run concurrently.",
    why="A server uses one instance for all users: state on it leaks from one user to another.",
    fix="Keep the data of a request in local variables, not on `self`, the class, the module or in "
    "a default argument, a client's session, a file or a thread. The key of a cache must contain "
    "all that its values depend on, such as the user.",
)


@REQUESTS_APART
def test_requests_apart(agent: Agent) -> None:
    words = [f"word{number:02}" for number in range(agent.max_concurrency)]
    all_ready = Barrier(len(words))

    def answer(word: str) -> str:
        all_ready.wait(timeout=60)
        return answer_about(agent, word)

    with ThreadPoolExecutor(len(words)) as pool:
        answers = dict(zip(words, pool.map(answer, words), strict=True))
    answers["alone"] = answer_about(agent, "alone")
    for word, text in answers.items():
        others = [other for other in answers if other != word and other in text]
        assert not others, f"The answer to {word!r} contains other requests: {', '.join(others)}."


USERS = ("alder", "birch")
# Applications send such data of their users in `custom_inputs`.
USER_DATA = ("user", "user_id", "tenant", "session_id", "thread_id", "language")


def request_of(name: str, text: str, custom_inputs: dict[str, Any] | None) -> Request:
    """Return the request of a user; every value that belongs to the user starts with the name.

    Args:
        name: The name of the user.
        text: The last message of the user.
        custom_inputs: Those of the example, to which data of the user is added; None to send none.
    """
    context = {"user_id": f"{name}-user", "conversation_id": f"{name}-conversation"}
    request = {"input": [HELLO_MESSAGE, ANSWER, user(text)], "context": context}
    if custom_inputs is None:
        return request
    return request | {"custom_inputs": custom_inputs | {key: f"{name}-{key}" for key in USER_DATA}}


def accepted_inputs(agent: Agent) -> dict[str, Any] | None:
    """Return `custom_inputs` that the agent accepts together with data of users, or None."""
    custom_inputs = agent.example.get("custom_inputs") or {}
    try:
        agent.predict(request_of(USERS[0], "Hello.", custom_inputs))
    except AGENT_ERRORS:
        return None
    return custom_inputs


@REQUESTS_APART
def test_two_users(agent: Agent, offline_llm: OfflineLLM) -> None:
    use_replies("tools-of-users", partial(with_data_of_user, USERS))
    offline_llm.use("tools-of-users")
    inputs = accepted_inputs(agent)
    for texts in (("Say alder-text.", "Say birch-text."), ("Say it.", "Say it.")):
        requests = [request_of(*one, inputs) for one in zip(USERS, texts, strict=True)]
        for waiting_call in (1, 2):  # before and after the first tool calls
            data = interleaved(agent, offline_llm, requests, waiting_call)
            for (answer, *bodies), other in zip(data, reversed(USERS), strict=True):
                for name in (other, EARLIER_USER):
                    check_apart("The answer to one user", answer, name)
                    check_apart("An LLM request for one user", " ".join(bodies), name)
    offline_llm.skip_if_unused()


def interleaved(
    agent: Agent, offline_llm: OfflineLLM, requests: list[Request], waiting_call: int
) -> tuple[list[str], list[str]]:
    """Send a request while another one waits for the LLM.

    Returns:
        For both requests, the answer and the bodies of the LLM requests.
    """
    start = offline_llm.calls
    offline_llm.held_call = start + waiting_call
    offline_llm.is_holding = offline_llm.released = False
    first = Attempt(agent.predict, requests[0])
    eventually(lambda: offline_llm.is_holding or first.finished(0))
    offline_llm.held_call, held = 0, offline_llm.calls
    second = Attempt(lambda request: list(agent.stream(request)), requests[1])
    is_independent = second.finished()
    end, offline_llm.released = offline_llm.calls, True
    first.finished()
    if not is_independent:
        raise NotCheckedError("a request waits for another one, see `side-by-side`")
    bodies = offline_llm.bodies
    return (
        [str(first.answer), *bodies[start:held], *bodies[end:]],
        [str(second.answer), *bodies[held:end]],
    )


def check_apart(what: str, text: str, other: str) -> None:
    """Assert that a text contains no data of another user."""
    found = dict.fromkeys(re.findall(rf"{other}-\w+", text))
    assert not found, f"{what} contains data of another: {', '.join(found)}."


def answer_about(agent: Agent, word: str) -> str:
    """Return the whole answer as JSON. An error may occur only for concurrent requests."""
    try:
        return json.dumps(agent.predict(two_turns(word)), default=str)
    except AGENT_ERRORS as error:
        found = f"In another thread the agent failed: {describe_error(error)}"
        raise FailedRuleError(found, fix_for(error)) from error


@rule(
    "stateless",
    "Answering does not change the agent, its class or its modules.",
    why="A server uses one instance for concurrent requests: what one writes, others read or "
    "overwrite.",
    fix="Keep the data of a request in local variables, and pass it as arguments.",
)
def test_stateless(agent: Agent, model_path: Path, llm: str) -> None:
    instance = instance_of(agent)
    inputs = accepted_inputs(agent)
    requests = [request_of(word, f"Say {word}, please.", inputs) for word in "abcd"]
    for request in requests[:2]:  # the first request may create clients
        agent.predict(request)
        list(agent.stream(request))
    before = state_of(instance, model_path)
    agent.predict(requests[2])
    list(agent.stream(requests[3]))
    after = state_of(instance, model_path)
    paths = (path for path in before | after if before.get(path) != after.get(path))
    changed = dict.fromkeys(path.partition("[")[0] for path in paths)
    assert not changed, f"Answering changes {', '.join(changed)}."


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
