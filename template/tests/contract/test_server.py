"""Rules about the agent behind a server: the one at a given URL, or the repository's own."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from pydantic import ValidationError

from .harness.agents import (
    HELLO,
    Event,
    Request,
    ServedAgent,
    Subject,
    complete,
    done_items,
    instance_of,
    text_of,
)
from .harness.errors import described
from .harness.loop_watch import LoopWatch
from .harness.offline import SILENT, Asked
from .harness.project import PACKAGE
from .harness.rules import BrokenRuleError, NoModelError, rule
from .harness.same_items import check_same_items
from .harness.secret_patterns import secret_in
from .harness.serving import TOKEN, serving
from .harness.waiting import PATIENCE, Outcome, comes_about

ROUTES = ("invocations", "responses")
SINGLE_ROUTE = "A deployed endpoint has one route only."
INTERNALS = re.compile(r"Traceback|File \"|site-packages|\.py\b.*line \d+")
# What the offline LLM says when it fails; a provider might say more than a stranger should know.
WORDS_OF_THE_LLM = "fails on request"

BAD_BODIES: dict[str, tuple[Request | bytes, str]] = {
    "`messages` instead of `input`": ({"messages": HELLO["input"]}, "input"),
    "no input": ({}, "input"),
    "an input that is a number": ({"input": 42}, "input"),
    "an item that is a text": ({"input": ["Hello"]}, "input"),
    "a role that is a number": ({"input": [{"role": 42, "content": "Hello"}]}, "role"),
    "custom_inputs that are a text": (HELLO | {"custom_inputs": "Hello"}, "custom_inputs"),
    "a temperature that is a text": (HELLO | {"temperature": "hot"}, "temperature"),
    "no JSON": (b"Hello, who are you?", "JSON"),
    "JSON that breaks off": (b'{"input": [', "JSON"),
    "10 MB that are no JSON": (b"Hello! " * 1_500_000, "JSON"),
}
# What other servers answer with an error of their own, or hand to the agent.
MORE_BAD_BODIES: dict[str, tuple[Request | bytes, str]] = {
    "an empty input": ({"input": []}, "empty"),
    "JSON that is no object": (b'["Hello"]', "object"),
    "an unpaired surrogate": (b'{"input": "\\ud83c"}', "surrogate"),
    "JSON too deep to be read": (b"[" * 100_000, "deep"),
    "a number that JSON does not know": (b'{"input": "Hello", "top_p": NaN}', "JSON"),
}


@pytest.fixture(scope="module")
def started(agent: Subject) -> Iterator[ServedAgent | BaseException]:
    """The agent behind HTTP, or the error that starting the server ended in."""
    if isinstance(agent, ServedAgent):
        yield agent
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(serving(instance_of(agent), PACKAGE))
        except (Exception, SystemExit) as error:
            if getattr(error, "name", "") == f"{PACKAGE}.server":
                pytest.skip("The agent's package has no server.")
            yield error
            return
        yield ServedAgent(url, agent.example, TOKEN, is_own=True)


@pytest.fixture(scope="module")
def served(started: ServedAgent | BaseException) -> ServedAgent:
    """The agent behind HTTP."""
    if isinstance(started, BaseException):
        raise NoModelError("The server does not start; the rule `served-answers` says why.")
    return started


@pytest.fixture
def own(served: ServedAgent) -> ServedAgent:
    """The agent behind the repository's own server, of which more is asked."""
    if not served.is_own:
        pytest.skip("Only the repository's own server promises this; it is checked without --url.")
    return served


SERVED_ANSWERS = rule(
    "served-answers",
    "The server gives the agent's answer at /invocations and /responses, at once and as a stream.",
    why="Model Serving and Review App call /invocations, clients of the Responses API /responses; "
    "an answer that cannot be written as JSON becomes an error only here.",
    mend="Mend what the error names; what a server sends must be strict JSON. Let server.py pass "
    "on all items that the agent gives, whichever way it is asked.",
)


@SERVED_ANSWERS
def test_server_starts(started: ServedAgent | BaseException) -> None:
    if isinstance(started, BaseException):
        raise BrokenRuleError(f"The server does not start: {described(started)}")


