"""Rules about several users of one instance."""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from mlflow.genai.agent_server.utils import set_request_headers

from .harness.agents import Agent, Request, instance_of, stream_of
from .harness.custom_inputs import accepted_inputs, request_of
from .harness.errors import AGENT_ERRORS, describe_error
from .harness.fixes import fix_for
from .harness.network import refuse_connections
from .harness.offline import OfflineLLM
from .harness.rules import FailedRuleError, NotCheckedError, NotProvenError, rule
from .harness.sample_requests import EARLIER_USER, USER_DATA, headers_of, two_turns
from .harness.state import changes_of_state, state_of
from .harness.tool_calls import use_replies, with_data_of_user, with_varied_arguments
from .harness.waiting import PATIENCE, Attempt

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
    alone = f"word{len(words):02}"
    answers[alone] = answer_about(agent, alone)
    for word, text in answers.items():
        others = [other for other in answers if other != word and other in text]
        assert not others, f"The answer to {word!r} contains other requests: {', '.join(others)}."


USERS = ("alder", "birch")


@REQUESTS_APART
def test_two_users(agent: Agent, offline_llm: OfflineLLM) -> None:
    use_replies("tools-of-users", partial(with_data_of_user, USERS))
    offline_llm.use("tools-of-users")
    inputs = accepted_inputs(agent)
    for texts in (("Say alder-text.", "Say birch-text."), ("Say it.", "Say it.")):
        requests = [request_of(*one, inputs) for one in zip(USERS, texts, strict=True)]
        for waiting_call in (1, 2):  # before and after the first tool calls
            sent = interleaved(agent, offline_llm, requests, waiting_call)
            for (attempt, bodies), other in zip(sent, reversed(USERS), strict=True):
                for name in (other, EARLIER_USER):
                    check_apart("The answer to one user", str(attempt.answer), name)
                    check_apart("An LLM request for one user", " ".join(bodies), name)
            check_answered(attempt for attempt, _ in sent)
    offline_llm.skip_if_unused()


@REQUESTS_APART
def test_later_requests(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    inputs = accepted_inputs(agent)
    earlier = request_of(EARLIER_USER, "Say it.", inputs)
    offline_llm.use("demo")
    agent.predict(earlier)
    if inputs.keys() >= {*USER_DATA}:
        changed = earlier["custom_inputs"] | {"language": "maple"}
        text = texts_about(agent, offline_llm, earlier | {"custom_inputs": changed})
        assert f"{EARLIER_USER}-language" not in text, (
            "The request of a user is answered with the `custom_inputs` of an earlier one."
        )
    check_apart(
        "The LLM request or the answer to a user without `custom_inputs`",
        texts_about(agent, offline_llm, example),
        EARLIER_USER,
    )


def texts_about(agent: Agent, offline_llm: OfflineLLM, request: Request) -> str:
    """Return the answer to a request and the LLM requests for it."""
    start = offline_llm.calls
    answer = agent.predict(request)
    return f"{answer} {offline_llm.bodies[start:]}"


def interleaved(
    agent: Agent, offline_llm: OfflineLLM, requests: list[Request], waiting_call: int
) -> list[tuple[Attempt, list[str]]]:
    """Send a request while another one waits for the LLM.

    Returns:
        For both requests, the finished attempt and the bodies of the LLM requests.

    Raises:
        NotCheckedError: One of them did not finish.
        NotProvenError: A client of the agent's own hides which request sent what.
    """
    start = offline_llm.calls
    set_request_headers(headers_of(USERS[0]))
    first = offline_llm.hold(agent.predict, requests[0], start + waiting_call)
    held = offline_llm.calls
    set_request_headers(headers_of(USERS[1]))
    second = Attempt(stream_of(agent), requests[1])
    is_independent = second.finished()
    end, offline_llm.released = offline_llm.calls, True
    has_ended = first.finished()
    if not is_independent:
        raise NotCheckedError("a request waits for another one, see `side-by-side`")
    if not has_ended:
        raise NotCheckedError(f"a request did not end within {PATIENCE} s after the LLM answered")
    last = offline_llm.calls
    is_hidden = None in offline_llm.attempts[held:end]
    if is_hidden and end - held > calls_alone(agent, offline_llm, requests[1]):
        raise NotProvenError(
            "the agent's own LLM client sends several requests at once, so the tests cannot tell "
            "which request of a user caused which"
        )
    bodies: dict[Attempt, list[str]] = {first: [], second: []}
    for number in range(start, last):
        attempt = offline_llm.attempts[number]
        if attempt not in bodies:  # a client of the agent's own; then the order decides
            attempt = second if number in range(held, end) else first
        bodies[attempt].append(offline_llm.bodies[number])
    return list(bodies.items())


def calls_alone(agent: Agent, offline_llm: OfflineLLM, request: Request) -> int:
    """Return the number of LLM requests for an answer without others at the same time."""
    start = offline_llm.calls
    agent.predict(request)
    return offline_llm.calls - start


def check_answered(attempts: Iterable[Attempt]) -> None:
    """Assert that no attempt raised an error."""
    for error in (attempt.error for attempt in attempts):
        if error:
            raise failure_of(error) from error


def check_apart(what: str, text: str, other: str) -> None:
    """Assert that a text contains no data of another user."""
    found = dict.fromkeys(re.findall(rf"{other}-\w+", text))
    assert not found, f"{what} contains data of another: {', '.join(found)}."


def answer_about(agent: Agent, word: str) -> str:
    """Return the whole answer as JSON.

    Other rules check single requests, so an error counts as one of concurrency.
    """
    try:
        return json.dumps(agent.predict(two_turns(word)), default=str)
    except AGENT_ERRORS as error:
        raise failure_of(error) from error


def failure_of(error: BaseException) -> FailedRuleError:
    """Return the failure of the rule for an error of one of several concurrent requests."""
    found = f"One of several concurrent requests failed: {describe_error(error)}"
    return FailedRuleError(found, fix_for(error))


STATELESS = rule(
    "stateless",
    "Answering does not change the agent, its class or its modules.",
    why="A server uses one instance for concurrent requests: what one writes, others read or "
    "overwrite.",
    fix="Keep the data of a request in local variables, and pass it as arguments.",
)


@STATELESS
def test_stateless(agent: Agent, model_path: Path, llm: str) -> None:
    inputs = accepted_inputs(agent)
    requests = [request_of(user, f"Say {user}, please.", inputs) for user in USERS]
    for call in (agent.predict, stream_of(agent)):
        changed = changes_by_first(call, requests, instance_of(agent), model_path)
        assert not changed, f"Answering changes {', '.join(changed)}."


@STATELESS
def test_stateless_tools(
    agent: Agent, model_path: Path, offline_llm: OfflineLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_connections(monkeypatch)  # so that no service gets these arguments
    use_replies("varied-arguments", partial(with_varied_arguments, USERS))
    offline_llm.use("varied-arguments")
    requests = [two_turns(user) for user in USERS]
    changed = changes_by_first(agent.predict, requests, instance_of(agent), model_path)
    offline_llm.skip_if_unused()
    assert not changed, f"Calling tools changes {', '.join(changed)}."


def changes_by_first(
    call: Callable[[Request], object], requests: list[Request], instance: Any, model: Path
) -> list[str]:
    """Answer all requests, then the first one again, and return what this last answer changes.

    The first answers may create clients and fill caches.
    """
    for request in requests:
        call(request)
    before = state_of(instance, model)
    call(requests[0])
    return changes_of_state(before, state_of(instance, model))
