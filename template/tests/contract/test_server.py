"""Rules about the agent behind HTTP: at a URL, or served by the repository's own server."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from pydantic import ValidationError

from .harness.agents import (
    HELLO,
    Agent,
    Answer,
    Event,
    Item,
    Request,
    ServedAgent,
    done_items,
    instance_of,
    items_of,
    stream_of,
    text_of,
    with_custom_inputs,
)
from .harness.canaries import Canaries
from .harness.errors import AGENT_ERRORS, causes_of, describe_error, describe_validation_error
from .harness.leftovers import unfinished_tasks
from .harness.loop_watch import LoopWatch
from .harness.offline import SILENT, OfflineLLM
from .harness.project import PACKAGE
from .harness.rules import ENDLESS_FAILURE, NotCheckedError, rule
from .harness.same_items import check_same_items
from .harness.secret_patterns import secret_in
from .harness.serving import TOKEN, serving
from .harness.waiting import PATIENCE, Attempt, eventually

ROUTES = ("invocations", "responses")
INTERNALS = re.compile(r"Traceback|File \"|site-packages|\.py\b.*line \d+")
# The error message of the offline LLM. A provider's message may contain confidential details.
LLM_MESSAGE = "fails on request"

BAD_BODIES: dict[str, tuple[Request | bytes, str]] = {
    "`messages` instead of `input`": ({"messages": HELLO["input"]}, "input"),
    "no input": ({}, "input"),
    "an input that is a number": ({"input": 42}, "input"),
    "an item that is a string": ({"input": ["Hello"]}, "input"),
    "a role that is a number": ({"input": [{"role": 42, "content": "Hello"}]}, "role"),
    "custom_inputs that are a string": (HELLO | {"custom_inputs": "Hello"}, "custom_inputs"),
    "a temperature that is a string": (HELLO | {"temperature": "hot"}, "temperature"),
    "invalid JSON": (b"Hello, who are you?", "JSON"),
    "incomplete JSON": (b'{"input": [', "JSON"),
    "10 MB of invalid JSON": (b"Hello! " * 1_500_000, "JSON"),
}
# Other servers answer these with errors of their own, or pass them to the agent.
MORE_BAD_BODIES: dict[str, tuple[Request | bytes, str]] = {
    "an empty input": ({"input": []}, "empty"),
    "JSON that is not an object": (b'["Hello"]', "object"),
    "an unpaired surrogate": (b'{"input": "\\ud83c"}', "surrogate"),
    "deeply nested JSON": (b"[" * 100_000, "deep"),
    "NaN": (b'{"input": "Hello", "top_p": NaN}', "JSON"),
}
# The offline LLM refuses more than 128,000 tokens, as many models do.
TOO_LONG: Request = {"input": [{"role": "user", "content": "Hello! " * 100_000}]}


@pytest.fixture(scope="module")
def startup(agent: Agent) -> Iterator[ServedAgent | BaseException]:
    """The agent behind HTTP, or the error of the server's startup."""
    if isinstance(agent, ServedAgent):
        yield agent
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(serving(instance_of(agent), PACKAGE))
        except AGENT_ERRORS as error:
            if getattr(error, "name", "") == f"{PACKAGE}.server":
                pytest.skip("the agent's package has no server")
            yield error
            return
        yield ServedAgent(url, agent.example, TOKEN, is_own=True)


@pytest.fixture(scope="module")
def served(startup: ServedAgent | BaseException) -> ServedAgent:
    """The agent behind HTTP."""
    if isinstance(startup, BaseException):
        raise NotCheckedError("the server does not start, see `served-answers`")
    return startup


@pytest.fixture
def own(served: ServedAgent) -> ServedAgent:
    """The agent behind the repository's own server, which guarantees more than others."""
    if not served.is_own:
        pytest.skip("omit --url to check what only the repository's own server guarantees")
    return served


SERVED_ANSWERS = rule(
    "served-answers",
    "The server sends the agent's answer at /invocations and /responses, complete and streamed.",
    why="Model Serving and Review App call /invocations, clients of the Responses API /responses. "
    "An answer that is not valid JSON becomes an error only on the server.",
    fix="Fix the error in the message; answers must be strict JSON. Let server/endpoint.py send "
    "all items of the agent, complete and streamed.",
)


