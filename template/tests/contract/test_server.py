"""Rules about the agent behind a server: the one at a given URL, or MLflow's own, started here."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from .conftest import Asked
from .patience import PATIENCE, Outcome
from .rules import BrokenRuleError, rule
from .secret_patterns import secret_in
from .serving import serving
from .subject import HELLO, Request, ServedAgent, Subject, complete, instance_of, text_of

SINGLE_ROUTE = "A deployed endpoint has one route only."
INTERNALS = re.compile(r"Traceback|File \"|site-packages|\.py\b.*line \d+")

BAD_BODIES: dict[str, tuple[Request | bytes, str]] = {
    "`messages` instead of `input`": ({"messages": HELLO["input"]}, "input"),
    "no input": ({}, "input"),
    "an input that is a number": ({"input": 42}, "input"),
    "a role that is a number": ({"input": [{"role": 42, "content": "Hello"}]}, "role"),
    "custom_inputs that are a text": (HELLO | {"custom_inputs": "Hello"}, "custom_inputs"),
    "no JSON": (b"Hello, who are you?", "JSON"),
    "JSON that breaks off": (b'{"input": [', "JSON"),
    "10 MB that are no JSON": (b"Hello! " * 1_500_000, "JSON"),
}


@pytest.fixture(scope="module")
def served(agent: Subject) -> Iterator[ServedAgent]:
    """The agent behind HTTP."""
    if isinstance(agent, ServedAgent):
        yield agent
        return
    with serving(instance_of(agent)) as url:
        yield ServedAgent(url, agent.example)


@rule(
    "served-answers",
    "The server answers at /invocations and /responses, at once and as a stream.",
    why="Model Serving and Review App call /invocations, clients of the Responses API /responses; "
    "an answer that cannot be written as JSON becomes an error only here.",
    mend="Mend what the error names; what a server sends must be strict JSON.",
)
@pytest.mark.parametrize("route", ["invocations", "responses"])
def test_served_answers(served: ServedAgent, example: Request, route: str) -> None:
    for request in (HELLO, example):
        response = served.post(complete(request, served.example), route)
        assert response.status_code == httpx.codes.OK, (
            f"/{route} answered {response.status_code}: {response.text[:500]}"
        )
        answer: Any = response.json()
        assert any(map(text_of, answer["output"])), f"/{route} answered without text: {answer}."
        events = list(served.stream(request))
        types = {event.get("type") for event in events}
        assert "response.output_item.done" in types, f"The stream has no done event: {events}."


@rule(
    "openai-client",
    "The `openai` client can ask the agent, for a whole answer and for a stream.",
    why="It is the client of the Responses API: whoever calls the agent from an application, in "
    "whatever language, reads answers as it does.",
    mend="Build items and events with the helpers of ResponsesAgent, so that their fields are "
    "those of the API.",
)
def test_openai_client(served: ServedAgent) -> None:
    if served.has_one_route:
        pytest.skip(SINGLE_ROUTE)
    client = openai.OpenAI(base_url=served.url, api_key=served.token or "none", max_retries=0)
    content: Any = HELLO["input"]
    extra = complete({}, served.example)
    answer = client.responses.create(model="agent", input=content, extra_body=extra)
    assert answer.output_text, f"It read no text in {answer}."
    with client.responses.create(
        model="agent", input=content, stream=True, extra_body=extra
    ) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas), "It read no text in the stream."


@rule(
    "bad-requests",
    "A request that is none is refused with a 4xx that names what is wrong, never with a 5xx.",
    why="A 5xx wakes whoever runs the server, and tells the caller to try the same again.",
    mend="Leave the validation of requests to MLflow, and raise ValueError for custom_inputs that "
    "the agent cannot use.",
)
@pytest.mark.parametrize("kind", BAD_BODIES)
def test_bad_requests(served: ServedAgent, kind: str) -> None:
    body, word = BAD_BODIES[kind]
    response = served.post(body)
    said = f"To {kind} it answered {response.status_code}: {response.text[:300]}"
    assert httpx.codes.is_client_error(response.status_code), said
    # A server may refuse a request for its length alone.
    too_long = response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    named = too_long or word.casefold() in response.text.casefold()
    assert named, f"{said}, which does not name {word}."


@rule(
    "server-errors",
    "When an answer fails, the caller learns nothing about the inside of the server.",
    why="Tracebacks and paths tell a stranger which code and which versions run there.",
    mend="Raise exceptions whose message is one sentence for the caller; put no traceback and no "
    "header of a request into it.",
)
def test_server_errors(served: ServedAgent, asked: Asked) -> None:
    asked.use("fail")
    request = complete(HELLO, served.example)
    texts = [served.post(request).text, served.post(request | {"stream": True}).text]
    asked.skip_unless_asked()
    for text in texts:
        assert not INTERNALS.search(text), f"It answered {text[:500]}"
        assert not secret_in(text), f"It answered with {secret_in(text)}."


@rule(
    "leaving-clients",
    "A client that leaves in the middle of a stream does not stop the others.",
    why="Users close pages and press stop all day.",
    mend="Put what must be tidied up into `finally` or a `with` block, and hold no lock while "
    "yielding.",
)
def test_leaving_clients(served: ServedAgent) -> None:
    for _ in range(3):
        stream: Any = served.stream(HELLO)
        next(stream)
        stream.close()
    outcome = Outcome(served.predict, HELLO)
    assert outcome.ended(), f"After clients had left, the next one waited for {PATIENCE} s."
    if outcome.error:
        raise BrokenRuleError(f"After clients had left, the next one got {outcome.error}.")
