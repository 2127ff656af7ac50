"""Rules about requests."""

import json
import traceback
from functools import partial

import httpx
import pytest

from .harness.agents import (
    HELLO_MESSAGE,
    Agent,
    Item,
    LoadedAgent,
    Request,
    UnexpectedStatusError,
    items_of,
    output_of,
    text_of,
)
from .harness.conversation import LLMCall, message
from .harness.errors import AGENT_ERRORS, describe_error
from .harness.fixes import fix_for
from .harness.offline import OfflineLLM
from .harness.rules import FailedRuleError, rule
from .harness.same_items import is_constant
from .harness.sample_requests import ATTACHMENTS, REQUESTS, hello, user

FILES = (*ATTACHMENTS, "two images", "the id of a file")
WITHOUT_TEXT = (*FILES, "an earlier refusal")

EVERY_REQUEST = rule(
    "every-request",
    "The agent answers every kind of Responses request.",
    why="AI Playground sends several turns, Review App sends a context, applications send content "
    "parts with images and files, and clients send the items of the previous turn.",
    fix="Make no assumptions about the request. It is an object, not a dictionary; `content` is a "
    "string or a list; `custom_inputs`, `context` and its fields may be None; the last item need "
    "not be a user message. The functions of runtime/ that convert items handle all of this. To "
    "reject images or files, raise RequestError of runtime/items.py: the server answers 400.",
)

# Exceptions that only a bug raises. An agent may raise others to report invalid custom_inputs.
BUG_ERRORS = (AttributeError, AssertionError, LookupError, NameError, TypeError, SystemExit)


@EVERY_REQUEST
def test_input_example(any_agent: Agent, example: Request) -> None:
    answer_to(any_agent, example, "The request of input_example.json failed")


@EVERY_REQUEST
@pytest.mark.parametrize("kind", REQUESTS)
def test_every_request(any_agent: Agent, kind: str) -> None:
    try:
        output = answer_to(any_agent, REQUESTS[kind], f"A request with {kind} failed")
    except FailedRuleError as error:
        if is_accepted(kind, error.__cause__):
            return
        raise
    assert any(map(text_of, output)), f"The answer to a request with {kind} has no text."
    if not isinstance(any_agent, LoadedAgent):  # each request to a deployed agent costs money
        return
    try:
        list(any_agent.stream(REQUESTS[kind]))
    except AGENT_ERRORS as error:
        found = f"The stream for a request with {kind} failed: {describe_error(error)}"
        raise FailedRuleError(found, fix_for(error)) from error


def is_accepted(kind: str, error: BaseException | None) -> bool:
    """Return whether an agent may fail with this error for a kind of request."""
    if "custom_inputs" in kind and error and not isinstance(error, BUG_ERRORS):
        return True
    if kind in FILES and is_rejection(error):
        return True
    # MLflow's `to_chat_completions_input` expects a text in each part.
    return kind in WITHOUT_TEXT and is_raised_by_mlflow(error)


@EVERY_REQUEST
def test_own_previous_answer(agent: Agent, example: Request, llm: str) -> None:
    items = output_of(agent, example)
    conversation = {"input": [*example["input"], *items, HELLO_MESSAGE]}
    answer_to(agent, conversation, "A request with the agent's previous answer failed")


RECEIVED = rule(
    "attachments",
    "Images and files reach the LLM, or the request is rejected.",
    why="An agent that drops them answers as if they were not there, and users do not notice.",
    fix="Convert messages with a function of runtime/, such as `to_messages`. To reject images or "
    "files, raise RequestError of runtime/items.py.",
)


@RECEIVED
@pytest.mark.parametrize("kind", ATTACHMENTS)
def test_attachments(agent: Agent, offline_llm: OfflineLLM, kind: str) -> None:
    attachment, words = ATTACHMENTS[kind]
    first = user([{"type": "input_text", "text": "Read it."}, attachment])
    later = [message("assistant", "I have read it."), user("What does it show?")]
    for turn, items in (("", [first]), (" of an earlier turn", [first, *later])):
        texts = user_messages(agent, offline_llm, {"input": items})
        received = any(word in texts for word in words)
        assert received or not texts, f"The LLM does not receive {kind}{turn}."


@RECEIVED
def test_two_images(agent: Agent, offline_llm: OfflineLLM) -> None:
    image, two_images = (REQUESTS[kind] for kind in ("an image", "two images"))
    one, two = (user_messages(agent, offline_llm, request) for request in (image, two_images))
    assert not two or two.count("image") > one.count("image"), (
        "The LLM does not receive the second of two images."
    )


def user_messages(agent: Agent, llm: OfflineLLM, request: Request) -> str:
    """Return the messages of the user that the LLM receives, JSON; "" if the request fails."""
    start = llm.calls
    try:
        agent.predict(request)
    except AGENT_ERRORS:  # `every-request` checks it
        return ""
    llm.skip_if_unused()
    sent = [one for body in llm.bodies[start:] for one in LLMCall(body).messages]
    return json.dumps([one for one in sent if one["role"] == "user"])


@rule(
    "content-parts",
    "A text and the same text as a content part get the same answer.",
    why="Some clients send the content of a message as a text, and others as a list of parts.",
    fix="Convert messages with a function of runtime/, such as `to_messages`, before you read the "
    "text. Do not search or compare `content`.",
)
def test_content_parts(agent: Agent, example: Request) -> None:
    for request in (hello(), example):
        in_parts = request | {"input": [with_parts(item) for item in request["input"]]}
        answer, other = (comparable_answer(agent, one) for one in (request, in_parts))
        again = partial(comparable_answer, agent, request)
        assert answer == other or not is_constant(again, answer), (
            f"The answer to a text is {answer}, but as a content part {other}."
        )


def with_parts(item: Item) -> Item:
    """Return a message of the user with a content part instead of a text."""
    if item.get("role") != "user" or not isinstance(item["content"], str):
        return item
    return item | {"content": [{"type": "input_text", "text": item["content"]}]}


def comparable_answer(agent: Agent, request: Request) -> list[str]:
    """Return the texts, the calls and the outputs of the answer to a request, without ids.

    They are sorted, as tools that run concurrently end in any order.
    """
    items = output_of(agent, request)
    return sorted(text_of(item) or f"{item.get('name')} {item.get('output')}" for item in items)


def is_raised_by_mlflow(error: BaseException | None) -> bool:
    """Return whether a function of MLflow raised an error."""
    frames = list(traceback.walk_tb(error.__traceback__)) if error else []
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").startswith("mlflow.")


def is_rejection(error: BaseException | None) -> bool:
    """Return whether an error is the caller's: 4xx, or 502 if the LLM rejects the content."""
    if isinstance(error, UnexpectedStatusError):
        return httpx.codes.is_client_error(error.status) or error.status == httpx.codes.BAD_GATEWAY
    return any(cls.__name__ == "RequestError" for cls in type(error).__mro__)


def answer_to(agent: Agent, request: Request, failure: str) -> list[Item]:
    """Return the items that answer a request; an error fails the rule."""
    try:
        answer = agent.predict(request)
    except AGENT_ERRORS as error:
        found = f"{failure}: {describe_error(error)}"
        raise FailedRuleError(found, fix_for(error)) from error
    return items_of(answer)