@SERVED_ANSWERS
def test_server_starts(startup: ServedAgent | BaseException) -> None:
    assert not isinstance(startup, BaseException), (
        f"The server does not start: {describe_error(startup)}"
    )


@SERVED_ANSWERS
@pytest.mark.parametrize("route", ROUTES)
def test_served_answers(served: ServedAgent, example: Request, route: str) -> None:
    for request in (HELLO, example):
        output = output_at(served, request, route)
        assert any(map(text_of, output)), f"The answer of /{route} has no text: {output}."
        events = list(served.stream(request, route))
        assert done_items(events), f"The stream of /{route} has only {types_of(events)}."


def output_at(served: ServedAgent, request: Request, route: str) -> list[Item]:
    """Return the items that a route answers."""
    response = served.post(with_custom_inputs(request, served.example), route)
    assert response.status_code == httpx.codes.OK, (
        f"/{route} answered {response.status_code}: {response.text[:500]}"
    )
    return items_of(response.json())


def types_of(events: list[Event]) -> str:
    """List the types of events, each once."""
    return ", ".join(dict.fromkeys(str(event.get("type")) for event in events))


@SERVED_ANSWERS
def test_same_answers(served: ServedAgent, agent: Agent, llm: str) -> None:
    check_same_items(agent, answers_of(served))


def answers_of(served: ServedAgent) -> Iterator[tuple[str, list[Item]]]:
    """Yield the items of the answer of each route, with the route in words."""
    for route in ROUTES:
        yield f"/{route}", output_at(served, HELLO, route)
        yield f"Streaming /{route}", done_items(list(served.stream(HELLO, route)))


OPENAI_CLIENT = rule(
    "openai-client",
    "The `openai` client can call the agent, with and without streaming.",
    why="It is the standard client of the Responses API. Clients in other languages parse answers "
    "in the same way.",
    fix="Build items and events with the helpers of ResponsesAgent, so that they have the fields "
    "of the API. server/events.py adds the events before and after them.",
)


@OPENAI_CLIENT
def test_openai_client(served: ServedAgent) -> None:
    if served.has_one_route:
        pytest.skip("a deployed endpoint has only one route")
    client = client_of(served)
    content: Any = HELLO["input"]
    extra = with_custom_inputs({}, served.example)
    answer = client.responses.create(model="agent", input=content, extra_body=extra)
    assert answer.output_text, f"The client found no text in {answer}."
    with client.responses.create(
        model="agent", input=content, stream=True, extra_body=extra
    ) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas), "The client found no text in the stream."


@OPENAI_CLIENT
def test_openai_client_with_stream_helper(own: ServedAgent, llm: str) -> None:
    extra = with_custom_inputs({}, own.example)
    with client_of(own).responses.stream(
        model="agent", input="Hello, who are you?", extra_body=extra
    ) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        text = events.get_final_response().output_text
    assert text, "With a string as `input`, the client found no text in the final response."
    assert "".join(deltas) == text, (
        f"The deltas are {''.join(deltas)!r}, the final response is {text!r}."
    )


def client_of(served: ServedAgent) -> openai.OpenAI:
    """Return an `openai` client of a server."""
    key = served.token or "none"
    http: Any = served.http  # openai 3 also accepts this, but its type hints name httpx2
    return openai.OpenAI(base_url=served.url, api_key=key, max_retries=0, http_client=http)


COMPLETE_RESPONSES = rule(
    "complete-responses",
    "The server sends complete Responses, and streams from response.created to response.completed.",
    why="Clients wait for the last event, order events by their numbers, store a response by "
    "its id, and add up the tokens in `usage`.",
    fix="Let server/endpoint.py use one ResponseWriter of server/events.py per answer: `start`, "
    "`events_for` each event and `end`, or `add` and `finished_response` without streaming. Read "
    "each completion of the LLM to its end, which has the tokens.",
)