@SERVED_ANSWERS
@pytest.mark.parametrize("route", ROUTES)
def test_served_answers(served: ServedAgent, example: Request, route: str) -> None:
    for request in (HELLO, example):
        response = served.post(complete(request, served.example), route)
        assert response.status_code == httpx.codes.OK, (
            f"/{route} answered {response.status_code}: {response.text[:500]}"
        )
        answer: Any = response.json()
        assert any(map(text_of, answer["output"])), f"/{route} answered without text: {answer}."
        events = list(served.stream(request, route))
        assert done_items(events), f"The stream has no done event, but only {types_of(events)}."


def types_of(events: list[Event]) -> str:
    """The types of events, each named once."""
    return ", ".join(dict.fromkeys(str(event.get("type")) for event in events))


@SERVED_ANSWERS
@pytest.mark.usefixtures("llm")
def test_same_answers(served: ServedAgent, agent: Subject) -> None:
    ways = []
    for route in ROUTES:
        answer = served.post(complete(HELLO, served.example), route).json()
        ways.append((f"At once, /{route}", answer["output"]))
        ways.append((f"Streamed, /{route}", done_items(list(served.stream(HELLO, route)))))
    check_same_items(agent, ways)


OPENAI_CLIENT = rule(
    "openai-client",
    "The `openai` client can ask the agent, for a whole answer and for a stream.",
    why="It is the client of the Responses API: whoever calls the agent from an application, in "
    "whatever language, reads answers as it does.",
    mend="Build items and events with the helpers of ResponsesAgent, so that their fields are "
    "those of the API; wire.py adds the events that come before and after them.",
)


@OPENAI_CLIENT
def test_openai_client(served: ServedAgent) -> None:
    if served.has_one_route:
        pytest.skip(SINGLE_ROUTE)
    client = client_of(served)
    content: Any = HELLO["input"]
    extra = complete({}, served.example)
    answer = client.responses.create(model="agent", input=content, extra_body=extra)
    assert answer.output_text, f"It read no text in {answer}."
    with client.responses.create(
        model="agent", input=content, stream=True, extra_body=extra
    ) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas), "It read no text in the stream."


@OPENAI_CLIENT
@pytest.mark.usefixtures("llm")
def test_openai_client_as_documented(own: ServedAgent) -> None:
    extra = complete({}, own.example)
    with client_of(own).responses.stream(
        model="agent", input="Hello, who are you?", extra_body=extra
    ) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        text = events.get_final_response().output_text
    assert text, "Asked with a text as `input`, it read no text in the final response."
    assert "".join(deltas) == text, f"It read {''.join(deltas)!r}, and at the end {text!r}."


def client_of(served: ServedAgent) -> openai.OpenAI:
    """The client of the API, for a server."""
    return openai.OpenAI(base_url=served.url, api_key=served.token or "none", max_retries=0)


COMPLETE_RESPONSES = rule(
    "complete-responses",
    "The server sends whole Responses, and streams from response.created to response.completed.",
    why="Clients wait for the last event to know that all was said, put events into their order by "
    "their numbers, and keep a response by its id.",
    mend="Let server.py write each answer with a ResponseWriter of its own: `begin`, `pass_on` for "
    "each event, and `end`; or `response` for an answer at once.",
)


@COMPLETE_RESPONSES
@pytest.mark.usefixtures("llm")
def test_whole_responses(own: ServedAgent) -> None:
    problem = problem_with_response(own.post(complete(HELLO, own.example)).json())
    assert not problem, f"An answer at once is no Response of the API: {problem}."


@COMPLETE_RESPONSES
@pytest.mark.usefixtures("llm")
def test_whole_streams(own: ServedAgent) -> None:
    events = list(own.stream(HELLO))
    types = [event.get("type") for event in events]
    assert types, "The stream is empty."
    assert types[0] == "response.created", f"The first event is {types[0]}."
    assert types[-1] == "response.completed", f"The last event is {types[-1]}."
    numbers = [event.get("sequence_number") for event in events]
    assert numbers == [*range(len(events))], f"The events do not count from 0: {numbers}."
    last = events[-1].get("response", {})
    problem = problem_with_response(last)
    assert not problem, f"The last event holds no Response of the API: {problem}."
    assert last["output"] == done_items(events), "The last event holds other items than were done."