@COMPLETE_RESPONSES
def test_complete_responses(own: ServedAgent, llm: str) -> None:
    problem = problem_with_response(own.post(with_custom_inputs(HELLO, own.example)).json())
    assert not problem, f"The answer is not a Response of the API: {problem}."


@COMPLETE_RESPONSES
def test_complete_streams(own: ServedAgent, llm: str) -> None:
    events = list(own.stream(HELLO))
    types = [event.get("type") for event in events]
    assert types, "The stream is empty."
    assert types[0] == "response.created", f"The first event is {types[0]}."
    assert types[-1] == "response.completed", f"The last event is {types[-1]}."
    numbers = [event.get("sequence_number") for event in events]
    assert numbers == [*range(len(events))], f"The sequence numbers are {numbers}, not 0, 1, 2, …"
    last = events[-1].get("response", {})
    problem = problem_with_response(last)
    assert not problem, f"The last event has no valid Response: {problem}."
    assert last.get("output") == done_items(events), (
        "The last event has other items than the stream."
    )


@COMPLETE_RESPONSES
def test_usage(own: ServedAgent, offline_llm: OfflineLLM) -> None:
    offline_llm.use("tools")  # so that an answer takes several completions
    own.predict(HELLO)
    offline_llm.skip_if_unused()
    offline_llm.report_tokens()
    for answer in (own.predict, lambda request: list(own.stream(request))[-1]["response"]):
        start = offline_llm.calls
        usage = answer(HELLO).get("usage") or {}
        completions = offline_llm.calls - start
        assert usage.get("total_tokens") == 3 * completions, (
            f"The LLM reports 3 tokens for each of {completions} completions, but the usage is "
            f"{usage}."
        )


def problem_with_response(response: Answer) -> str:
    """Return why a response, apart from its items, is invalid, or an empty string."""
    try:
        # `output-items` checks the items, which have more types than the client knows.
        status = Response.model_validate(response | {"output": []}).status
    except ValidationError as error:
        return describe_validation_error(error)
    return "" if status == "completed" else f"its status is {status}"


BAD_REQUESTS = rule(
    "bad-requests",
    "Invalid requests get a 4xx that names the problem, never a 5xx.",
    why="A 5xx alerts the operators of the server, and makes the caller retry the same request.",
    fix="Leave the validation of requests to server/requests.py. For invalid `custom_inputs` raise "
    "RequestError of runtime/items.py.",
)


@BAD_REQUESTS
@pytest.mark.parametrize("kind", BAD_BODIES)
def test_bad_requests(served: ServedAgent, kind: str) -> None:
    check_rejected(served, kind, *BAD_BODIES[kind])


@BAD_REQUESTS
@pytest.mark.parametrize("kind", MORE_BAD_BODIES)
def test_more_bad_requests(own: ServedAgent, offline_llm: OfflineLLM, kind: str) -> None:
    check_rejected(own, kind, *MORE_BAD_BODIES[kind])
    assert not offline_llm.calls, f"The server called the LLM before it rejected {kind}."


def check_rejected(served: ServedAgent, kind: str, body: Request | bytes, word: str) -> None:
    """Assert that a body is rejected with a message that contains a word."""
    response = served.post(body)
    found = f"For {kind} the server answered {response.status_code}: {response.text[:300]}"
    assert httpx.codes.is_client_error(response.status_code), found
    # A server may reject a request because of its length alone.
    is_too_long = response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    is_named = is_too_long or word.casefold() in response.text.casefold()
    assert is_named, f"{found}, which does not mention {word}."


@rule(
    "too-long",
    "A conversation that is too long for the LLM is an error of the client.",
    why="The client can shorten the conversation. It repeats a request after an error of the "
    "server, and is refused again.",
    fix="Let the exception of the LLM's client out of the agent, or raise `llm_error(uri, error)` "
    "of runtime/llm/errors.py: an `LLMError` that you create needs `is_too_long=True`. For a limit "
    "of the agent, raise RequestError of runtime/items.py. server/errors.py answers 400.",
)
def test_too_long(own: ServedAgent, agent: Agent, offline_llm: OfflineLLM) -> None:
    own.post(own.example)
    offline_llm.skip_if_unused()
    response = own.post(with_custom_inputs(TOO_LONG, own.example))
    if offline_llm.has_own_client and response.is_server_error:
        attempt = Attempt(agent.predict, TOO_LONG)
        attempt.finished()
        causes = causes_of(attempt.error) if attempt.error else ()
        if not any(isinstance(one, openai.OpenAIError) for one in causes):
            pytest.skip("the server does not know the errors of the agent's own LLM client")
    # An agent may also shorten the conversation.
    assert response.status_code in (200, 400, 413, 422), (
        f"The server answered {response.status_code}: {response.text[:300]}"
    )


SERVER_ERRORS = rule(
    "server-errors",
    "If the agent fails, the caller gets an error without internal details.",
    why="Tracebacks, paths and messages of the LLM's provider reveal code and accounts. Clients "
    "take an error with status 200 for an answer.",
    fix="Raise exceptions with a one-sentence message for the caller, without a traceback or "
    "headers. `report_failure` in server/errors.py logs the details.",
)


@SERVER_ERRORS
def test_errors_of_the_agent(agent: Agent, example: Request, offline_llm: OfflineLLM) -> None:
    offline_llm.use("fail")
    attempts = [Attempt(agent.predict, example), Attempt(stream_of(agent), example)]
    if not all(one.finished() for one in attempts):
        raise NotCheckedError(ENDLESS_FAILURE)
    offline_llm.skip_if_unused()
    for one in attempts:  # Model Serving sends the exception's message to its callers
        check_public("The exception's message is:", str(one.error))


@SERVER_ERRORS
@pytest.mark.parametrize("model", ["fail", "cut"])
def test_errors_of_the_server(
    own: ServedAgent,
    example: Request,
    offline_llm: OfflineLLM,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
) -> None:
    offline_llm.use(model)
    canaries = Canaries(monkeypatch, model_path)
    request = with_custom_inputs(example, own.example)
    complete = failed_answer(own, request)
    streamed = failed_answer(own, request | {"stream": True})
    offline_llm.skip_if_unused()
    for response in (complete, streamed):
        check_public("The server answered:", response.text)
        found = canaries.found_in(response.text)
        assert not found, f"The answer to a failed request contains {found}."
        assert LLM_MESSAGE not in response.text, (
            f"The answer contains the error message of the LLM: {response.text[-500:]}"
        )
    assert httpx.codes.is_server_error(complete.status_code), (
        f"The server answered {complete.status_code}: {complete.text[:500]}"
    )
    failed = httpx.codes.is_server_error(streamed.status_code) or '"error"' in streamed.text
    assert failed, f"The stream ended without an error: {streamed.text[-500:]}"


def failed_answer(own: ServedAgent, request: Request) -> httpx.Response:
    """Return the response to a request for which the LLM fails."""
    attempt = Attempt(own.post, request)
    if not attempt.finished():
        raise NotCheckedError(ENDLESS_FAILURE)
    if attempt.error:
        raise attempt.error
    return attempt.answer


def check_public(introduction: str, text: str) -> None:
    """Assert that a text for callers contains no internal details."""
    match = INTERNALS.search(text)
    assert not match, f"{introduction} {text[match.start() :][:500]}"
    assert not secret_in(text), f"{introduction} a text with {secret_in(text)}."


@pytest.fixture(scope="session")
def loop_watch() -> LoopWatch:
    """Records code that blocks the server's event loop."""
    return LoopWatch()


RESPONSIVE_SERVER = rule(
    "responsive-server",
    "While one request waits for the LLM, the server answers others and /health.",
    why="One event loop serves all callers: blocking it stops every stream, and a platform that "
    "gets no answer from /health restarts the server.",
    fix="Await everything that takes time in `answer` of agent.py, in asynchronous tools and in "
    "server/. Run blocking code in a thread: in a tool without `async`, or with "
    "`await asyncio.to_thread(…)`. Keep /health open.",
)