def problem_with_response(response: Request) -> str:
    """What the OpenAI SDK's own type says against a response, its items aside; else nothing."""
    try:
        # The items are another rule's, and of more types than the client knows.
        status = Response.model_validate(response | {"output": []}).status
    except ValidationError as error:
        return "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
    return "" if status == "completed" else f"its status is {status}"


BAD_REQUESTS = rule(
    "bad-requests",
    "A request that is none is refused with a 4xx that names what is wrong, never with a 5xx.",
    why="A 5xx wakes whoever runs the server, and tells the caller to try the same again.",
    mend="Leave the validation of requests to MLflow and request_body.py, and raise RequestError, "
    "of conversation.py, for custom_inputs that the agent cannot use.",
)


@BAD_REQUESTS
@pytest.mark.parametrize("kind", BAD_BODIES)
def test_bad_requests(served: ServedAgent, kind: str) -> None:
    check_refused(served, kind, *BAD_BODIES[kind])


@BAD_REQUESTS
@pytest.mark.parametrize("kind", MORE_BAD_BODIES)
def test_more_bad_requests(own: ServedAgent, asked: Asked, kind: str) -> None:
    check_refused(own, kind, *MORE_BAD_BODIES[kind])
    assert not asked.times, f"Before it refused {kind}, it asked the LLM."


def check_refused(served: ServedAgent, kind: str, body: Request | bytes, word: str) -> None:
    """Assert that a body is refused, in words among which is this one."""
    response = served.post(body)
    said = f"To {kind} it answered {response.status_code}: {response.text[:300]}"
    assert httpx.codes.is_client_error(response.status_code), said
    # A server may refuse a request for its length alone.
    too_long = response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    named = too_long or word.casefold() in response.text.casefold()
    assert named, f"{said}, which does not name {word}."


SERVER_ERRORS = rule(
    "server-errors",
    "When an answer fails, the caller is told so, and nothing about the inside of the server.",
    why="Tracebacks, paths and what the LLM's provider says tell a stranger which code and which "
    "accounts are behind; an error that looks like an answer is taken for one.",
    mend="Raise exceptions whose message is one sentence for the caller, without a traceback and "
    "without a header; in server.py, tell callers what `told` returns, and log the rest.",
)


@SERVER_ERRORS
def test_errors_of_the_agent(agent: Subject, asked: Asked) -> None:
    asked.use("fail")
    asks: list[Callable[[Request], Any]] = [agent.predict, lambda one: list(agent.stream(one))]
    errors = [Outcome(ask, HELLO) for ask in asks]
    assert all(error.ended() for error in errors), f"It went on for {PATIENCE} s."
    asked.skip_unless_asked()
    for one in errors:  # Model Serving tells its callers what the exception says
        check_closed("The exception says", str(one.error))


@SERVER_ERRORS
@pytest.mark.parametrize("model", ["fail", "cut"])
def test_errors_of_the_server(own: ServedAgent, asked: Asked, model: str) -> None:
    asked.use(model)
    request = complete(HELLO, own.example)
    whole, streamed = own.post(request), own.post(request | {"stream": True})
    asked.skip_unless_asked()
    for response in (whole, streamed):
        check_closed("The server answered", response.text)
        told = WORDS_OF_THE_LLM in response.text
        assert not told, f"It told what the LLM's provider said: {response.text[-500:]}"
    assert httpx.codes.is_server_error(whole.status_code), (
        f"The server answered {whole.status_code}: {whole.text[:500]}"
    )
    failed = httpx.codes.is_server_error(streamed.status_code) or '"error"' in streamed.text
    assert failed, f"The stream ended without an error: {streamed.text[-500:]}"


def check_closed(says: str, text: str) -> None:
    """Assert that a text for callers holds nothing of the inside."""
    found = INTERNALS.search(text)
    assert not found, f"{says} {text[found.start() :][:500]}"
    assert not secret_in(text), f"{says} {secret_in(text)}."


@pytest.fixture(scope="session")
def loop_watch() -> LoopWatch:
    """Sees what makes the server's event loop wait."""
    return LoopWatch()