@RESPONSIVE_SERVER
def test_event_loop_is_not_blocked(own: ServedAgent, loop_watch: LoopWatch, llm: str) -> None:
    with loop_watch.blocking_lines() as lines:
        own.predict(HELLO)
        list(own.stream(HELLO))
    assert not lines, f"The event loop is blocked by {', '.join(lines)}."


@RESPONSIVE_SERVER
@pytest.mark.parametrize("method", ["predict", "stream"])
def test_responsive_server(
    own: ServedAgent, example: Request, offline_llm: OfflineLLM, method: str
) -> None:
    anonymous = ServedAgent(own.url, own.example, None, is_own=True)
    others: dict[str, Callable[[Request], Any]] = {
        "/health": lambda _: anonymous.http.get(f"{own.url}/health").raise_for_status(),
        "another request": own.predict,
    }
    with offline_llm.one_request_waiting(lambda one: list(getattr(own, method)(one)), example):
        for name, call in others.items():
            other = Attempt(call, HELLO)
            assert other.finished(), (
                f"While one request waited, {name} got no answer within {PATIENCE} s."
            )
            assert not other.error, f"While one request waited, {name} got {other.error}."


LEAVING_CLIENTS = rule(
    "leaving-clients",
    "A client that disconnects ends the work for its stream, but does not affect others.",
    why="Users often close pages and press stop. Without cancellation the LLM continues, which "
    "costs money.",
    fix="Put cleanup into `finally` or a `with` block, and hold no lock while yielding. Start no "
    "task that outlives the request, and do not catch asyncio.CancelledError.",
)


@LEAVING_CLIENTS
def test_leaving_clients(served: ServedAgent) -> None:
    for _ in range(3):
        stream: Any = served.stream(HELLO)
        next(stream, None)
        stream.close()
    check_next(served)


@LEAVING_CLIENTS
def test_cancelled_work(own: ServedAgent, agent: Agent, offline_llm: OfflineLLM) -> None:
    if not hasattr(instance_of(agent), "predict_stream_async"):
        pytest.skip("an agent without `predict_stream_async` cannot be cancelled")
    own.predict(HELLO)
    offline_llm.skip_if_unused()
    offline_llm.use(SILENT)
    before = Counter(unfinished_tasks())  # also of requests that are just ending
    for _ in range(5):
        stream: Any = own.stream(HELLO)
        next(stream, None)
        started = eventually(lambda: offline_llm.in_flight)
        assert started, "A stream started without calling the LLM."
        stream.close()
        assert eventually(lambda: not offline_llm.in_flight), (
            f"{PATIENCE} s after its client disconnected, a request still waited for the LLM."
        )

    def remaining() -> Counter[str]:
        return Counter(unfinished_tasks()) - before

    assert eventually(lambda: remaining().total() < 3), (
        f"{PATIENCE} s after five clients disconnected, tasks still run: {', '.join(remaining())}."
    )
    offline_llm.use("demo")
    check_next(own)


def check_next(served: ServedAgent) -> None:
    """Assert that the next request is answered after clients have disconnected."""
    attempt = Attempt(served.predict, HELLO)
    assert attempt.finished(), (
        f"After clients disconnected, the next request waited for {PATIENCE} s."
    )
    assert not attempt.error, (
        f"After clients disconnected, the next request failed: {attempt.error}"
    )


@rule(
    "token",
    "A server with a token answers only requests with that token.",
    why="Otherwise everybody who can reach the server can call the LLM at its owner's expense.",
    fix="Put every route except /health and the files of the chat page behind `Authentication` of "
    "server/middleware.py. If the server at a URL needs no token, unset AGENT_TOKEN.",
)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("token", [None, "another-token"])
def test_token(served: ServedAgent, route: str, token: str | None) -> None:
    if not served.token:
        pytest.skip("AGENT_TOKEN is not set")
    other = ServedAgent(served.url, served.example, token, is_own=served.is_own)
    response = other.post(with_custom_inputs(HELLO, served.example), route)
    assert not response.is_success, (
        f"With {token or 'no token'}, /{route} answered {response.status_code}."
    )