RESPONSIVE_SERVER = rule(
    "responsive-server",
    "While one request waits for the LLM, the server answers others, and those who ask /health.",
    why="One event loop serves all callers: what holds it up stops every stream, and a platform "
    "that hears nothing from /health ends the process.",
    mend="In server.py, `predict_stream_async` and asynchronous tools, `await` whatever takes "
    "time; what cannot be awaited runs in a thread, as tools without `async` do, or by "
    "`await asyncio.to_thread(…)`. Leave /health open to all.",
)


@RESPONSIVE_SERVER
@pytest.mark.usefixtures("llm")
def test_nothing_makes_the_loop_wait(own: ServedAgent, loop_watch: LoopWatch) -> None:
    with loop_watch.places() as places:
        own.predict(HELLO)
        list(own.stream(HELLO))
    assert not places, f"Everybody waited for {', '.join(places)}."


@RESPONSIVE_SERVER
@pytest.mark.parametrize("way", ["predict", "stream"])
def test_responsive_server(own: ServedAgent, asked: Asked, way: str) -> None:
    others: dict[str, Callable[[Request], Any]] = {
        "/health": lambda _: httpx.get(f"{own.url}/health", timeout=60).raise_for_status(),
        "another request": own.predict,
    }
    with asked.one_waiting(lambda request: list(getattr(own, way)(request))):
        for name, ask in others.items():
            other = Outcome(ask, HELLO)
            assert other.ended(), f"While one request waited, {name} got no answer in {PATIENCE} s."
            if other.error:
                raise BrokenRuleError(f"While one request waited, {name} got {other.error}.")


LEAVING_CLIENTS = rule(
    "leaving-clients",
    "A client that leaves in the middle of a stream does not stop the others, and ends its work.",
    why="Users close pages and press stop all day, and what the LLM says to nobody is still paid "
    "for.",
    mend="Put what must be tidied up into `finally` or a `with` block, and hold no lock while "
    "yielding. Start no task that outlives the request, and let asyncio.CancelledError out.",
)


@LEAVING_CLIENTS
def test_leaving_clients(served: ServedAgent) -> None:
    for _ in range(3):
        stream: Any = served.stream(HELLO)
        next(stream)
        stream.close()
    check_next(served)


@LEAVING_CLIENTS
def test_work_for_nobody(own: ServedAgent, agent: Subject, asked: Asked) -> None:
    if not hasattr(instance_of(agent), "predict_stream_async"):
        pytest.skip("What runs in a thread cannot be stopped from outside.")
    own.predict(HELLO)
    asked.skip_unless_asked()
    asked.use(SILENT)
    for _ in range(3):
        stream: Any = own.stream(HELLO)
        next(stream)
        assert comes_about(lambda: asked.under_way), "A stream began without asking the LLM."
        stream.close()
        over = comes_about(lambda: not asked.under_way)
        assert over, f"{PATIENCE} s after its client had left, a request still waited for the LLM."
    asked.use("demo")
    check_next(own)


def check_next(served: ServedAgent) -> None:
    """Assert that whoever asks after clients have left gets an answer."""
    outcome = Outcome(served.predict, HELLO)
    assert outcome.ended(), f"After clients had left, the next one waited for {PATIENCE} s."
    if outcome.error:
        raise BrokenRuleError(f"After clients had left, the next one got {outcome.error}.")


@rule(
    "token",
    "A server that has a token answers only those who bring it.",
    why="Whoever can reach a server may otherwise ask the LLM at its owner's expense.",
    mend="Let every route but /health and the files of the chat page stand behind guard.py. For a "
    "server at a URL that shall ask for none, leave AGENT_TOKEN unset.",
)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("brought", ["", "Bearer another-token"])
def test_token(served: ServedAgent, route: str, brought: str) -> None:
    if not served.token:
        pytest.skip("The server was asked without a token.")
    headers = {"Authorization": brought} if brought else {}
    request = complete(HELLO, served.example)
    response = httpx.post(served.route(route), json=request, headers=headers, timeout=60)
    assert not response.is_success, (
        f"To {brought or 'no token'}, /{route} answered {response.status_code}."
    )
